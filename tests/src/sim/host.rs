//! A host on the network: a neighbour cache that resolves and ages like Linux's, and the requests sent through it.
//!
//! Owns the states of RFC 4861 §7.3.2 with Linux's times, for ARP and NDP alike. Does not carry IP packets: a request goes to
//! whoever has the hardware address that the cache gives, and is answered or lost at once.

use super::lan::Mac;
use super::random::Random;
use l2::MacAddr;
use l2::packet::{Ethernet, arp, nd};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
/// `delay_first_probe_time`.
const DELAY: Duration = Duration::from_secs(5);
/// `ucast_solicit` and `mcast_solicit`.
const TRIES: u8 = 3;

/// The state of one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Incomplete,
    Reachable,
    Stale,
    Delay,
    Probe,
    Failed,
}

#[derive(Clone, Debug)]
struct Neighbour {
    state: State,
    mac: Mac,
    confirmed: Instant,
    /// When the state ends, for those that do.
    due: Instant,
    tries: u8,
    /// Requests that wait for an answer.
    waiting: u32,
}

/// What a cache says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    Send(Mac),
    /// It is being resolved; the request waits.
    Wait,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) port: usize,
    pub(super) mac: Mac,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    cache: BTreeMap<IpAddr, Neighbour>,
    /// `base_reachable_time`, half to one and a half of 30 s.
    reachable: Duration,
    /// Requests by this host so often.
    pub(super) pace: Duration,
    /// Frames to send.
    pub(super) out: Vec<Vec<u8>>,
    /// Addresses that were resolved, with how many requests waited.
    pub(super) resolved: Vec<(IpAddr, u32)>,
    /// Who answered last, with the frame's source, for the checkers.
    pub(super) answers: Vec<(IpAddr, Mac)>,
}

impl Host {
    pub(super) fn new(
        index: usize,
        port: usize,
        mac: Mac,
        random: &mut Random,
        pace: Duration,
    ) -> Self {
        let octet = 200 + (index % 50) as u8;
        Self {
            port,
            mac,
            ipv4: Ipv4Addr::new(10, 0, 255, octet),
            ipv6: Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0xffff, u16::from(octet)),
            cache: BTreeMap::new(),
            reachable: random.between(15 * SECOND, 45 * SECOND),
            pace,
            out: Vec::new(),
            resolved: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Where to send a request for an address; begins to resolve it if need be.
    pub(super) fn look_up(&mut self, address: IpAddr, now: Instant) -> Lookup {
        let unknown = Neighbour {
            state: State::Failed,
            mac: [0; 6],
            confirmed: now,
            due: now,
            tries: 0,
            waiting: 0,
        };
        let entry = self.cache.entry(address).or_insert(unknown);
        match entry.state {
            State::Failed => {
                entry.state = State::Incomplete;
                entry.tries = 1;
                entry.due = now + SECOND;
                entry.waiting = 1;
                let frame = self.question(address, None);
                self.out.push(frame);
                Lookup::Wait
            }
            State::Incomplete => {
                entry.waiting = (entry.waiting + 1).min(100);
                Lookup::Wait
            }
            State::Stale => {
                entry.state = State::Delay;
                entry.due = now + DELAY;
                Lookup::Send(entry.mac)
            }
            State::Reachable | State::Delay | State::Probe => Lookup::Send(entry.mac),
        }
    }

    /// Another host begins to use an address: what is known of it is asked anew.
    pub(super) fn forget(&mut self, address: IpAddr) {
        if let Some(entry) = self.cache.get_mut(&address)
            && entry.state != State::Incomplete
        {
            entry.state = State::Failed;
        }
    }

    /// A request was answered: the neighbour is there.
    pub(super) fn confirm(&mut self, address: IpAddr, now: Instant) {
        if let Some(entry) = self.cache.get_mut(&address)
            && entry.state != State::Incomplete
            && entry.state != State::Failed
        {
            entry.state = State::Reachable;
            entry.confirmed = now;
            entry.due = now + self.reachable;
        }
    }

    /// What time asks for; returns how many waiting requests were given up.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> u32 {
        let mut given_up = 0;
        let mut questions = Vec::new();
        for (address, entry) in &mut self.cache {
            if entry.due > now {
                continue;
            }
            match entry.state {
                State::Failed | State::Stale => {}
                State::Reachable => entry.state = State::Stale,
                State::Delay => {
                    entry.state = State::Probe;
                    entry.tries = 1;
                    entry.due = now + SECOND;
                    questions.push((*address, Some(entry.mac)));
                }
                State::Incomplete | State::Probe if entry.tries < TRIES => {
                    entry.tries += 1;
                    entry.due = now + SECOND;
                    let to = (entry.state == State::Probe).then_some(entry.mac);
                    questions.push((*address, to));
                }
                State::Incomplete | State::Probe => {
                    given_up += std::mem::take(&mut entry.waiting);
                    entry.state = State::Failed;
                }
            }
        }
        for (address, to) in questions {
            let frame = self.question(address, to);
            self.out.push(frame);
        }
        given_up
    }

    /// A frame arrived.
    pub(super) fn handle_frame(&mut self, frame: &[u8], now: Instant) {
        let Ok(ethernet) = Ethernet::parse(frame) else {
            return;
        };
        let to_us = ethernet.destination.0 == self.mac;
        match ethernet.ethertype {
            arp::ETHERTYPE => {
                let Ok(packet) = arp::Arp::parse(ethernet.payload) else {
                    return;
                };
                let reply = packet.operation == arp::Operation::Reply;
                let sender = IpAddr::V4(packet.sender);
                // Linux: a reply to us confirms; anything else that names a known sender refreshes it as stale, and
                // inside the lock time of a second only a gratuitous packet does.
                let solicited = reply && to_us;
                let gratuitous = packet.sender == packet.target;
                self.learn(
                    sender,
                    packet.sender_mac.0,
                    solicited,
                    solicited || gratuitous,
                    now,
                );
                if packet.operation == arp::Operation::Request && packet.target == self.ipv4 {
                    self.out.push(packet.reply(MacAddr(self.mac)));
                }
            }
            nd::ETHERTYPE => {
                if let Ok(nd::Message::Advertisement {
                    target, options, ..
                }) = nd::Message::parse(ethernet.payload)
                    && let Some(mac) = options.target_ll
                {
                    self.learn(IpAddr::V6(target), mac.0, to_us, true, now);
                }
            }
            _ => {}
        }
    }

    fn learn(&mut self, address: IpAddr, mac: Mac, solicited: bool, strong: bool, now: Instant) {
        if solicited {
            self.answers.push((address, mac));
        }
        let reachable = self.reachable;
        // Nobody is learned who was not asked for (`arp_accept` 0).
        let Some(entry) = self.cache.get_mut(&address) else {
            return;
        };
        match entry.state {
            State::Failed => {}
            State::Incomplete => {
                if !solicited && !strong {
                    return;
                }
                entry.mac = mac;
                entry.confirmed = now;
                entry.state = if solicited {
                    State::Reachable
                } else {
                    State::Stale
                };
                entry.due = now + reachable;
                self.resolved
                    .push((address, std::mem::take(&mut entry.waiting)));
            }
            State::Reachable | State::Stale | State::Delay | State::Probe => {
                let changed = entry.mac != mac;
                if changed && !strong && entry.confirmed + SECOND > now {
                    return;
                }
                entry.mac = mac;
                if solicited {
                    entry.state = State::Reachable;
                    entry.confirmed = now;
                    entry.due = now + reachable;
                } else if changed {
                    entry.state = State::Stale;
                    entry.confirmed = now;
                }
            }
        }
    }

    /// A request for an address: to everybody, or to one who is thought to have it.
    fn question(&self, address: IpAddr, to: Option<Mac>) -> Vec<u8> {
        match address {
            IpAddr::V4(target) => arp::Arp {
                operation: arp::Operation::Request,
                sender_mac: MacAddr(self.mac),
                sender: self.ipv4,
                target_mac: MacAddr::ZERO,
                target,
            }
            .build(to.map_or(MacAddr::BROADCAST, MacAddr)),
            IpAddr::V6(target) => solicitation(self.mac, self.ipv6, target, to),
        }
    }
}

/// A neighbour solicitation as a host sends it (RFC 4861 §4.3).
fn solicitation(mac: Mac, source: Ipv6Addr, target: Ipv6Addr, to: Option<Mac>) -> Vec<u8> {
    let destination = match to {
        Some(_) => target,
        None => nd::solicited_node(target),
    };
    let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
    icmp.extend(target.octets());
    icmp.extend([1, 1]);
    icmp.extend(mac);
    let mut sum: u32 = 58 + icmp.len() as u32;
    let words = |bytes: &[u8]| -> u32 {
        let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        bytes.chunks_exact(2).map(word).sum()
    };
    sum += words(&source.octets()) + words(&destination.octets()) + words(&icmp);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    icmp[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    let mut frame = to.unwrap_or(nd::solicited_node_mac(target).0).to_vec();
    frame.extend(mac);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, icmp.len() as u8, 58, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(icmp);
    frame
}
