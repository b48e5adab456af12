//! The words of annotations and profiles, and what they mean.

use super::Traffic;
use crate::health::{PanicPolicy, Weights};

pub(crate) const TRAFFIC: [(&str, Traffic); 2] =
    [("node", Traffic::Node), ("front", Traffic::Front)];
pub(crate) const PANIC: [(&str, PanicPolicy); 4] = [
    ("auto", PanicPolicy::Auto),
    ("open", PanicPolicy::Open),
    ("closed", PanicPolicy::Closed),
    ("withdraw", PanicPolicy::Withdraw),
];
pub(crate) const WEIGHTS: [(&str, Weights); 2] =
    [("auto", Weights::Auto), ("equal", Weights::Equal)];
