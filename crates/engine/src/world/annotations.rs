//! The annotations of an object that are ours: few, and kept by the ten thousand.

use std::collections::BTreeMap;

/// Texts by key, in the order of the keys and without spare room: the smallest node of a map takes half a
/// kilobyte, for one entry as for eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations(Box<[(String, String)]>);

impl Annotations {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&String> {
        let found = self.0.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    /// All, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &String)> + '_ {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &String> + '_ {
        self.0.iter().map(|(key, _)| key)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a value; returns the former one.
    pub fn insert(&mut self, key: String, value: String) -> Option<String> {
        self.edit(|all| all.insert(key, value))
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        self.edit(|all| all.remove(key))
    }

    /// Rare: what is read is never changed, only what a plan would make of it.
    fn edit<R>(&mut self, edit: impl FnOnce(&mut BTreeMap<String, String>) -> R) -> R {
        let mut all: BTreeMap<_, _> = std::mem::take(&mut self.0).into_iter().collect();
        let result = edit(&mut all);
        *self = all.into();
        result
    }
}

impl From<BTreeMap<String, String>> for Annotations {
    fn from(all: BTreeMap<String, String>) -> Self {
        Self(all.into_iter().collect())
    }
}

impl FromIterator<(String, String)> for Annotations {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(all: I) -> Self {
        BTreeMap::from_iter(all).into()
    }
}
