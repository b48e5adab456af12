//! The highest term seen of each address, also of those nobody claims any more.
//!
//! Owns a bounded memory: when it is full, the address whose term was raised longest ago is forgotten.

use std::collections::BTreeMap;

use super::Key;

/// Addresses with the highest term seen.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// Term, and the turn in which it was raised.
    highest: BTreeMap<Key, (u64, u64)>,
    /// The same addresses by turn.
    turns: BTreeMap<u64, Key>,
    turn: u64,
}

impl Terms {
    pub(crate) fn see(&mut self, key: Key, term: u64) {
        let before = self.highest.get(&key).copied();
        if before.is_some_and(|(known, _)| known >= term) {
            return;
        }
        match before {
            Some((_, turn)) => {
                self.turns.remove(&turn);
            }
            None if self.highest.len() >= MAX_TERMS => {
                let oldest = self.turns.pop_first();
                oldest.and_then(|(_, key)| self.highest.remove(&key));
            }
            None => {}
        }
        self.turn += 1;
        self.highest.insert(key, (term, self.turn));
        self.turns.insert(self.turn, key);
    }

    pub(crate) fn highest(&self, key: Key) -> u64 {
        self.highest.get(&key).map_or(0, |(term, _)| *term)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.highest.len().max(self.turns.len())
    }
}

/// LIMIT: addresses whose highest term is remembered (about 100 bytes each). Terms of claims that stand are never lost with it.
pub(crate) const MAX_TERMS: usize = 32_768;
