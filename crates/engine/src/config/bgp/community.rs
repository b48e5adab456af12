//! Communities: their values, the well-known names, and the names that Community objects give.

use super::super::{Judge, counts};
use crate::name::Kind;
use crate::problem::{Problem, reason};
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt;

/// A community of a route (RFC 1997, RFC 8092). Ordered as it is sent: by kind, then value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Community {
    /// `A:B`, 16 bits each.
    Standard(u16, u16),
    /// `large:A:B:C`, 32 bits each.
    Large(u32, u32, u32),
}

/// Names of values that mean the same everywhere (IANA, BGP Well-known Communities).
const WELL_KNOWN: [(&str, (u16, u16)); 7] = [
    ("accept-own", (65535, 1)),
    ("blackhole", (65535, 666)),
    ("graceful-shutdown", (65535, 0)),
    ("no-advertise", (65535, 65282)),
    ("no-export", (65535, 65281)),
    ("no-export-subconfed", (65535, 65283)),
    ("no-peer", (65535, 65284)),
];

impl Community {
    /// Reads `A:B`, `large:A:B:C` or a well-known name; none when it is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some((_, (a, b))) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
            return Some(Self::Standard(*a, *b));
        }
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [a, b] => Some(Self::Standard(number(a)?, number(b)?)),
            ["large", a, b, c] => Some(Self::Large(number(a)?, number(b)?, number(c)?)),
            _ => None,
        }
    }
}

/// One to ten digits and nothing else, as the rule of the definitions.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(a, b) => write!(f, "{a}:{b}"),
            Self::Large(a, b, c) => write!(f, "large:{a}:{b}:{c}"),
        }
    }
}

/// Every name that Community objects give. A name given twice means the first, by the
/// objects' names, and is told.
pub(super) fn names(
    world: &World,
    namespace: &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Community> {
    let mut all: BTreeMap<String, Community> = BTreeMap::new();
    for stored in world.communities.iter() {
        let raw = &stored.object;
        let source = stored.origin.source.clone();
        let mut judge = Judge::new(Kind::Community, &raw.name, source);
        if counts(&mut judge, namespace) {
            for (index, (name, value)) in raw.aliases.iter().enumerate() {
                let field = format!("spec.communities[{index}]");
                match Community::parse(value) {
                    _ if all.contains_key(name) => judge.error(
                        reason::DUPLICATE,
                        format!("{field}.name: {name:?} has a value already; that one counts"),
                    ),
                    Some(community) => {
                        all.insert(name.clone(), community);
                    }
                    None => judge.error(
                        reason::INVALID_COMMUNITY,
                        format!("{field}.value: {value:?} is neither A:B nor large:A:B:C"),
                    ),
                }
            }
        }
        problems.append(&mut judge.problems);
    }
    all
}
