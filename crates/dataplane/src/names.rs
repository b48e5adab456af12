//! Which number a slot table and a target's mark have: kept from one desired table to the next, so that a change of a
//! target set changes its slots and not the name that ten thousand Services lead to.
//!
//! Owns the numbers. Deliberately makes no rule of them: `compile` does. They may be lost at any time; they are then
//! read from the kernel's maps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use engine::forward::{ForwardTable, Front, FrontPort, TargetSet, Traffic};

use crate::maglev;
use crate::ruleset::{ChainName, Family, Octets, Ruleset, SetName, Value};

/// Numbers of one desired table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By family and content.
    pub sets: BTreeMap<(Family, Arc<TargetSet>), u32>,
    /// By target. Also of targets that are gone, whose connections may live on, till the number is needed.
    pub marks: BTreeMap<IpAddr, u32>,
    /// The number that was given last: numbers of the gone are used again as late as possible.
    pub last_mark: u32,
}

/// What a port does in `front` mode: its NodePort and its targets. None: it is left to kube-proxy, or refused.
pub fn fronted(port: &FrontPort) -> Option<(u16, &Arc<TargetSet>)> {
    match (port.traffic, port.node_port, &port.targets) {
        (Traffic::Front, Some(node_port), Some(targets))
            if targets.targets.iter().any(|t| t.up) =>
        {
            Some((node_port, targets))
        }
        _ => None,
    }
}

/// How often a target set, by its place among the wanted, leads to what had a number before.
type Votes = BTreeMap<(usize, u32), usize>;

/// The distinct target sets of a table, in the order they are met, compared by content.
struct Wanted<'a> {
    sets: Vec<(Family, &'a Arc<TargetSet>)>,
    places: BTreeMap<(Family, &'a TargetSet), usize>,
    pointers: BTreeMap<(Family, *const TargetSet), usize>,
}

impl<'a> Wanted<'a> {
    fn place(&mut self, family: Family, set: &'a Arc<TargetSet>) -> usize {
        let pointer = (family, Arc::as_ptr(set));
        if let Some(place) = self.pointers.get(&pointer) {
            return *place;
        }
        let next = self.sets.len();
        let place = *self.places.entry((family, set.as_ref())).or_insert(next);
        if place == next {
            self.sets.push((family, set));
        }
        self.pointers.insert(pointer, place);
        place
    }
}

impl Names {
    /// The numbers for `table`: equal sets keep theirs; a set that is new takes over the number that most of its ports
    /// had in `previous`, if it has as many slots and nobody else keeps it; else it gets the lowest free one.
    pub fn next(
        &self,
        table: &ForwardTable,
        mut previous: impl FnMut(&Front, &FrontPort) -> Option<u32>,
        slots_of: impl Fn(Family, u32) -> Option<u32>,
        marks_max: u32,
    ) -> Self {
        let mut wanted = Wanted {
            sets: Vec::new(),
            places: BTreeMap::new(),
            pointers: BTreeMap::new(),
        };
        let mut votes: Votes = BTreeMap::new();
        let mut last: Option<(*const TargetSet, Family, usize)> = None;
        let mut run: Option<((usize, u32), usize)> = None;
        for (front, port) in &table.ports {
            let Some((_, set)) = fronted(port) else {
                continue;
            };
            let family = Family::of(front.address);
            let place = match last {
                Some((pointer, f, place)) if pointer == Arc::as_ptr(set) && f == family => place,
                _ => wanted.place(family, set),
            };
            last = Some((Arc::as_ptr(set), family, place));
            let vote = previous(front, port).map(|number| (place, number));
            // Neighbours mostly vote alike: count them together.
            match (&mut run, vote) {
                (Some((key, count)), Some(vote)) if *key == vote => *count += 1,
                (_, None) => {}
                (_, Some(vote)) => {
                    if let Some((key, count)) = run.replace((vote, 1)) {
                        *votes.entry(key).or_default() += count;
                    }
                }
            }
        }
        if let Some((key, count)) = run {
            *votes.entry(key).or_default() += count;
        }
        let sets = self.number(&wanted.sets, &votes, slots_of);
        let mut next = Self {
            sets,
            marks: self.marks.clone(),
            last_mark: self.last_mark,
        };
        next.mark(&wanted.sets, marks_max);
        next
    }

    fn number(
        &self,
        wanted: &[(Family, &Arc<TargetSet>)],
        votes: &Votes,
        slots_of: impl Fn(Family, u32) -> Option<u32>,
    ) -> BTreeMap<(Family, Arc<TargetSet>), u32> {
        let mut taken: BTreeSet<(Family, u32)> = BTreeSet::new();
        let mut numbers: BTreeMap<usize, u32> = BTreeMap::new();
        for (place, (family, set)) in wanted.iter().enumerate() {
            if let Some(number) = self.sets.get(&(*family, Arc::clone(set)))
                && taken.insert((*family, *number))
            {
                numbers.insert(place, *number);
            }
        }
        // The most votes first, so that a number stays with those who use it most.
        let mut ranked: Vec<_> = votes
            .iter()
            .map(|((place, n), count)| (*count, *place, *n))
            .collect();
        ranked.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        for (_, place, number) in ranked {
            let Some((family, set)) = wanted.get(place) else {
                continue;
            };
            let fits = slots_of(*family, number).is_none_or(|slots| slots == maglev::slots(set));
            if !numbers.contains_key(&place) && fits && taken.insert((*family, number)) {
                numbers.insert(place, number);
            }
        }
        for (place, (family, _)) in wanted.iter().enumerate() {
            numbers.entry(place).or_insert_with(|| {
                // A number that is still in the kernel with another size is not free either.
                let free = (0..)
                    .find(|n| slots_of(*family, *n).is_none() && !taken.contains(&(*family, *n)));
                let number = free.unwrap_or(u32::MAX);
                taken.insert((*family, number));
                number
            });
        }
        wanted
            .iter()
            .enumerate()
            .filter_map(|(place, (family, set))| {
                Some(((*family, Arc::clone(set)), *numbers.get(&place)?))
            })
            .collect()
    }

    fn mark(&mut self, wanted: &[(Family, &Arc<TargetSet>)], marks_max: u32) {
        let current: BTreeSet<IpAddr> = wanted
            .iter()
            .flat_map(|(_, set)| set.targets.iter().map(|t| t.address))
            .collect();
        let mut used: BTreeSet<u32> = self.marks.values().copied().collect();
        for address in &current {
            if self.marks.contains_key(address) {
                continue;
            }
            let after = (self.last_mark + 1..=marks_max).chain(1..=self.last_mark.min(marks_max));
            let number = match after.clone().find(|n| !used.contains(n)) {
                Some(number) => number,
                None => {
                    let gone = self.marks.iter().find(|(a, _)| !current.contains(a));
                    let Some((gone, number)) = gone.map(|(a, n)| (*a, *n)) else {
                        // GAP: more targets than marks: those beyond have none, and their flows are not forgotten
                        // when they die; a wider mask mends it.
                        continue;
                    };
                    self.marks.remove(&gone);
                    number
                }
            };
            used.insert(number);
            self.marks.insert(*address, number);
            self.last_mark = number;
        }
    }

    /// What the maps of a ruleset say: the marks of targets.
    pub fn read(ruleset: &Ruleset) -> Self {
        let mut names = Self::default();
        for family in Family::ALL {
            let Some(set) = ruleset.set(family, &SetName::Marks) else {
                continue;
            };
            for (key, value) in &set.elements {
                if let (Some(address), Value::Goto(ChainName::Mark(n))) = (address(key), value) {
                    names.marks.insert(address, *n);
                    names.last_mark = names.last_mark.max(*n);
                }
            }
        }
        names
    }
}

/// The chain that a front leads to in a ruleset.
pub fn leads_to(ruleset: &Ruleset, front: &Front) -> Option<u32> {
    let svc = ruleset.set(Family::of(front.address), &SetName::Svc)?;
    match svc.elements.get(&crate::compile::key(front))? {
        Value::Goto(ChainName::Set(n)) => Some(*n),
        _ => None,
    }
}

/// How many slots the table of this number has in a ruleset.
pub fn slots_in(ruleset: &Ruleset, family: Family, number: u32) -> Option<u32> {
    ruleset
        .set(family, &SetName::Nodes(number))
        .map(|set| set.spec.size)
}

fn address(key: &Octets) -> Option<IpAddr> {
    let octets = key.as_slice();
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}
