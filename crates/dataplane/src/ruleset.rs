//! A ruleset as a value: what table `harbinger` of each family holds, desired or read back.
//!
//! Owns the names of our sets and chains, the expressions our rules are made of, and what a change does to a ruleset.
//! Deliberately speaks no netlink: `kernel` writes and reads these values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The name of the table in both families.
pub const TABLE: &str = "harbinger";

/// Address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Octets of an address.
    pub fn octets(self) -> u32 {
        match self {
            Self::Ipv4 => 4,
            Self::Ipv6 => 16,
        }
    }
}

/// Octets of a key or a value: short ones in place, long ones (intervals) on the heap. A constructor decides, so that
/// equal octets are equal values.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Octets {
    /// Up to 24.
    Short(u8, [u8; 24]),
    /// More.
    Long(Box<[u8]>),
}

impl Octets {
    /// Copies them.
    pub fn new(octets: &[u8]) -> Self {
        let mut short = [0; 24];
        match short.get_mut(..octets.len()) {
            Some(place) => {
                place.copy_from_slice(octets);
                Self::Short(octets.len() as u8, short)
            }
            None => Self::Long(octets.into()),
        }
    }

    /// An address.
    pub fn address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(a) => Self::new(&a.octets()),
            IpAddr::V6(a) => Self::new(&a.octets()),
        }
    }

    /// Them.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Short(len, octets) => octets.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(octets) => octets,
        }
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.as_slice() {
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// A set or map of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetName {
    /// Front → chain of its slot table.
    Svc,
    /// Front → NodePort.
    Np,
    /// Our addresses.
    Addresses,
    /// Open ports of our addresses.
    Ports,
    /// Those of them with source ranges.
    Ranged,
    /// Front and source, as intervals.
    Ranges,
    /// Interfaces where clients arrive.
    Interfaces,
    /// Target → chain that marks the connection.
    Marks,
    /// Source addresses of rewritten connections.
    Snat,
    /// Slot → target.
    Nodes(u32),
    /// Not ours, in our table.
    Other(String),
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Svc => "svc",
            Self::Np => "np",
            Self::Addresses => "addresses",
            Self::Ports => "ports",
            Self::Ranged => "ranged",
            Self::Ranges => "ranges",
            Self::Interfaces => "interfaces",
            Self::Marks => "marks",
            Self::Snat => "sources",
            Self::Nodes(n) => return write!(f, "nodes_{n}"),
            Self::Other(name) => name,
        };
        f.write_str(name)
    }
}

impl From<&str> for SetName {
    fn from(name: &str) -> Self {
        let fixed = [
            Self::Svc,
            Self::Np,
            Self::Addresses,
            Self::Ports,
            Self::Ranged,
            Self::Ranges,
            Self::Interfaces,
            Self::Marks,
            Self::Snat,
        ];
        let numbered = name.strip_prefix("nodes_").and_then(|n| n.parse().ok());
        match numbered.map(Self::Nodes) {
            Some(found) if found.to_string() == name => found,
            _ => fixed
                .into_iter()
                .find(|f| f.to_string() == name)
                .unwrap_or_else(|| Self::Other(name.to_owned())),
        }
    }
}

/// A chain of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChainName {
    /// NAT, before routing: chooses the slot table.
    Pre,
    /// NAT, for connections made here.
    Out,
    /// Filter, before any rewriting.
    Guard,
    /// Refuses.
    Closed,
    /// Filter: what is still addressed to us must not leave.
    Forward,
    /// Filter: no redirects.
    Output,
    /// NAT, after routing: marks by target.
    Post,
    /// Hides the client behind this machine.
    Source,
    /// Chooses a slot and rewrites.
    Set(u32),
    /// Marks the connections to one target.
    Mark(u32),
    /// Not ours, in our table.
    Other(String),
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Pre => "pre",
            Self::Out => "out",
            Self::Guard => "guard",
            Self::Closed => "closed",
            Self::Forward => "forward",
            Self::Output => "output",
            Self::Post => "post",
            Self::Source => "source",
            Self::Set(n) => return write!(f, "set_{n}"),
            Self::Mark(n) => return write!(f, "mark_{n}"),
            Self::Other(name) => name,
        };
        f.write_str(name)
    }
}

impl From<&str> for ChainName {
    fn from(name: &str) -> Self {
        let fixed = [
            Self::Pre,
            Self::Out,
            Self::Guard,
            Self::Closed,
            Self::Forward,
            Self::Output,
            Self::Post,
            Self::Source,
        ];
        let set = name.strip_prefix("set_").and_then(|n| n.parse().ok());
        let mark = name.strip_prefix("mark_").and_then(|n| n.parse().ok());
        match set.map(Self::Set).or(mark.map(Self::Mark)) {
            Some(found) if found.to_string() == name => found,
            _ => fixed
                .into_iter()
                .find(|f| f.to_string() == name)
                .unwrap_or_else(|| Self::Other(name.to_owned())),
        }
    }
}

/// What a set can hold, as the kernel keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetSpec {
    /// `NFT_SET_…`.
    pub flags: u32,
    /// nft's numbers of the types in the key, six bits each.
    pub key_type: u32,
    /// Octets of the key.
    pub key_octets: u32,
    /// nft's number of the value's type; 0 in a set.
    pub data_type: u32,
    /// Octets of the value; 0 in a set and for verdicts.
    pub data_octets: u32,
    /// Most elements; 0: grows.
    pub size: u32,
}

/// `NFT_SET_INTERVAL`.
pub const INTERVAL: u32 = 0x4;
/// `NFT_SET_MAP`.
pub const MAP: u32 = 0x8;
/// `NFT_SET_CONCAT`.
pub const CONCAT: u32 = 0x80;
/// The type of a verdict.
pub const VERDICT: u32 = 0xffff_ff00;

/// What an element of a map leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An element of a set.
    Member,
    /// An address or a port.
    Data(Octets),
    /// Go there and do not come back.
    Goto(ChainName),
    /// Something else, not ours.
    Foreign,
}

/// A set with its elements. The key of an interval is its first and last point together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What it can hold.
    pub spec: SetSpec,
    /// What it holds.
    pub elements: BTreeMap<Octets, Value>,
}

/// Type of a chain at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookType {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
}

/// Where a chain is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its type.
    pub kind: HookType,
    /// `NF_INET_…`.
    pub number: u32,
    /// Order among the hooks there.
    pub priority: i32,
}

/// A chain with its rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// None: called by other chains only.
    pub hook: Option<Hook>,
    /// Its policy is to accept. Ours always is.
    pub accepts: bool,
    /// In order.
    pub rules: Vec<Vec<Expr>>,
}

/// A 32-bit slot of the register file, 0..16.
pub type Register = u8;

/// One expression of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Expr {
    /// Loads a packet's particulars (`NFT_META_…`).
    Meta { to: Register, key: u32 },
    /// Loads octets of a header (1: network, 2: transport).
    Payload {
        to: Register,
        base: u32,
        offset: u32,
        octets: u32,
    },
    /// Loads a fact of the connection (`NFT_CT_…`), of its original direction or of neither.
    Connection {
        to: Register,
        key: u32,
        original: bool,
    },
    /// Sets the connection's mark.
    SetMark { from: Register },
    /// `to = from & mask ^ flip`, on one slot, host order.
    Bits { on: Register, mask: u32, flip: u32 },
    /// Goes on only when (un)equal.
    Compare {
        from: Register,
        equal: bool,
        value: Octets,
    },
    /// Goes on only when found (or not); in a map, loads what was found, or does it.
    Lookup {
        set: SetName,
        from: Register,
        invert: bool,
        to: Found,
    },
    /// `to = jhash(octets from) mod modulus`.
    Hash {
        from: Register,
        octets: u32,
        to: Register,
        modulus: u32,
        seed: u32,
    },
    /// Rewrites the destination.
    Destination { address: Register, port: Register },
    /// Rewrites the source.
    Source { address: Register },
    /// Rewrites the source to the address of the interface where the packet leaves. Never with random ports: a lost
    /// entry of the connection table is then made again as it was.
    Masquerade,
    /// To this machine.
    Redirect,
    /// Refuses with a TCP reset.
    Reset,
    /// Refuses with an ICMP error of this code.
    Unreachable { code: u8 },
    /// Goes on at most so often a second.
    Limit { per_second: u32, burst: u32 },
    /// Counts packets and octets.
    Counter,
    /// Accepts.
    Accept,
    /// Drops.
    Drop,
    /// Goes there and does not come back.
    Goto(ChainName),
    /// None of ours.
    Foreign(String),
}

/// What a lookup does with what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it is a set.
    Nothing,
    /// Loads it.
    Register(Register),
    /// Does it: it is a verdict.
    Verdict,
}

/// The table of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Nobody else can change it, and it stays when its owner goes (`owner` and `persist`).
    pub owned: bool,
    /// Sets and maps.
    pub sets: BTreeMap<SetName, Set>,
    /// Chains.
    pub chains: BTreeMap<ChainName, Chain>,
}

/// Both tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// A family without addresses has no table.
    pub tables: BTreeMap<Family, Table>,
}

impl Ruleset {
    /// All elements of all sets.
    pub fn elements(&self) -> usize {
        let sets = self.tables.values().flat_map(|t| t.sets.values());
        sets.map(|s| s.elements.len()).sum()
    }

    /// The elements of a set, if it is there.
    pub fn set(&self, family: Family, name: &SetName) -> Option<&Set> {
        self.tables.get(&family)?.sets.get(name)
    }
}
