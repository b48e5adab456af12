//! Address families (RFC 4760 §3).
//!
//! [`AfiSafi`] is any pair a peer may name; [`Family`] is one of the two that are announced.

use std::fmt;

use ipnetwork::IpNetwork;

/// Address family and subsequent address family as they stand in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    /// Address family identifier: 1 IPv4, 2 IPv6.
    pub afi: u16,
    /// Subsequent address family identifier: 1 unicast.
    pub safi: u8,
}

impl AfiSafi {
    /// IPv4 unicast.
    pub const IPV4_UNICAST: AfiSafi = AfiSafi { afi: 1, safi: 1 };
    /// IPv6 unicast.
    pub const IPV6_UNICAST: AfiSafi = AfiSafi { afi: 2, safi: 1 };

    /// The family we speak, or none.
    #[must_use]
    pub fn family(self) -> Option<Family> {
        match self {
            AfiSafi::IPV4_UNICAST => Some(Family::Ipv4),
            AfiSafi::IPV6_UNICAST => Some(Family::Ipv6),
            _ => None,
        }
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.afi, self.safi) {
            (1, 1) => f.write_str("ipv4-unicast"),
            (1, 2) => f.write_str("ipv4-multicast"),
            (2, 1) => f.write_str("ipv6-unicast"),
            (2, 2) => f.write_str("ipv6-multicast"),
            (25, 70) => f.write_str("l2vpn-evpn"),
            (afi, safi) => write!(f, "afi {afi} safi {safi}"),
        }
    }
}

/// A family we announce: unicast of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 unicast.
    Ipv4,
    /// IPv6 unicast.
    Ipv6,
}

impl Family {
    /// Both, in the order of their numbers.
    pub const ALL: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The pair in messages.
    #[must_use]
    pub fn afi_safi(self) -> AfiSafi {
        match self {
            Family::Ipv4 => AfiSafi::IPV4_UNICAST,
            Family::Ipv6 => AfiSafi::IPV6_UNICAST,
        }
    }

    /// The family a prefix belongs to.
    #[must_use]
    pub fn of(prefix: &IpNetwork) -> Family {
        match prefix {
            IpNetwork::V4(_) => Family::Ipv4,
            IpNetwork::V6(_) => Family::Ipv6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.afi_safi().fmt(f)
    }
}

/// A set of families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Families {
    /// IPv4 unicast is in the set.
    pub ipv4: bool,
    /// IPv6 unicast is in the set.
    pub ipv6: bool,
}

impl Families {
    /// Only IPv4 unicast.
    pub const IPV4: Families = Families {
        ipv4: true,
        ipv6: false,
    };
    /// Only IPv6 unicast.
    pub const IPV6: Families = Families {
        ipv4: false,
        ipv6: true,
    };
    /// Both.
    pub const BOTH: Families = Families {
        ipv4: true,
        ipv6: true,
    };

    /// Whether the family is in the set.
    #[must_use]
    pub fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// The set with one family more.
    #[must_use]
    pub fn with(mut self, family: Family) -> Families {
        match family {
            Family::Ipv4 => self.ipv4 = true,
            Family::Ipv6 => self.ipv6 = true,
        }
        self
    }

    /// What is in both sets.
    #[must_use]
    pub fn and(self, other: Families) -> Families {
        Families {
            ipv4: self.ipv4 && other.ipv4,
            ipv6: self.ipv6 && other.ipv6,
        }
    }

    /// Nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        !self.ipv4 && !self.ipv6
    }

    /// The members, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL
            .into_iter()
            .filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Families {
        families
            .into_iter()
            .fold(Families::default(), Families::with)
    }
}
