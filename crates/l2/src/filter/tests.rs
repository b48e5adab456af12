//! Filters, run in an interpreter of classic BPF against frames, and covers against their definition.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::testing::{ArpFrame, CLIENT_IP, CLIENT_IP6, ELSEWHERE, NdFrame, STRANGER, VIP, VIP6};

/// A name, what is changed in an otherwise valid frame, and whether it passes.
type Case<F> = (&'static str, fn(&mut F), bool);

const HOST: u32 = 0;
const BROADCAST: u32 = 1;

/// Runs a program as the kernel does; true if the frame is let through. Loads past the end refuse the frame.
fn passes(filter: &Filter, frame: &[u8], packet_type: u32) -> bool {
    let (mut a, mut memory, mut at) = (0u32, [0u32; 16], 0usize);
    let load = |offset: u32, width: usize| {
        let start = offset as usize;
        let bytes = frame.get(start..start + width)?;
        Some(
            bytes
                .iter()
                .fold(0u32, |value, &byte| value << 8 | u32::from(byte)),
        )
    };
    for _ in 0..4096 {
        let Insn { code, jt, jf, k } = filter.program[at];
        at += 1;
        let mut jump = |test: bool| at += usize::from(if test { jt } else { jf });
        match code {
            LD_WORD if k == PACKET_TYPE => a = packet_type,
            LD_WORD | LD_HALF | LD_BYTE => {
                let width = match code {
                    LD_WORD => 4,
                    LD_HALF => 2,
                    _ => 1,
                };
                match load(k, width) {
                    Some(value) => a = value,
                    None => return false,
                }
            }
            LD_MEM => a = memory[k as usize],
            ST => memory[k as usize] = a,
            AND => a &= k,
            JEQ => jump(a == k),
            JGT => jump(a > k),
            JGE => jump(a >= k),
            RET => return k != 0,
            other => panic!("the kernel would refuse instruction {other:#x}"),
        }
    }
    panic!("no loops in classic BPF");
}

fn arp() -> Filter {
    Filter::arp([VIP, ELSEWHERE])
}

fn nd() -> Filter {
    Filter::nd([VIP6])
}

// L2-12
#[test]
fn arp_filter_passes_questions_and_claims_and_nothing_else() {
    let cases: [Case<ArpFrame>; 14] = [
        ("request", |_| (), true),
        ("for the other address", |f| f.target = ELSEWHERE, true),
        ("probe", |f| f.sender = Ipv4Addr::UNSPECIFIED, true),
        (
            "claim by reply",
            |f| (f.operation, f.sender, f.target) = (2, VIP, STRANGER),
            true,
        ),
        (
            "claim by request",
            |f| (f.sender, f.target) = (VIP, STRANGER),
            true,
        ),
        ("foreign request", |f| f.target = STRANGER, false),
        (
            "foreign reply",
            |f| (f.operation, f.target) = (2, CLIENT_IP),
            false,
        ),
        (
            "neighbour below",
            |f| f.target = Ipv4Addr::new(192, 0, 2, 9),
            false,
        ),
        (
            "neighbour above",
            |f| f.target = Ipv4Addr::new(192, 0, 2, 11),
            false,
        ),
        ("hardware", |f| f.hardware = 6, false),
        ("protocol", |f| f.protocol = 0x86dd, false),
        ("lengths", |f| f.lengths = [6, 16], false),
        ("operation 0", |f| f.operation = 0, false),
        ("operation 3", |f| f.operation = 3, false),
    ];
    for (name, change, pass) in cases {
        let mut frame = ArpFrame::default();
        change(&mut frame);
        assert_eq!(passes(&arp(), &frame.bytes(), BROADCAST), pass, "{name}");
        assert!(
            !passes(&arp(), &frame.bytes(), PACKET_OUTGOING),
            "{name}, outgoing"
        );
    }
    let short = ArpFrame {
        padding: Vec::new(),
        ..ArpFrame::default()
    };
    for length in 0..short.bytes().len() {
        assert!(
            !passes(&Filter::arp([VIP]), &short.bytes()[..length], HOST),
            "{length}"
        );
    }
    assert!(!passes(&arp(), &NdFrame::default().bytes(), HOST));
}

// L2-61
#[test]
fn nd_filter_passes_solicitations_and_advertisements_of_its_targets_only() {
    let cases: [Case<NdFrame>; 14] = [
        ("solicitation", |_| (), true),
        ("probe of reachability", |f| f.options.clear(), true),
        ("duplicate detection", |f| *f = NdFrame::dad(), true),
        ("advertisement", |f| *f = NdFrame::advertisement(), true),
        ("other target", |f| f.target = CLIENT_IP6, false),
        (
            "target's neighbour",
            |f| f.target = Ipv6Addr::from(u128::from(VIP6) + 1),
            false,
        ),
        (
            "other network",
            |f| f.target = Ipv6Addr::from(u128::from(VIP6) ^ (1 << 100)),
            false,
        ),
        ("echo request", |f| f.kind = 128, false),
        ("router advertisement", |f| f.kind = 134, false),
        ("redirect", |f| f.kind = 137, false),
        ("hop limit", |f| f.hop_limit = 254, false),
        ("hop-by-hop header", |f| f.next_header = 0, false),
        ("fragment", |f| f.next_header = 44, false),
        ("version", |f| f.version = 4, false),
    ];
    for (name, change, pass) in cases {
        let mut frame = NdFrame::default();
        change(&mut frame);
        assert_eq!(passes(&nd(), &frame.bytes(), BROADCAST), pass, "{name}");
        assert!(
            !passes(&nd(), &frame.bytes(), PACKET_OUTGOING),
            "{name}, outgoing"
        );
    }
    assert!(!passes(&nd(), &ArpFrame::default().bytes(), HOST));
    let whole = NdFrame::default().bytes();
    for length in 0..78 {
        assert!(!passes(&nd(), &whole[..length], HOST), "{length}");
    }
}

// L2-12
#[test]
fn an_empty_set_lets_nothing_through() {
    assert_eq!(Filter::arp([]).program.len(), 1);
    assert!(!passes(
        &Filter::arp([]),
        &ArpFrame::default().bytes(),
        HOST
    ));
    assert!(!passes(&Filter::nd([]), &NdFrame::default().bytes(), HOST));
}

// L2-12
#[test]
fn covers_are_exact_while_they_fit() {
    let v4 = |text: &[&str]| Filter::arp(text.iter().map(|t| t.parse().unwrap())).cover;
    let networks = |text: &[&str]| {
        text.iter()
            .map(|t| t.parse().unwrap())
            .collect::<Vec<IpNetwork>>()
    };
    assert_eq!(v4(&["10.0.0.1"]), networks(&["10.0.0.1/32"]));
    assert_eq!(
        v4(&["10.0.0.1", "10.0.0.2"]),
        networks(&["10.0.0.1/32", "10.0.0.2/32"])
    );
    assert_eq!(
        v4(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
        networks(&["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/32"])
    );
    assert_eq!(
        v4(&["0.0.0.0", "255.255.255.255"]),
        networks(&["0.0.0.0/32", "255.255.255.255/32"])
    );
    let whole = Filter::arp((0..256).map(|host| Ipv4Addr::new(192, 0, 2, host as u8)));
    assert_eq!(whole.cover, networks(&["192.0.2.0/24"]));
    assert_eq!(nd().cover, networks(&["2001:db8::12:3456/128"]));
}

// L2-12, L2-61
#[test]
fn ten_thousand_scattered_addresses_make_a_program_the_kernel_takes() {
    let v4: Vec<_> = (0..10_000u32)
        .map(|n| Ipv4Addr::from(0x0a00_0000 + n * 7))
        .collect();
    let filter = Filter::arp(v4.iter().copied());
    assert!(
        filter.cover.len() <= COVER_MAX && filter.program.len() < 500,
        "{}",
        filter.program.len()
    );
    // Every 300th in another /48, so that no word is shared.
    let v6: BTreeSet<_> = (0..10_000u128)
        .map(|n| Ipv6Addr::from(((0x2001_0db8 + n / 300) << 96) + n * 7 + ((n / 300) << 64)))
        .collect();
    let filter = Filter::nd(v6.iter().copied());
    assert!(
        filter.cover.len() <= COVER_MAX && filter.program.len() < 1_000,
        "{}",
        filter.program.len()
    );
}

proptest! {
    // L2-12
    #[test]
    fn arp_filter_passes_exactly_its_cover(
        addresses in prop::collection::btree_set(any::<u32>().prop_map(|n| Ipv4Addr::from(0x0a00_0000 | n & 0xfff)), 0..300),
        probe in any::<u32>().prop_map(|n| Ipv4Addr::from(0x0a00_0000 | n & 0x1fff)),
    ) {
        let filter = Filter::arp(addresses.iter().copied());
        prop_assert!(filter.cover.len() <= COVER_MAX);
        let covered = |address: Ipv4Addr| filter.cover.iter().any(|network| network.contains(IpAddr::V4(address)));
        for &address in &addresses {
            prop_assert!(covered(address), "every address is covered");
        }
        for address in addresses.iter().copied().take(8).chain([probe]) {
            let question = ArpFrame { target: address, sender: Ipv4Addr::UNSPECIFIED, ..ArpFrame::default() };
            let claim = ArpFrame { target: Ipv4Addr::UNSPECIFIED, sender: address, ..ArpFrame::default() };
            prop_assert_eq!(passes(&filter, &question.bytes(), HOST), covered(address));
            prop_assert_eq!(passes(&filter, &claim.bytes(), HOST), covered(address));
        }
        for pair in filter.cover.windows(2) {
            prop_assert!(pair[0].broadcast() < pair[1].network(), "sorted and disjoint");
        }
        if addresses.len() <= COVER_MAX {
            let size: u128 = filter.cover.iter().map(|network| 1u128 << (32 - network.prefix())).sum();
            prop_assert_eq!(size, addresses.len() as u128, "nothing foreign while it fits");
        }
    }

    // L2-61
    #[test]
    fn nd_filter_passes_exactly_its_cover(
        hosts in prop::collection::btree_set((0u8..3, 0u8..3, any::<u16>(), 0u8..16), 0..200),
        probe in (0u8..4, 0u8..4, any::<u16>(), 0u8..16),
    ) {
        let address = |(a, b, c, d): (u8, u8, u16, u8)| {
            Ipv6Addr::new(0x2001, 0xdb8 + u16::from(a), 0, u16::from(b), 0, 0, c, u16::from(d))
        };
        let addresses: BTreeSet<_> = hosts.into_iter().map(address).collect();
        let filter = Filter::nd(addresses.iter().copied());
        prop_assert!(filter.cover.len() <= COVER_MAX);
        let covered = |address: Ipv6Addr| filter.cover.iter().any(|network| network.contains(IpAddr::V6(address)));
        for &address in &addresses {
            prop_assert!(covered(address), "every address is covered");
        }
        for target in addresses.iter().copied().take(8).chain([address(probe)]) {
            let question = NdFrame { target, ..NdFrame::default() };
            prop_assert_eq!(passes(&filter, &question.bytes(), HOST), covered(target));
        }
    }

    #[test]
    fn every_program_ends_and_stays_within_itself(
        v4 in prop::collection::btree_set(any::<u32>().prop_map(Ipv4Addr::from), 0..200),
        v6 in prop::collection::btree_set(any::<u128>().prop_map(Ipv6Addr::from), 0..200),
        frame in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        for filter in [Filter::arp(v4), Filter::nd(v6)] {
            passes(&filter, &frame, HOST);
            let length = filter.program.len();
            prop_assert!(length <= 1_000);
            for (at, insn) in filter.program.iter().enumerate() {
                if matches!(insn.code, JEQ | JGT | JGE) {
                    prop_assert!(at + 1 + usize::from(insn.jt.max(insn.jf)) < length);
                }
            }
            prop_assert_eq!(filter.program[length - 1].code, RET);
        }
    }
}
