//! Less room for what there are ten thousand of.
//!
//! Owns the list that nearly always has one entry, and how a map gets full.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Makes the map anew: one that was filled in the order of its keys is half empty, one that is made at once is full.
pub(crate) fn tighten<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = std::mem::take(map).into_iter().collect();
}

/// The same for a set.
pub(crate) fn tighten_set<K: Ord>(set: &mut BTreeSet<K>) {
    *set = std::mem::take(set).into_iter().collect();
}

/// A list that nearly always has one entry: ten thousand Services are alone on one address each, and a vector of one
/// takes five times what is in it. The order is the order of insertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Few<T> {
    #[default]
    Nothing,
    One(T),
    // A pointer to the vector, so that the plain case is not as large as a vector.
    #[allow(clippy::box_collection, reason = "see above")]
    Several(Box<Vec<T>>),
}

impl<T> Few<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            Self::Nothing => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(all) => all,
        }
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.as_slice().first()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    pub(crate) fn push(&mut self, more: T) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(more),
            Self::One(one) => Self::Several(Box::new(vec![one, more])),
            Self::Several(mut all) => {
                all.push(more);
                Self::Several(all)
            }
        };
    }

    pub(crate) fn sort_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering) {
        if let Self::Several(all) = self {
            all.sort_by(compare);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        let mut all = Vec::from(std::mem::take(self));
        all.retain(keep);
        *self = all.into();
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut all: Vec<T>) -> Self {
        match all.len() {
            0 => Self::Nothing,
            1 => all.pop().map_or(Self::Nothing, Self::One),
            _ => {
                all.shrink_to_fit();
                Self::Several(Box::new(all))
            }
        }
    }
}

impl<T> From<Few<T>> for Vec<T> {
    fn from(few: Few<T>) -> Self {
        match few {
            Few::Nothing => Self::new(),
            Few::One(one) => vec![one],
            Few::Several(all) => *all,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        Vec::from_iter(all).into()
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests;
