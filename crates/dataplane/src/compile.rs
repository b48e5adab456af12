//! Compiling: the forward table to a ruleset, as a function of the table, the names and the policy.
//!
//! Owns which elements a front has. Deliberately knows neither what the kernel holds (`diff`) nor the rules' text
//! (`rules`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use engine::forward::{ForwardTable, Front, FrontPort, TargetSet, Traffic};
use engine::world::Protocol;
use ipnetwork::IpNetwork;

use crate::maglev;
use crate::names::{Names, fronted};
use crate::rules::{self, Policy};
use crate::ruleset::{
    CONCAT, Chain, ChainName, Family, INTERVAL, MAP, Octets, Ruleset, Set, SetName, SetSpec, Table,
    VERDICT, Value,
};

/// The ruleset of a table. `names` has a number for each target set ([`Names::next`]).
pub fn compile(table: &ForwardTable, names: &Names, policy: &Policy) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for family in families(table) {
        let mut compiled = frame(family, table, policy);
        for ((of, set), number) in &names.sets {
            if *of == family {
                slot_table(&mut compiled, family, set, *number);
            }
        }
        for (address, number) in marks(names, family) {
            let chain = ChainName::Mark(number);
            let rules = rules::mark(policy.mark(number), policy);
            compiled.chains.insert(chain.clone(), regular(rules));
            insert(
                &mut compiled,
                SetName::Marks,
                Octets::address(address),
                Value::Goto(chain),
            );
        }
        ruleset.tables.insert(family, compiled);
    }
    let mut numbers = Numbers::new(names);
    for (front, port) in &table.ports {
        let family = Family::of(front.address);
        let Some(compiled) = ruleset.tables.get_mut(&family) else {
            continue;
        };
        for (set, key, value) in entries(front, port, numbers.of(family, port)) {
            insert(compiled, set, key, value);
        }
    }
    for address in addresses(table) {
        if let Some(compiled) = ruleset.tables.get_mut(&Family::of(address)) {
            let key = Octets::address(address);
            insert(compiled, SetName::Addresses, key, Value::Member);
        }
    }
    ruleset
}

/// The families that have an address.
pub fn families(table: &ForwardTable) -> BTreeSet<Family> {
    // IPv4 orders before IPv6, so the ends tell.
    let ports = [table.ports.first_key_value(), table.ports.last_key_value()];
    let ports = ports.into_iter().flatten().map(|(front, _)| front.address);
    let closed = [table.closed.first(), table.closed.last()];
    ports
        .chain(closed.into_iter().flatten().copied())
        .map(Family::of)
        .collect()
}

fn addresses(table: &ForwardTable) -> BTreeSet<IpAddr> {
    let ports = table.ports.keys().map(|front| front.address);
    ports.chain(table.closed.iter().copied()).collect()
}

/// Whether a table has this address.
pub fn has_address(table: &ForwardTable, address: IpAddr) -> bool {
    let from = Front {
        address,
        protocol: Protocol::Tcp,
        port: 0,
    };
    let next = table.ports.range(from..).next();
    table.closed.contains(&address) || next.is_some_and(|(front, _)| front.address == address)
}

/// Numbers of target sets, remembered by pointer while one table is walked.
pub struct Numbers<'a> {
    names: &'a Names,
    known: BTreeMap<(Family, *const TargetSet), Option<u32>>,
    last: Option<(Family, *const TargetSet, Option<u32>)>,
}

impl<'a> Numbers<'a> {
    /// For the tables that these names were made for.
    pub fn new(names: &'a Names) -> Self {
        Self {
            names,
            known: BTreeMap::new(),
            last: None,
        }
    }

    /// The number that a port leads to; none where it leads nowhere.
    pub fn of(&mut self, family: Family, port: &FrontPort) -> Option<u32> {
        let (_, set) = fronted(port)?;
        let pointer = Arc::as_ptr(set);
        if let Some((f, p, number)) = self.last
            && (f, p) == (family, pointer)
        {
            return number;
        }
        let number = *self.known.entry((family, pointer)).or_insert_with(|| {
            let number = self.names.sets.get(&(family, Arc::clone(set)));
            number.copied()
        });
        self.last = Some((family, pointer, number));
        number
    }
}

/// Address, protocol and port as they stand in registers: each in steps of four octets.
pub fn key(front: &Front) -> Octets {
    let mut octets = [0; 24];
    let width = match front.address {
        IpAddr::V4(a) => {
            octets[..4].copy_from_slice(&a.octets());
            4
        }
        IpAddr::V6(a) => {
            octets[..16].copy_from_slice(&a.octets());
            16
        }
    };
    octets[width] = match front.protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    octets[width + 4..width + 6].copy_from_slice(&front.port.to_be_bytes());
    Octets::new(&octets[..width + 8])
}

/// Everything a front has in the sets. A front without anybody to send to has nothing: its port is closed.
pub fn entries(
    front: &Front,
    port: &FrontPort,
    number: Option<u32>,
) -> Vec<(SetName, Octets, Value)> {
    let key = key(front);
    let mut entries = Vec::with_capacity(4);
    match (port.traffic, fronted(port), number) {
        (Traffic::Node, ..) => {}
        (Traffic::Front, Some((node_port, _)), Some(number)) => {
            let to = Value::Goto(ChainName::Set(number));
            entries.push((SetName::Svc, key.clone(), to));
            let node_port = Value::Data(Octets::new(&node_port.to_be_bytes()));
            entries.push((SetName::Np, key.clone(), node_port));
        }
        (Traffic::Front, ..) => return entries,
    }
    entries.push((SetName::Ports, key.clone(), Value::Member));
    if !port.source_ranges.is_empty() {
        for range in disjoint(front.address, &port.source_ranges) {
            entries.push((SetName::Ranges, interval(&key, range), Value::Member));
        }
        // Also where no range is of this family: then nobody of it may connect.
        entries.push((SetName::Ranged, key, Value::Member));
    }
    entries
}

/// The ranges of the address's family, without those inside another: the kernel refuses overlaps.
fn disjoint(address: IpAddr, ranges: &[IpNetwork]) -> Vec<IpNetwork> {
    let mut sorted: Vec<IpNetwork> = ranges
        .iter()
        .filter(|range| range.is_ipv4() == address.is_ipv4())
        .copied()
        .collect();
    // Wider ones first among equals, so that what follows inside is seen.
    sorted.sort_by_key(|range| (range.network(), range.prefix()));
    let mut kept: Vec<IpNetwork> = Vec::new();
    for range in sorted {
        if !kept.last().is_some_and(|k| k.contains(range.network())) {
            kept.push(range);
        }
    }
    kept
}

/// First and last key of a range, one after the other.
fn interval(key: &Octets, range: IpNetwork) -> Octets {
    let mut octets = Vec::with_capacity(80);
    for end in [range.network(), range.broadcast()] {
        octets.extend_from_slice(key.as_slice());
        octets.extend_from_slice(Octets::address(end).as_slice());
    }
    Octets::Long(octets.into())
}

fn insert(table: &mut Table, set: SetName, key: Octets, value: Value) {
    if let Some(set) = table.sets.get_mut(&set) {
        set.elements.insert(key, value);
    }
}

/// nft's numbers of types; a concatenation has six bits for each.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;
/// Stands for "a number in host order": nft lists it without knowing the hash.
const TYPE_MARK: u32 = 19;
const TYPE_INTERFACE: u32 = 41;

/// What each of our sets can hold.
pub fn spec(family: Family, name: &SetName, slots: u32) -> SetSpec {
    let address = match family {
        Family::Ipv4 => TYPE_IPV4,
        Family::Ipv6 => TYPE_IPV6,
    };
    let front = address << 12 | TYPE_PROTOCOL << 6 | TYPE_PORT;
    let octets = family.octets();
    let set = |key_type, key_octets| SetSpec {
        flags: 0,
        key_type,
        key_octets,
        data_type: 0,
        data_octets: 0,
        size: 0,
    };
    let map = |key: SetSpec, data_type, data_octets| SetSpec {
        flags: MAP,
        data_type,
        data_octets,
        ..key
    };
    match name {
        SetName::Svc => map(set(front, octets + 8), VERDICT, 0),
        SetName::Np => map(set(front, octets + 8), TYPE_PORT, 2),
        SetName::Addresses | SetName::Other(_) => set(address, octets),
        SetName::Ports | SetName::Ranged => set(front, octets + 8),
        SetName::Ranges => SetSpec {
            flags: INTERVAL | CONCAT,
            ..set(front << 6 | address, octets + 8 + octets)
        },
        SetName::Interfaces => set(TYPE_INTERFACE, 16),
        SetName::Marks => map(set(address, octets), VERDICT, 0),
        SetName::Snat => map(set(TYPE_MARK, 4), address, octets),
        SetName::Nodes(_) => SetSpec {
            size: slots,
            ..map(set(TYPE_MARK, 4), address, octets)
        },
    }
}

/// Widths of the fields of an interval's key, each in full octets: what the kernel wants to know of a concatenation.
pub fn fields(family: Family) -> [u32; 4] {
    let octets = family.octets();
    [octets, 1, 2, octets]
}

fn regular(rules: Vec<Vec<crate::ruleset::Expr>>) -> Chain {
    Chain {
        hook: None,
        accepts: true,
        rules,
    }
}

/// The table without fronts, target sets and addresses.
fn frame(family: Family, table: &ForwardTable, policy: &Policy) -> Table {
    let interfaces = !table.interfaces.is_empty();
    let echo = table.icmp_echo;
    let sources: Vec<IpAddr> = table
        .source_addresses
        .iter()
        .filter(|a| Family::of(**a) == family)
        .copied()
        .collect();
    let count = u32::try_from(sources.len()).unwrap_or(u32::MAX);
    let mut sets = vec![
        SetName::Svc,
        SetName::Np,
        SetName::Addresses,
        SetName::Ports,
        SetName::Ranged,
        SetName::Ranges,
        SetName::Marks,
    ];
    sets.extend(interfaces.then_some(SetName::Interfaces));
    sets.extend((count > 0).then_some(SetName::Snat));
    let mut chains = vec![
        (ChainName::Pre, rules::pre(family, interfaces, echo)),
        (
            ChainName::Guard,
            rules::guard(family, interfaces, echo, policy),
        ),
        (ChainName::Closed, rules::closed(family, policy)),
        (ChainName::Forward, rules::forward(family)),
        (
            ChainName::Output,
            rules::output(family, table.own_connections),
        ),
        (ChainName::Post, rules::post(family)),
        (ChainName::Source, rules::source_address(family, count)),
    ];
    if table.own_connections {
        chains.push((ChainName::Out, rules::pre(family, false, echo)));
    }
    let mut frame = Table {
        owned: policy.owned,
        ..Table::default()
    };
    for name in sets {
        let set = Set {
            spec: spec(family, &name, 0),
            elements: BTreeMap::new(),
        };
        frame.sets.insert(name, set);
    }
    for (name, rules) in chains {
        let hook = rules::hook(&name);
        let chain = Chain {
            hook,
            ..regular(rules)
        };
        frame.chains.insert(name, chain);
    }
    fill(&mut frame, table, sources);
    frame
}

/// The elements that belong to no front.
fn fill(frame: &mut Table, table: &ForwardTable, sources: Vec<IpAddr>) {
    for name in &table.interfaces {
        // LIMIT: the kernel's names of interfaces have at most 15 octets.
        let mut octets = [0; 16];
        for (to, from) in octets.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        let key = Octets::new(&octets);
        insert(frame, SetName::Interfaces, key, Value::Member);
    }
    for (n, address) in (0u32..).zip(sources) {
        let key = Octets::new(&n.to_ne_bytes());
        let value = Value::Data(Octets::address(address));
        insert(frame, SetName::Snat, key, value);
    }
}

fn slot_table(table: &mut Table, family: Family, set: &TargetSet, number: u32) {
    let (slots, chain) = slot_parts(family, set, number);
    table.sets.insert(SetName::Nodes(number), slots);
    table.chains.insert(ChainName::Set(number), chain);
}

/// The slots of a target set and the chain that chooses among them. The slots of this node itself are absent: the
/// lookup fails, the rule ends and the node's own kube-proxy takes the packet.
pub fn slot_parts(family: Family, set: &TargetSet, number: u32) -> (Set, Chain) {
    let slots = maglev::slots(set);
    let name = SetName::Nodes(number);
    let targets = maglev::table(set);
    let elements = (0u32..).zip(targets).filter_map(|(slot, place)| {
        let target = set.targets.get(place)?;
        let fits = !target.local && Family::of(target.address) == family;
        fits.then(|| {
            (
                Octets::new(&slot.to_ne_bytes()),
                Value::Data(Octets::address(target.address)),
            )
        })
    });
    let slot_set = Set {
        spec: spec(family, &name, slots),
        elements: elements.collect(),
    };
    let chain = regular(rules::set(family, number, slots, set.by_source));
    (slot_set, chain)
}

/// The targets of a family that are in use, with their marks.
pub fn marks(names: &Names, family: Family) -> BTreeMap<IpAddr, u32> {
    let targets = names
        .sets
        .keys()
        .filter(|(of, _)| *of == family)
        .flat_map(|(_, set)| set.targets.iter())
        .filter(|target| !target.local && Family::of(target.address) == family);
    // Number 0: no mark of its own, but its connections are rewritten like all.
    let number = |address| names.marks.get(address).copied().unwrap_or(0);
    targets
        .map(|target| (target.address, number(&target.address)))
        .collect()
}
