//! From one desired table to the next at the cost of what changed, not of what there is.
//!
//! Owns the comparison of two forward tables, front by front. It gives what [`diff`](crate::diff) of the two compiled
//! rulesets gives; a property holds it to that. Deliberately gives up (and says so) where something changed that every
//! front depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use engine::forward::{ForwardTable, Front, FrontPort, TargetSet};

use crate::change::Change;
use crate::compile::{Numbers, entries, families, has_address, marks, slot_parts};
use crate::diff::Phases;
use crate::names::Names;
use crate::rules::{self, Policy};
use crate::ruleset::{Chain, ChainName, Family, Octets, Ruleset, Set, SetName, Table, Value};

/// A desired table with its names.
pub type Desired<'a> = (&'a ForwardTable, &'a Names);

/// The changes from `old`, which `actual` is the ruleset of, to `new`; none when only a whole comparison can tell.
pub fn update(
    actual: &Ruleset,
    old: Desired<'_>,
    new: Desired<'_>,
    policy: &Policy,
) -> Option<Vec<Change>> {
    let (was, is) = (old.0, new.0);
    let same = was.interfaces == is.interfaces
        && was.own_connections == is.own_connections
        && was.source_addresses == is.source_addresses
        && was.icmp_echo == is.icmp_echo
        && families(is).iter().eq(actual.tables.keys());
    if !same {
        return None;
    }
    let mut phases = BTreeMap::new();
    for (family, table) in &actual.tables {
        let mut steps = Phases::new(*family);
        targets(&mut steps, *family, table, (old.1, new.1), policy)?;
        phases.insert(*family, steps);
    }
    let mut touched: BTreeSet<IpAddr> = was
        .closed
        .symmetric_difference(&is.closed)
        .copied()
        .collect();
    let mut numbers = (Numbers::new(old.1), Numbers::new(new.1));
    changed(was, is, |front, had, has| {
        let family = Family::of(front.address);
        let old_number = had.and_then(|port| numbers.0.of(family, port));
        let new_number = has.and_then(|port| numbers.1.of(family, port));
        if let (Some(had), Some(has)) = (had, has)
            && old_number == new_number
            && equal(had, has)
        {
            return;
        }
        if had.is_none() != has.is_none() {
            touched.insert(front.address);
        }
        let (Some(steps), Some(table)) = (phases.get_mut(&family), actual.tables.get(&family))
        else {
            return;
        };
        let before = had.map(|port| entries(front, port, old_number));
        let after = has.map(|port| entries(front, port, new_number));
        switch(
            steps,
            table,
            before.unwrap_or_default(),
            after.unwrap_or_default(),
        );
    });
    for address in touched {
        let family = Family::of(address);
        let set = actual.set(family, &SetName::Addresses)?;
        let value = has_address(is, address).then_some(Value::Member);
        let key = Octets::address(address);
        phases
            .get_mut(&family)?
            .element(&SetName::Addresses, set, &key, value.as_ref());
    }
    Some(phases.into_values().flat_map(Phases::finish).collect())
}

/// Whether two ports say the same to the kernel, their target sets apart. Equal numbers do not make equal sets, but
/// slots are compared by themselves; whether anybody is up shows in the numbers.
fn equal(a: &FrontPort, b: &FrontPort) -> bool {
    a.traffic == b.traffic && a.node_port == b.node_port && a.source_ranges == b.source_ranges
}

/// Calls `each` with every front of either table, in order.
fn changed<'a>(
    was: &'a ForwardTable,
    is: &'a ForwardTable,
    mut each: impl FnMut(&Front, Option<&'a FrontPort>, Option<&'a FrontPort>),
) {
    let (mut old, mut new) = (was.ports.iter().peekable(), is.ports.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let had = order.is_le().then(|| old.next()).flatten();
        let has = order.is_ge().then(|| new.next()).flatten();
        if let Some((front, _)) = had.or(has) {
            each(front, had.map(|(_, port)| port), has.map(|(_, port)| port));
        }
    }
}

/// The elements of one front, before and after.
fn switch(
    steps: &mut Phases,
    table: &Table,
    before: Vec<(SetName, Octets, Value)>,
    after: Vec<(SetName, Octets, Value)>,
) {
    for (name, key, _) in &before {
        let stays = after.iter().any(|(n, k, _)| (n, k) == (name, key));
        if let (false, Some(set)) = (stays, table.sets.get(name)) {
            steps.element(name, set, key, None);
        }
    }
    for (name, key, value) in &after {
        if let Some(set) = table.sets.get(name) {
            steps.element(name, set, key, Some(value));
        }
    }
}

/// Slot tables and marks. None where a number keeps its name and not its size.
fn targets(
    steps: &mut Phases,
    family: Family,
    table: &Table,
    (old, new): (&Names, &Names),
    policy: &Policy,
) -> Option<()> {
    let of = |names: &Names| -> BTreeMap<u32, Arc<TargetSet>> {
        let sets = names.sets.iter().filter(|((of, _), _)| *of == family);
        sets.map(|((_, set), n)| (*n, Arc::clone(set))).collect()
    };
    let (was, is) = (of(old), of(new));
    for (number, set) in &is {
        if was.get(number).is_some_and(|old| old == set) {
            continue;
        }
        let (slots, chain) = slot_parts(family, set, *number);
        let had = table.sets.get(&SetName::Nodes(*number));
        if had.is_some_and(|had: &Set| had.spec != slots.spec) {
            return None;
        }
        steps.set(&SetName::Nodes(*number), had, Some(&slots));
        let name = ChainName::Set(*number);
        steps.chain(&name, table.chains.get(&name), Some(&chain));
    }
    for number in was.keys().filter(|number| !is.contains_key(number)) {
        let (set, chain) = (SetName::Nodes(*number), ChainName::Set(*number));
        steps.set(&set, table.sets.get(&set), None);
        steps.chain(&chain, table.chains.get(&chain), None);
    }
    let map = table.sets.get(&SetName::Marks)?;
    let (was, is) = (marks(old, family), marks(new, family));
    if was == is {
        return Some(());
    }
    for (address, number) in &is {
        let chain = ChainName::Mark(*number);
        let key = Octets::address(*address);
        steps.element(&SetName::Marks, map, &key, Some(&Value::Goto(chain)));
    }
    for address in was.keys().filter(|address| !is.contains_key(address)) {
        steps.element(&SetName::Marks, map, &Octets::address(*address), None);
    }
    let numbers =
        |marks: &BTreeMap<IpAddr, u32>| -> BTreeSet<u32> { marks.values().copied().collect() };
    let (was, is) = (numbers(&was), numbers(&is));
    for number in was.symmetric_difference(&is) {
        let name = ChainName::Mark(*number);
        let chain = Chain {
            hook: None,
            accepts: true,
            rules: rules::mark(policy.mark(*number), policy),
        };
        let desired = is.contains(number).then_some(&chain);
        steps.chain(&name, table.chains.get(&name), desired);
    }
    Some(())
}
