//! Kernel filters: which frames are worth waking up for (L2-12, L2-61).
//!
//! Owns the cover of an address set by at most 64 prefixes and the classic BPF programs for it. Does not attach them:
//! the shell does, to a socket of type `SOCK_RAW` (offsets count from the Ethernet header), before it is bound.
//!
//! A filter is a sieve, not a judge: what it lets through is validated again by the responder.

mod cover;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use cover::Prefix;

/// Prefixes in one filter (L2-12): 64 IPv6 prefixes make a program of some 600 instructions, which the kernel expands
/// to about 9 KB; sockets may hold 20 KB of option memory, and a swap holds two programs.
pub const COVER_MAX: usize = 64;

/// One instruction of classic BPF, laid out as the kernel's `sock_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// A program and what it lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The program; never empty, never longer than the kernel's 4,096 instructions.
    pub program: Vec<Insn>,
    /// Targets (and, for ARP, senders) let through; sorted and disjoint. Empty lets nothing through.
    pub cover: Vec<IpNetwork>,
}

/// Accepted frames are delivered whole.
const ACCEPT: u32 = 0x4_0000;
const REJECT: u32 = 0;

const LD_WORD: u16 = 0x20;
const LD_HALF: u16 = 0x28;
const LD_BYTE: u16 = 0x30;
const LD_MEM: u16 = 0x60;
const ST: u16 = 0x02;
const AND: u16 = 0x54;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_PKTTYPE`: the packet type the kernel keeps beside the frame.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
const PACKET_OUTGOING: u32 = 4;

impl Filter {
    /// ARP requests and replies for Ethernet and IPv4, not sent by this host, whose target or sender is in the cover
    /// of these addresses. Addresses must be in ascending order.
    pub fn arp(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        let values = addresses
            .into_iter()
            .map(|address| u128::from(u32::from(address)));
        let cover = cover::cover(values, 32, COVER_MAX);
        let mut program = Program::default();
        if !cover.is_empty() {
            program.require(LD_HALF, 12, 0x0806);
            program.require(LD_HALF, 14, 1);
            program.require(LD_HALF, 16, 0x0800);
            program.require(LD_HALF, 18, 0x0604);
            program.require_either(LD_HALF, 20, 1, 2);
            program.refuse_outgoing();
            for field in [38, 28] {
                program.push(LD_WORD, 0, 0, field);
                for prefix in &cover {
                    program.accept_range(prefix);
                }
            }
        }
        program.push(RET, 0, 0, REJECT);
        Filter {
            program: program.0,
            cover: cover.iter().map(|prefix| prefix.ipv4()).collect(),
        }
    }

    /// Neighbor solicitations and advertisements straight behind the IPv6 header, with hop limit 255, not sent by this
    /// host, whose target is in the cover of these addresses. Addresses must be in ascending order.
    pub fn nd(addresses: impl IntoIterator<Item = Ipv6Addr>) -> Self {
        let cover = cover::cover(addresses.into_iter().map(u128::from), 128, COVER_MAX);
        let mut program = Program::default();
        if !cover.is_empty() {
            program.require(LD_HALF, 12, 0x86dd);
            program.push(LD_BYTE, 0, 0, 14);
            program.push(AND, 0, 0, 0xf0);
            program.require_value(0x60);
            program.require(LD_BYTE, 20, 58);
            program.require(LD_BYTE, 21, 255);
            program.require_either(LD_BYTE, 54, 135, 136);
            program.refuse_outgoing();
            program.accept_targets(&cover);
        }
        program.push(RET, 0, 0, REJECT);
        Filter {
            program: program.0,
            cover: cover.iter().map(|prefix| prefix.ipv6()).collect(),
        }
    }

    /// The filter for the addresses of one family within a set in ascending order.
    pub(crate) fn of_family<'a>(addresses: impl Iterator<Item = &'a IpAddr>, ipv6: bool) -> Self {
        if ipv6 {
            Filter::nd(addresses.filter_map(|address| match address {
                IpAddr::V4(_) => None,
                IpAddr::V6(address) => Some(*address),
            }))
        } else {
            Filter::arp(addresses.filter_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            }))
        }
    }
}

/// A program in the making. Jumps are short by construction: a failed test falls onto its own `ret`.
#[derive(Default)]
struct Program(Vec<Insn>);

impl Program {
    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) {
        self.0.push(Insn { code, jt, jf, k });
    }

    fn require(&mut self, load: u16, offset: u32, value: u32) {
        self.push(load, 0, 0, offset);
        self.require_value(value);
    }

    fn require_value(&mut self, value: u32) {
        self.push(JEQ, 1, 0, value);
        self.push(RET, 0, 0, REJECT);
    }

    fn require_either(&mut self, load: u16, offset: u32, one: u32, other: u32) {
        self.push(load, 0, 0, offset);
        self.push(JEQ, 2, 0, one);
        self.require_value(other);
    }

    fn refuse_outgoing(&mut self) {
        self.push(LD_WORD, 0, 0, PACKET_TYPE);
        self.push(JEQ, 0, 1, PACKET_OUTGOING);
        self.push(RET, 0, 0, REJECT);
    }

    /// Accepts if the accumulator is within an IPv4 prefix, else falls through.
    fn accept_range(&mut self, prefix: &Prefix) {
        let (first, last) = (prefix.word(3), prefix.last_word(3));
        self.push(JGE, 0, 2, first);
        self.push(JGT, 1, 0, last);
        self.push(RET, 0, 0, ACCEPT);
    }

    /// Accepts if the target of a message is within one of the IPv6 prefixes, else falls through. Words that all
    /// prefixes share, mostly the network's, are compared once; the others are loaded once into scratch memory,
    /// because the kernel expands each load from the frame to many instructions.
    fn accept_targets(&mut self, cover: &[Prefix]) {
        const TARGET: u32 = 62;
        let shared = (0..4)
            .take_while(|&word| {
                cover
                    .iter()
                    .all(|p| usize::from(p.length) >= (word + 1) * 32)
                    && cover
                        .windows(2)
                        .all(|pair| matches!(pair, [a, b] if a.word(word) == b.word(word)))
            })
            .count();
        for word in 0..4 {
            let offset = TARGET + 4 * word as u32;
            match cover.first() {
                Some(first) if word < shared => self.require(LD_WORD, offset, first.word(word)),
                _ => {
                    self.push(LD_WORD, 0, 0, offset);
                    self.push(ST, 0, 0, word as u32);
                }
            }
        }
        for prefix in cover {
            self.accept_target(prefix, shared);
        }
    }

    fn accept_target(&mut self, prefix: &Prefix, shared: usize) {
        let mut tests = Vec::new();
        for word in shared..4 {
            let bits = usize::from(prefix.length).saturating_sub(word * 32).min(32);
            if bits == 0 {
                break;
            }
            tests.push(Insn {
                code: LD_MEM,
                jt: 0,
                jf: 0,
                k: word as u32,
            });
            if bits < 32 {
                tests.push(Insn {
                    code: AND,
                    jt: 0,
                    jf: 0,
                    k: u32::MAX << (32 - bits),
                });
            }
            tests.push(Insn {
                code: JEQ,
                jt: 0,
                jf: 0,
                k: prefix.word(word),
            });
        }
        // A failed comparison skips the tests behind it and the acceptance.
        let count = tests.len();
        for (index, insn) in tests.iter_mut().enumerate() {
            if insn.code == JEQ {
                insn.jf = u8::try_from(count - index).expect("at most 9 instructions per prefix");
            }
        }
        self.0.append(&mut tests);
        self.push(RET, 0, 0, ACCEPT);
    }
}

#[cfg(test)]
mod tests;
