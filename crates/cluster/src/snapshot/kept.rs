//! One kind of a snapshot.

use crate::convert::{Convert, Converted};
use engine::name::{Kind, NamespacedName};
use engine::problem::Problem;
use engine::world::{Change, Delta, Stored};
use std::collections::BTreeMap;

/// Readable objects, and the complaints about the others.
#[derive(Clone, Debug)]
pub(super) struct Kept<T> {
    good: BTreeMap<NamespacedName, Stored<T>>,
    bad: BTreeMap<NamespacedName, Problem>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            good: BTreeMap::new(),
            bad: BTreeMap::new(),
        }
    }
}

impl<T: Convert> Kept<T> {
    pub(super) fn put(&mut self, converted: Converted<T>) {
        match converted {
            Converted::Good(stored) => {
                self.good.insert(stored.object.name().clone(), stored);
            }
            Converted::Bad(name, problem) => {
                self.bad.insert(name, problem);
            }
        }
    }

    pub(super) fn keep_last_readable(&mut self, old: &Self) {
        for name in self.bad.keys() {
            if let Some(stored) = old.good.get(name) {
                self.good.insert(name.clone(), stored.clone());
            }
        }
    }

    pub(super) fn reset(&self, epoch: u64, changes: &mut Vec<Change>) {
        changes.push(T::change(Delta::Reset {
            objects: self.good.values().cloned().collect(),
            epoch,
        }));
        for (name, problem) in &self.bad {
            changes.push(complaint::<T>(name, problem));
        }
    }

    /// Services go before others come, so that an address is free for the one that asks for it;
    /// of all other kinds the new come first: a slice that takes another's place leaves no moment
    /// without endpoints.
    pub(super) fn diff(&self, old: &Self, changes: &mut Vec<Change>) {
        if T::KIND == Kind::Service {
            self.gone(old, changes);
            self.come(old, changes);
        } else {
            self.come(old, changes);
            self.gone(old, changes);
        }
    }

    fn gone(&self, old: &Self, changes: &mut Vec<Change>) {
        let bad_only = old.bad.keys().filter(|name| !old.good.contains_key(*name));
        for name in old.good.keys().chain(bad_only) {
            if !self.good.contains_key(name) && !self.bad.contains_key(name) {
                changes.push(T::change(Delta::Delete(name.clone())));
            }
        }
    }

    fn come(&self, old: &Self, changes: &mut Vec<Change>) {
        for (name, stored) in &self.good {
            let mended = old.bad.contains_key(name) && !self.bad.contains_key(name);
            if mended || old.good.get(name) != Some(stored) {
                changes.push(T::change(Delta::Upsert(stored.clone())));
            }
        }
        for (name, problem) in &self.bad {
            if old.bad.get(name) != Some(problem) {
                changes.push(complaint::<T>(name, problem));
            }
        }
    }
}

fn complaint<T: Convert>(name: &NamespacedName, problem: &Problem) -> Change {
    Change::Unreadable {
        kind: T::KIND,
        name: name.clone(),
        problem: problem.clone(),
    }
}
