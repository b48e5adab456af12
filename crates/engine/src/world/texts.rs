//! Texts that many objects have in common: a namespace, a node, the name of a Service in its slices and statuses.
//!
//! Owns one of each, so that ten thousand objects keep it once. What nobody else keeps is forgotten now and then.

use crate::name::{NamespacedName, Text};
use std::collections::BTreeSet;

/// LIMIT: texts that are kept at the least before those of no object are looked for; 10,000 Services have so many and a
/// few. Beyond it twice what was found to be in use.
const TEXTS_MIN: usize = 16_384;

/// See the module.
#[derive(Clone, Debug)]
pub struct Texts {
    known: BTreeSet<Text>,
    /// How many there may be before they are looked through.
    room: usize,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            known: BTreeSet::new(),
            room: TEXTS_MIN,
        }
    }
}

impl Texts {
    /// Takes the text that is the same already in place of this one.
    pub fn share(&mut self, text: &mut Text) {
        if let Some(known) = self.known.get(text.as_str()) {
            text.clone_from(known);
            return;
        }
        if self.known.len() >= self.room {
            self.known.retain(|known| !known.is_alone());
            self.room = TEXTS_MIN.max(2 * self.known.len());
        }
        self.known.insert(text.clone());
    }

    /// The same for both parts of a name.
    pub fn share_name(&mut self, name: &mut NamespacedName) {
        self.share(&mut name.namespace);
        self.share(&mut name.name);
    }
}

#[cfg(test)]
mod tests;
