//! Which interfaces may carry addresses: usability, exclusion, selection, and what is
//! wrong on them.
//!
//! Owns the rules of L2-41 to L2-43 and the problems of L2-48, L2-49 and L2-63. Does not
//! watch interfaces and changes nothing on them.

mod exclusion;
mod health;

#[cfg(test)]
mod tests;

pub use exclusion::{DEFAULT_EXCLUSION, Exclusion, PATTERN_BYTES_MAX, PATTERNS_MAX};
pub use health::problems;

use crate::facts::Interface;
use crate::plan::InterfaceSet;
use std::collections::BTreeMap;
use std::fmt;

/// Why an interface is not usable (L2-41, L2-42).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Its name matches the exclusion list.
    Excluded,
    /// The loopback.
    Loopback,
    /// Not Ethernet, or without a 6-octet address.
    NotEthernet,
    /// Point-to-point.
    PointToPoint,
    /// Cannot broadcast.
    NoBroadcast,
    /// Marked as not speaking ARP.
    NoArp,
    /// Member of a bridge, bond, team or switch datapath: its master answers.
    Enslaved {
        /// Kind of the master.
        kind: String,
    },
    /// Administratively down.
    Down,
    /// Up, but without carrier.
    NoCarrier,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excluded => f.write_str("its name is excluded"),
            Self::Loopback => f.write_str("it is the loopback"),
            Self::NotEthernet => f.write_str("it is not Ethernet"),
            Self::PointToPoint => f.write_str("it is point-to-point"),
            Self::NoBroadcast => f.write_str("it cannot broadcast"),
            Self::NoArp => f.write_str("it is marked NOARP"),
            Self::Enslaved { kind } => write!(f, "it belongs to a {kind}, which answers for it"),
            Self::Down => f.write_str("it is down"),
            Self::NoCarrier => f.write_str("it has no carrier"),
        }
    }
}

/// Whether addresses can be answered for on this interface now; what it *is* comes before
/// the state it is in.
///
/// DIFFERS: MetalLB skips every interface that has a master; a member of a VRF device is
/// usable here, because its master answers no ARP.
pub fn usability(interface: &Interface, exclusion: &Exclusion) -> Result<(), Unusable> {
    if exclusion.matches(&interface.name) {
        Err(Unusable::Excluded)
    } else if interface.loopback {
        Err(Unusable::Loopback)
    } else if !interface.ethernet || interface.mac.is_none_or(|mac| mac == [0; 6]) {
        Err(Unusable::NotEthernet)
    } else if interface.point_to_point {
        Err(Unusable::PointToPoint)
    } else if !interface.broadcast {
        Err(Unusable::NoBroadcast)
    } else if interface.no_arp {
        Err(Unusable::NoArp)
    } else if let Some((_, kind)) = &interface.master
        && kind != "vrf"
    {
        Err(Unusable::Enslaved { kind: kind.clone() })
    } else if !interface.up {
        Err(Unusable::Down)
    } else if !interface.carrier {
        Err(Unusable::NoCarrier)
    } else {
        Ok(())
    }
}

/// The usable ones by name, with their hardware addresses: what a member tells of itself.
pub fn usable(
    interfaces: &BTreeMap<u32, Interface>,
    exclusion: &Exclusion,
) -> BTreeMap<String, [u8; 6]> {
    interfaces
        .values()
        .filter(|interface| usability(interface, exclusion).is_ok())
        .filter_map(|interface| Some((interface.name.clone(), interface.mac?)))
        .collect()
}

/// Indexes of the usable interfaces that a set selects (exact names, L2-43).
pub fn selected<'a>(
    interfaces: &'a BTreeMap<u32, Interface>,
    exclusion: &'a Exclusion,
    set: &'a InterfaceSet,
) -> impl Iterator<Item = u32> + 'a {
    interfaces
        .values()
        .filter(move |interface| set.selects(&interface.name))
        .filter(move |interface| usability(interface, exclusion).is_ok())
        .map(|interface| interface.index)
}

impl InterfaceSet {
    /// Whether a name is in the set.
    pub fn selects(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }

    /// The union; everything swallows names (L2-43).
    #[must_use]
    pub fn union(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Named(mut names), Self::Named(more)) => {
                names.extend(more.iter().cloned());
                Self::Named(names)
            }
            _ => Self::All,
        }
    }

    /// The names; none for everything, as ServiceL2Status writes it.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::All => Vec::new(),
            Self::Named(names) => names.iter().cloned().collect(),
        }
    }
}
