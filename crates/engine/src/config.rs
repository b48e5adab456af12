//! From raw specs to the configuration that is used, and a list of problems.
//!
//! Owns the parsed forms of pools and advertisements. Every function is one of a
//! snapshot: nothing is remembered. One bad object never disables a good one; a list
//! entry that is there twice is not used twice.

mod addresses;
pub mod bgp;
mod duration;
mod front;
mod l2;
mod pool;
pub mod rules;

#[cfg(test)]
mod tests;

pub use addresses::{AddressRange, ParseRangeError};
pub(crate) use addresses::{address_of, bits, is_buggy};
pub use front::{FrontProfile, FrontProfiles, front_profiles};
pub use l2::{Advertisement, l2_advertisements};
pub use pool::{Audience, Pool, PoolSet, pools};

use crate::name::{Kind, NamespacedName};
use crate::problem::{Problem, Severity, reason};
use crate::selector::{LabelSelector, Selector};
use std::sync::Arc;

/// One object under examination: collects its problems.
struct Judge<'a> {
    kind: Kind,
    object: &'a NamespacedName,
    source: Option<Arc<str>>,
    problems: Vec<Problem>,
}

impl<'a> Judge<'a> {
    fn new(kind: Kind, object: &'a NamespacedName, source: Option<Arc<str>>) -> Self {
        Self {
            kind,
            object,
            source,
            problems: Vec::new(),
        }
    }

    fn tell(&mut self, severity: Severity, reason: &'static str, message: impl Into<String>) {
        let problem = Problem::new(severity, self.kind, self.object, reason, message);
        self.problems.push(problem.at(self.source.clone()));
    }

    fn error(&mut self, reason: &'static str, message: impl Into<String>) {
        self.tell(Severity::Error, reason, message);
    }

    /// Parses a list of selectors without its duplicates; none when one is bad: an
    /// object that half selects would select the wrong things.
    fn selectors(&mut self, field: &str, raw: &[LabelSelector]) -> Option<Vec<Selector>> {
        let mut all = Some(Vec::new());
        for (index, selector) in self.distinct(field, raw).into_iter().enumerate() {
            match Selector::parse(selector) {
                Ok(parsed) => {
                    if let Some(all) = all.as_mut() {
                        all.push(parsed);
                    }
                }
                Err(why) => {
                    self.error(reason::INVALID_SELECTOR, format!("{field}[{index}]: {why}"));
                    all = None;
                }
            }
        }
        all
    }

    /// The list without what is there twice, each told once.
    fn distinct<'b, T: Ord + std::fmt::Debug>(&mut self, field: &str, raw: &'b [T]) -> Vec<&'b T> {
        let mut seen = std::collections::BTreeSet::new();
        let mut out = Vec::new();
        for (index, value) in raw.iter().enumerate() {
            if seen.insert(value) {
                out.push(value);
            } else {
                let text = format!("{field}[{index}] repeats {value:?}");
                self.error(reason::DUPLICATE, text);
            }
        }
        out
    }
}

/// Whether a `metallb.io` object counts: it is in our namespace, or has none. Another
/// one gets a warning.
fn counts(judge: &mut Judge<'_>, namespace: &str) -> bool {
    let own = &judge.object.namespace;
    if own.is_empty() || own == namespace {
        return true;
    }
    let text =
        format!("objects of metallb.io count only in namespace {namespace:?}, this one is ignored");
    judge.tell(Severity::Warning, reason::WRONG_NAMESPACE, text);
    false
}
