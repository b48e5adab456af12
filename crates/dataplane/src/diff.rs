//! The difference of two rulesets as one ordered transaction.
//!
//! Owns the order: what is new is made first, then rules and elements are switched, then what is gone is removed; an
//! element whose value changes is deleted and added. Deliberately knows nothing of why.

use std::collections::BTreeMap;

use crate::change::Change;
use crate::ruleset::{
    Chain, ChainName, Expr, Family, INTERVAL, Octets, Ruleset, Set, SetName, Table, Value,
};

/// LIMIT: elements of one message; their list must stay under 64 kB, and an interval of IPv6 takes 100 octets.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// The changes that make `actual` into `desired`; none where they are equal.
pub fn diff(actual: &Ruleset, desired: &Ruleset) -> Vec<Change> {
    let mut changes = Vec::new();
    for family in Family::ALL {
        let mut phases = Phases::new(family);
        match (actual.tables.get(&family), desired.tables.get(&family)) {
            (None, None) => continue,
            (Some(_), None) => changes.push(Change::DeleteTable { family }),
            (None, Some(desired)) => phases.build(desired),
            (Some(actual), Some(desired)) if incompatible(actual, desired) => {
                changes.push(Change::DeleteTable { family });
                phases.build(desired);
            }
            (Some(actual), Some(desired)) => phases.compare(actual, desired),
        }
        changes.extend(phases.finish());
    }
    changes
}

/// What cannot be changed in place: then the table is made anew, in the same transaction.
fn incompatible(actual: &Table, desired: &Table) -> bool {
    let set = |(name, set): (&SetName, &Set)| {
        let had = actual.sets.get(name);
        had.is_some_and(|had| had.spec != set.spec)
    };
    let chain = |(name, chain): (&ChainName, &Chain)| {
        let had = actual.chains.get(name);
        had.is_some_and(|had| had.hook != chain.hook || had.accepts != chain.accepts)
    };
    actual.owned != desired.owned
        || desired.sets.iter().any(set)
        || desired.chains.iter().any(chain)
}

/// The steps for one family, each list in its place in the transaction.
#[derive(Debug)]
pub struct Phases {
    family: Family,
    create: Vec<Change>,
    rules: Vec<Change>,
    elements: BTreeMap<SetName, Elements>,
    flush: Vec<Change>,
    remove: Vec<Change>,
}

#[derive(Debug, Default)]
struct Elements {
    interval: bool,
    delete: Vec<Octets>,
    add: Vec<(Octets, Value)>,
}

impl Phases {
    /// No step yet.
    pub fn new(family: Family) -> Self {
        Self {
            family,
            create: Vec::new(),
            rules: Vec::new(),
            elements: BTreeMap::new(),
            flush: Vec::new(),
            remove: Vec::new(),
        }
    }

    fn build(&mut self, desired: &Table) {
        let family = self.family;
        self.create.push(Change::AddTable {
            family,
            owned: desired.owned,
        });
        for (name, set) in &desired.sets {
            self.add_set(name, set);
        }
        for (name, chain) in &desired.chains {
            self.add_chain(name, chain);
        }
    }

    fn compare(&mut self, actual: &Table, desired: &Table) {
        for (name, set) in &desired.sets {
            self.set(name, actual.sets.get(name), Some(set));
        }
        for (name, chain) in &desired.chains {
            self.chain(name, actual.chains.get(name), Some(chain));
        }
        for (name, set) in &actual.sets {
            if !desired.sets.contains_key(name) {
                self.set(name, Some(set), None);
            }
        }
        for (name, chain) in &actual.chains {
            if !desired.chains.contains_key(name) {
                self.chain(name, Some(chain), None);
            }
        }
    }

    /// A set as it is and as it should be, of equal specs.
    pub fn set(&mut self, name: &SetName, actual: Option<&Set>, desired: Option<&Set>) {
        match (actual, desired) {
            (None, None) => {}
            (None, Some(set)) => self.add_set(name, set),
            (Some(_), None) => {
                let change = Change::DeleteSet {
                    family: self.family,
                    name: name.clone(),
                };
                // Sets before chains: a verdict map holds on to chains.
                self.remove.insert(0, change);
            }
            (Some(actual), Some(desired)) => {
                for (key, value) in &desired.elements {
                    self.element(name, actual, key, Some(value));
                }
                for key in actual.elements.keys() {
                    if !desired.elements.contains_key(key) {
                        self.element(name, actual, key, None);
                    }
                }
            }
        }
    }

    /// One element of a set as the kernel has it, and what it should be.
    pub fn element(&mut self, name: &SetName, actual: &Set, key: &Octets, desired: Option<&Value>) {
        let had = actual.elements.get(key);
        if had == desired {
            return;
        }
        let elements = self.elements_of(name, actual);
        if had.is_some() {
            elements.delete.push(key.clone());
        }
        if let Some(value) = desired {
            elements.add.push((key.clone(), value.clone()));
        }
    }

    fn elements_of(&mut self, name: &SetName, set: &Set) -> &mut Elements {
        let elements = self.elements.entry(name.clone()).or_default();
        elements.interval = set.spec.flags & INTERVAL != 0;
        elements
    }

    /// A chain as it is and as it should be, of equal hooks.
    pub fn chain(&mut self, name: &ChainName, actual: Option<&Chain>, desired: Option<&Chain>) {
        let family = self.family;
        let flush = || Change::FlushChain {
            family,
            name: name.clone(),
        };
        match (actual, desired) {
            (None, None) => {}
            (None, Some(chain)) => self.add_chain(name, chain),
            (Some(_), None) => {
                self.flush.push(flush());
                self.remove.push(Change::DeleteChain {
                    family,
                    name: name.clone(),
                });
            }
            (Some(actual), Some(desired)) if actual.rules != desired.rules => {
                self.rules.push(flush());
                self.add_rules(name, &desired.rules);
            }
            (Some(_), Some(_)) => {}
        }
    }

    fn add_set(&mut self, name: &SetName, set: &Set) {
        self.create.push(Change::AddSet {
            family: self.family,
            name: name.clone(),
            spec: set.spec,
        });
        let all = set.elements.iter();
        let all = all.map(|(key, value)| (key.clone(), value.clone()));
        self.elements_of(name, set).add.extend(all);
    }

    fn add_chain(&mut self, name: &ChainName, chain: &Chain) {
        self.create.push(Change::AddChain {
            family: self.family,
            name: name.clone(),
            hook: chain.hook,
        });
        self.add_rules(name, &chain.rules);
    }

    fn add_rules(&mut self, name: &ChainName, rules: &[Vec<Expr>]) {
        for rule in rules {
            self.rules.push(Change::AddRule {
                family: self.family,
                chain: name.clone(),
                rule: rule.clone(),
            });
        }
    }

    /// The steps in order.
    pub fn finish(self) -> Vec<Change> {
        let family = self.family;
        let mut changes = self.create;
        changes.extend(self.rules);
        let mut adds = Vec::new();
        for (set, elements) in self.elements {
            let interval = elements.interval;
            for keys in elements.delete.chunks(ELEMENTS_PER_MESSAGE) {
                changes.push(Change::DeleteElements {
                    family,
                    set: set.clone(),
                    interval,
                    keys: keys.to_vec(),
                });
            }
            for chunk in elements.add.chunks(ELEMENTS_PER_MESSAGE) {
                adds.push(Change::AddElements {
                    family,
                    set: set.clone(),
                    interval,
                    elements: chunk.to_vec(),
                });
            }
        }
        changes.extend(adds);
        changes.extend(self.flush);
        changes.extend(self.remove);
        changes
    }
}
