//! The rules of each chain (design: front.md).
//!
//! Owns which registers hold what and in which order the expressions stand. Deliberately knows no address and no
//! port: those are elements.
//!
//! Registers are 32-bit slots. An address takes one (IPv4) or four (IPv6) from slot 0, protocol and port follow: the
//! key of `svc`, `np`, `ports` and `ranged`. What a lookup found for later stands from slot 8.

use crate::ruleset::{ChainName, Expr, Family, Found, Hook, HookType, Octets, Register, SetName};

/// What the rules depend on besides the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Bits of the connection mark that are ours.
    pub mark_mask: u32,
    /// Echo requests answered in a second.
    pub echo_per_second: u32,
    /// Connections refused with an answer in a second; more are dropped.
    pub refusals_per_second: u32,
    /// The tables are owned by this process and persist.
    pub owned: bool,
}

impl Policy {
    /// How many targets can have a mark of their own.
    pub fn marks_max(&self) -> u32 {
        match self.mark_mask {
            0 => 0,
            mask => mask >> mask.trailing_zeros(),
        }
    }

    /// The mark of a number.
    pub fn mark(&self, number: u32) -> u32 {
        (number << self.mark_mask.trailing_zeros().min(31)) & self.mark_mask
    }
}

/// Seeds of the hashes: the choice of the slot must not follow that of the source address.
const SLOT_SEED: u32 = 1;
const SOURCE_SEED: u32 = 2;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// `NFT_META_…`.
const META_IIFNAME: u32 = 6;
const META_L4PROTO: u32 = 16;

/// `NFT_CT_…`.
const CT_STATE: u32 = 0;
const CT_MARK: u32 = 3;
const CT_PROTO_DST: u32 = 12;
const CT_DST_IP: u32 = 20;
const CT_DST_IP6: u32 = 22;

/// Established and related.
const STATES_KNOWN: u32 = 0x6;

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// Where what was found waits.
const FOUND: Register = 8;

/// Slots of an address.
fn width(family: Family) -> Register {
    match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 4,
    }
}

/// Where the table's chains are called. Before any other's: kube-proxy's NAT is at -100, its filters at -110 and after.
pub fn hook(chain: &ChainName) -> Option<Hook> {
    let (kind, number, priority) = match chain {
        ChainName::Pre => (HookType::Nat, 0, -110),
        ChainName::Guard => (HookType::Filter, 0, -120),
        ChainName::Forward => (HookType::Filter, 2, -10),
        ChainName::Output => (HookType::Filter, 3, 0),
        ChainName::Out => (HookType::Nat, 3, -110),
        ChainName::Post => (HookType::Nat, 4, 90),
        ChainName::Closed
        | ChainName::Source
        | ChainName::Set(_)
        | ChainName::Mark(_)
        | ChainName::Other(_) => return None,
    };
    Some(Hook {
        kind,
        number,
        priority,
    })
}

fn destination(family: Family, to: Register) -> Expr {
    Expr::Payload {
        to,
        base: NETWORK,
        offset: match family {
            Family::Ipv4 => 16,
            Family::Ipv6 => 24,
        },
        octets: family.octets(),
    }
}

fn source(family: Family, to: Register) -> Expr {
    Expr::Payload {
        to,
        base: NETWORK,
        offset: match family {
            Family::Ipv4 => 12,
            Family::Ipv6 => 8,
        },
        octets: family.octets(),
    }
}

fn protocol(to: Register) -> Expr {
    Expr::Meta {
        to,
        key: META_L4PROTO,
    }
}

fn port(to: Register, offset: u32) -> Expr {
    Expr::Payload {
        to,
        base: TRANSPORT,
        offset,
        octets: 2,
    }
}

fn lookup(set: SetName, from: Register, to: Found) -> Expr {
    Expr::Lookup {
        set,
        from,
        invert: false,
        to,
    }
}

fn missing(set: SetName) -> Expr {
    Expr::Lookup {
        set,
        from: 0,
        invert: true,
        to: Found::Nothing,
    }
}

fn equals(from: Register, value: &[u8]) -> Expr {
    Expr::Compare {
        from,
        equal: true,
        value: Octets::new(value),
    }
}

/// Loads address, protocol and port of the destination from slot 0.
fn front(family: Family) -> Vec<Expr> {
    let w = width(family);
    vec![destination(family, 0), protocol(w), port(w + 1, 2)]
}

fn arrives_here() -> Vec<Expr> {
    vec![
        Expr::Meta {
            to: 0,
            key: META_IIFNAME,
        },
        lookup(SetName::Interfaces, 0, Found::Nothing),
    ]
}

/// An ICMP message of this type.
fn icmp(family: Family, kind: u8) -> Vec<Expr> {
    let number = match family {
        Family::Ipv4 => 1,
        Family::Ipv6 => 58,
    };
    let load = Expr::Payload {
        to: 0,
        base: TRANSPORT,
        offset: 0,
        octets: 1,
    };
    vec![protocol(0), equals(0, &[number]), load, equals(0, &[kind])]
}

fn echo_request(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 8,
        Family::Ipv6 => 128,
    }
}

fn ours(family: Family) -> Vec<Expr> {
    vec![
        destination(family, 0),
        lookup(SetName::Addresses, 0, Found::Nothing),
    ]
}

/// Chooses the slot table; answers echo requests by turning them to this machine, so that the reply's source is the
/// address. A front that is not found, or whose slot is this node's own, is left to kube-proxy.
pub fn pre(family: Family, interfaces: bool, echo: bool) -> Vec<Vec<Expr>> {
    let here = || match interfaces {
        true => arrives_here(),
        false => Vec::new(),
    };
    let mut choose = here();
    choose.extend(front(family));
    choose.push(lookup(SetName::Svc, 0, Found::Verdict));
    let mut rules = vec![choose];
    if echo {
        let mut answer = here();
        answer.extend(ours(family));
        answer.extend(icmp(family, echo_request(family)));
        answer.push(Expr::Redirect);
        rules.push(answer);
    }
    rules
}

/// Slot by the client, target by the slot, NodePort by the front.
pub fn set(family: Family, number: u32, slots: u32, by_source: bool) -> Vec<Vec<Expr>> {
    let w = width(family);
    let mut choose = vec![source(family, 0)];
    let mut octets = family.octets();
    if !by_source {
        choose.push(port(w, 0));
        octets += 4;
    }
    choose.push(Expr::Hash {
        from: 0,
        octets,
        to: w + 1,
        modulus: slots,
        seed: SLOT_SEED,
    });
    choose.push(lookup(
        SetName::Nodes(number),
        w + 1,
        Found::Register(FOUND),
    ));
    choose.extend(front(family));
    choose.push(lookup(SetName::Np, 0, Found::Register(w + 2)));
    choose.push(Expr::Destination {
        address: FOUND,
        port: w + 2,
    });
    vec![vec![Expr::Counter], choose]
}

/// Before any rewriting: what is known passes, what is not for us passes, and only open ports and allowed sources do.
pub fn guard(family: Family, interfaces: bool, echo: bool, policy: &Policy) -> Vec<Vec<Expr>> {
    let mut rules = vec![vec![
        Expr::Connection {
            to: 0,
            key: CT_STATE,
            original: false,
        },
        Expr::Bits {
            on: 0,
            mask: STATES_KNOWN,
            flip: 0,
        },
        Expr::Compare {
            from: 0,
            equal: false,
            value: Octets::new(&[0; 4]),
        },
        Expr::Accept,
    ]];
    if interfaces {
        let load = Expr::Meta {
            to: 0,
            key: META_IIFNAME,
        };
        rules.push(vec![load, missing(SetName::Interfaces), Expr::Accept]);
    }
    rules.push(vec![
        destination(family, 0),
        missing(SetName::Addresses),
        Expr::Accept,
    ]);
    if family == Family::Ipv6 {
        // Neighbour solicitation and advertisement: an address may also be on a local interface.
        for kind in [135, 136] {
            let mut pass = icmp(family, kind);
            pass.push(Expr::Accept);
            rules.push(pass);
        }
    }
    if echo {
        let mut pass = icmp(family, echo_request(family));
        pass.push(Expr::Limit {
            per_second: policy.echo_per_second,
            burst: policy.echo_per_second,
        });
        pass.push(Expr::Accept);
        rules.push(pass);
    }
    let mut closed = front(family);
    closed.push(missing(SetName::Ports));
    closed.push(Expr::Goto(ChainName::Closed));
    rules.push(closed);
    let mut ranged = front(family);
    ranged.push(lookup(SetName::Ranged, 0, Found::Nothing));
    ranged.push(source(family, width(family) + 2));
    ranged.push(missing(SetName::Ranges));
    ranged.push(Expr::Drop);
    rules.push(ranged);
    rules
}

/// Refuses politely at a bounded rate, then silently.
pub fn closed(family: Family, policy: &Policy) -> Vec<Vec<Expr>> {
    let limit = || Expr::Limit {
        per_second: policy.refusals_per_second,
        burst: policy.refusals_per_second,
    };
    // Port unreachable.
    let code = match family {
        Family::Ipv4 => 3,
        Family::Ipv6 => 4,
    };
    let unreachable = |number| {
        vec![
            protocol(0),
            equals(0, &[number]),
            limit(),
            Expr::Unreachable { code },
        ]
    };
    vec![
        vec![Expr::Counter],
        vec![protocol(0), equals(0, &[TCP]), limit(), Expr::Reset],
        unreachable(UDP),
        unreachable(SCTP),
        vec![Expr::Drop],
    ]
}

/// What is still addressed to one of our addresses would be looked for on the link: it is nowhere.
pub fn forward(family: Family) -> Vec<Vec<Expr>> {
    let mut drop = ours(family);
    drop.push(Expr::Drop);
    vec![drop]
}

/// Redirects would tell clients of the way behind us. Own connections to what is not rewritten are refused.
pub fn output(family: Family, own_connections: bool) -> Vec<Vec<Expr>> {
    let redirect = match family {
        Family::Ipv4 => 5,
        Family::Ipv6 => 137,
    };
    let mut silent = icmp(family, redirect);
    silent.push(Expr::Drop);
    let mut rules = vec![silent];
    if own_connections {
        let mut refuse = ours(family);
        refuse.push(Expr::Goto(ChainName::Closed));
        rules.push(refuse);
    }
    rules
}

/// A destination rewrite ends its rule, so the mark is set here: by the target, where the connection was to a front.
pub fn post(family: Family) -> Vec<Vec<Expr>> {
    let w = width(family);
    let connection = |to, key| Expr::Connection {
        to,
        key,
        original: true,
    };
    let address = match family {
        Family::Ipv4 => CT_DST_IP,
        Family::Ipv6 => CT_DST_IP6,
    };
    vec![vec![
        connection(0, address),
        protocol(w),
        connection(w + 1, CT_PROTO_DST),
        lookup(SetName::Np, 0, Found::Register(w + 2)),
        destination(family, FOUND),
        lookup(SetName::Marks, FOUND, Found::Verdict),
    ]]
}

/// Marks, leaving the bits of others alone, and rewrites the source.
pub fn mark(mark: u32, policy: &Policy) -> Vec<Vec<Expr>> {
    let set = vec![
        Expr::Connection {
            to: 0,
            key: CT_MARK,
            original: false,
        },
        Expr::Bits {
            on: 0,
            mask: !policy.mark_mask,
            flip: mark,
        },
        Expr::SetMark { from: 0 },
    ];
    vec![set, vec![Expr::Goto(ChainName::Source)]]
}

/// Hides the client: by the address of the interface, or by one of `addresses` as the client hashes.
pub fn source_address(family: Family, addresses: u32) -> Vec<Vec<Expr>> {
    if addresses == 0 {
        return vec![vec![Expr::Masquerade]];
    }
    let w = width(family);
    vec![vec![
        source(family, 0),
        port(w, 0),
        Expr::Hash {
            from: 0,
            octets: family.octets() + 4,
            to: w + 1,
            modulus: addresses,
            seed: SOURCE_SEED,
        },
        lookup(SetName::Snat, w + 1, Found::Register(FOUND)),
        Expr::Source { address: FOUND },
    ]]
}
