//! kube-proxy's part in a lab: destination NAT from a Service's address and port to a back end.
//!
//! Owns one table per family, `harbinger-lab`, replaced as a whole in one transaction. It encodes just the few
//! nf_tables expressions this needs. Deliberately absent: balancing over several back ends.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};

use super::Host;

const TABLE: &str = "harbinger-lab";

/// Transport protocol of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One Service port: what is sent to `from` goes to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dnat {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The Service's address and port.
    pub from: SocketAddr,
    /// The back end, of the same family.
    pub to: SocketAddr,
    /// Hide the client behind the node, as kube-proxy does for `externalTrafficPolicy: Cluster`; needed when
    /// the back end is on another host, which would answer the client directly.
    pub masquerade: bool,
}

/// Makes exactly these rules the host's, for what arrives and for what the host itself sends.
///
/// # Errors
/// nf_tables is missing or refuses; nothing has changed then.
pub fn set(host: &Host, rules: &[Dnat]) -> Result<()> {
    for rule in rules {
        if rule.from.is_ipv4() != rule.to.is_ipv4() {
            bail!("{} and {} are of different families", rule.from, rule.to);
        }
    }
    let mut batch = Batch::begin();
    for family in [IPV4, IPV6] {
        batch.table(family, NEWTABLE);
        batch.table(family, DELTABLE);
        let mine: Vec<&Dnat> = rules
            .iter()
            .filter(|r| family_of(r.from) == family)
            .collect();
        if mine.is_empty() {
            continue;
        }
        batch.table(family, NEWTABLE);
        batch.chain(family, "prerouting", 0, -100);
        batch.chain(family, "output", 3, -100);
        batch.chain(family, "postrouting", 4, 100);
        for rule in mine {
            for chain in ["prerouting", "output"] {
                batch.rule(family, chain, &dnat(rule));
            }
            if rule.masquerade {
                batch.rule(family, "postrouting", &masquerade(rule));
            }
        }
    }
    let (bytes, messages) = batch.end();
    host.run(|| send(&bytes, messages))
        .with_context(|| format!("nf_tables on {}", host.name()))
}

/// Removes all rules.
///
/// # Errors
/// nf_tables is missing.
pub fn clear(host: &Host) -> Result<()> {
    set(host, &[])
}

const IPV4: u8 = libc::NFPROTO_IPV4 as u8;
const IPV6: u8 = libc::NFPROTO_IPV6 as u8;

const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;

/// Registers: 1 and 2 hold 16 octets each; an address in one, a port in the other.
const REG_ADDRESS: u32 = 1;
const REG_PORT: u32 = 2;

fn family_of(address: SocketAddr) -> u8 {
    if address.is_ipv4() { IPV4 } else { IPV6 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// Matches protocol, destination address and destination port.
fn matching(protocol: Protocol, to: SocketAddr) -> Vec<u8> {
    let number: u8 = match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    };
    // Where the destination address lies in the IP header.
    let offset = if to.is_ipv4() { 16 } else { 24 };
    let address = octets(to.ip());
    [
        // meta load l4proto (key 16)
        expression("meta", &[number_attribute(1, 1), number_attribute(2, 16)]),
        compare(&[number]),
        // payload load from the network header (1), from the transport header (2)
        payload(1, offset, address.len() as u32),
        compare(&address),
        payload(2, 2, 2),
        compare(&to.port().to_be_bytes()),
    ]
    .concat()
}

fn dnat(rule: &Dnat) -> Vec<u8> {
    let nat = [
        // type 1: destination
        number_attribute(1, 1),
        number_attribute(2, u32::from(family_of(rule.to))),
        number_attribute(3, REG_ADDRESS),
        number_attribute(5, REG_PORT),
    ];
    [
        matching(rule.protocol, rule.from),
        immediate(REG_ADDRESS, &octets(rule.to.ip())),
        immediate(REG_PORT, &rule.to.port().to_be_bytes()),
        expression("nat", &nat),
    ]
    .concat()
}

/// Hides the client of connections that were translated to this back end.
fn masquerade(rule: &Dnat) -> Vec<u8> {
    /// `IPS_DST_NAT`.
    const TRANSLATED: u32 = 0x20;
    let bits = TRANSLATED.to_ne_bytes();
    let bitwise = [
        number_attribute(1, 1),
        number_attribute(2, 1),
        number_attribute(3, 4),
        nested(4, &[attribute(1, &bits)]),
        nested(5, &[attribute(1, &[0; 4])]),
    ];
    [
        matching(rule.protocol, rule.to),
        // ct load status (key 2)
        expression("ct", &[number_attribute(1, 1), number_attribute(2, 2)]),
        expression("bitwise", &bitwise),
        compare(&bits),
        expression("masq", &[]),
    ]
    .concat()
}

fn payload(base: u32, offset: u32, len: u32) -> Vec<u8> {
    let parts = [
        number_attribute(1, 1),
        number_attribute(2, base),
        number_attribute(3, offset),
        number_attribute(4, len),
    ];
    expression("payload", &parts)
}

fn compare(value: &[u8]) -> Vec<u8> {
    // operator 0: equal
    let parts = [
        number_attribute(1, 1),
        number_attribute(2, 0),
        nested(3, &[attribute(1, value)]),
    ];
    expression("cmp", &parts)
}

fn immediate(register: u32, value: &[u8]) -> Vec<u8> {
    let parts = [
        number_attribute(1, register),
        nested(2, &[attribute(1, value)]),
    ];
    expression("immediate", &parts)
}

/// A list element (1) with name (1) and data (2).
fn expression(name: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    nested(1, &[text_attribute(1, name), nested(2, parts)])
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + value.len().next_multiple_of(4));
    out.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// Numbers of nf_tables are in network order.
fn number_attribute(kind: u16, value: u32) -> Vec<u8> {
    attribute(kind, &value.to_be_bytes())
}

fn text_attribute(kind: u16, value: &str) -> Vec<u8> {
    attribute(kind, &[value.as_bytes(), &[0]].concat())
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    attribute(kind | libc::NLA_F_NESTED as u16, &parts.concat())
}

/// Messages of one transaction.
struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
}

impl Batch {
    fn begin() -> Self {
        let mut batch = Self {
            bytes: Vec::new(),
            sequence: 0,
        };
        batch.bound(libc::NFNL_MSG_BATCH_BEGIN as u16);
        batch
    }

    fn end(mut self) -> (Vec<u8>, u32) {
        let messages = self.sequence - 1;
        self.bound(libc::NFNL_MSG_BATCH_END as u16);
        (self.bytes, messages)
    }

    fn table(&mut self, family: u8, kind: u16) {
        self.inner(family, kind, &text_attribute(1, TABLE));
    }

    fn chain(&mut self, family: u8, name: &str, hook: u32, priority: i32) {
        let hook = [
            number_attribute(1, hook),
            attribute(2, &priority.to_be_bytes()),
        ];
        let body = [
            text_attribute(1, TABLE),
            text_attribute(3, name),
            nested(4, &hook),
            text_attribute(7, "nat"),
        ];
        self.inner(family, NEWCHAIN, &body.concat());
    }

    fn rule(&mut self, family: u8, chain: &str, expressions: &[u8]) {
        let body = [
            text_attribute(1, TABLE),
            text_attribute(2, chain),
            nested(4, &[expressions.to_vec()]),
        ];
        self.inner(family, NEWRULE, &body.concat());
    }

    fn bound(&mut self, kind: u16) {
        let resource = (libc::NFNL_SUBSYS_NFTABLES as u16).to_be_bytes();
        self.message(kind, libc::NLM_F_REQUEST, &[0, 0, resource[0], resource[1]]);
    }

    fn inner(&mut self, family: u8, kind: u16, body: &[u8]) {
        let kind = ((libc::NFNL_SUBSYS_NFTABLES as u16) << 8) | kind;
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_APPEND;
        self.message(kind, flags, &[&[family, 0, 0, 0], body].concat());
    }

    fn message(&mut self, kind: u16, flags: i32, body: &[u8]) {
        let len = (16 + body.len()) as u32;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(body);
        self.sequence += 1;
    }
}

/// Sends a transaction and reads its acknowledgements, which are there when `send` returns.
fn send(batch: &[u8], messages: u32) -> Result<()> {
    let socket = Socket::new(libc::NETLINK_NETFILTER as isize)?;
    socket.set_non_blocking(true)?;
    socket.send_to(batch, &NetlinkAddr::new(0, 0), 0)?;
    let mut acknowledged = 0;
    let mut answer = Vec::with_capacity(64 << 10);
    while acknowledged < messages {
        answer.clear();
        socket.recv(&mut answer, 0).context("answer")?;
        let mut rest = &answer[..];
        while rest.len() >= 20 {
            let number = |at: usize| {
                u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]])
            };
            let code = number(16) as i32;
            if code != 0 {
                let e = std::io::Error::from_raw_os_error(-code);
                return Err(e).context(format!("message {}", number(8)));
            }
            acknowledged += 1;
            rest = rest
                .get((number(0) as usize).next_multiple_of(4)..)
                .unwrap_or_default();
        }
    }
    Ok(())
}
