//! What is true of the program and its tables as values. That the kernel does with them what the responder would do
//! is shown on the kernel, in the labs.

use std::net::IpAddr;

use super::*;
use crate::testing::*;
use crate::{Interface, Responder};

#[test]
fn an_address_is_read_as_it_was_written() {
    let address = Address {
        answered: true,
        replies: 7,
        limited: u64::MAX,
    };
    assert_eq!(Address::from_bytes(address.to_bytes()), address);
    assert_eq!(
        address.to_bytes().len(),
        usize::try_from(Address::BYTES).unwrap()
    );
    // Where the program adds.
    assert_eq!(address.to_bytes()[8..16], 7_u64.to_ne_bytes());
}

#[test]
fn nobody_answers_without_a_station() {
    assert_eq!(control(None), [0; 8]);
    let [.., a, b] = control(Some(US));
    assert_eq!(u16::from_ne_bytes([a, b]), 1);
    assert_eq!(control(Some(US))[..6], US.octets());
}

#[test]
fn every_jump_goes_forward_and_stays_inside() {
    let program = program(&Config::default());
    assert!(program.len() < 400, "{} instructions", program.len());
    // Of the two classes of jumps all but calls and exits.
    let jumps = program
        .iter()
        .enumerate()
        .filter(|(_, insn)| matches!(insn.code & 7, 5 | 6) && !matches!(insn.code, 0x85 | 0x95));
    let mut count = 0;
    for (at, insn) in jumps {
        let to = at + 1 + usize::try_from(insn.offset).unwrap();
        assert!(to < program.len(), "{at}");
        count += 1;
    }
    assert!(count > 20, "{count} jumps");
    assert_eq!(program.last().map(|insn| insn.code), Some(0x95));
}

#[test]
fn the_budgets_are_the_responders() {
    let config = Config::default();
    let sender = Rate::of_sender(&config);
    assert_eq!(sender.interval_nanos, 50_000_000);
    assert_eq!(sender.tolerance_nanos, 39 * 50_000_000);
    let interface = Rate::of_interface(&config);
    assert_eq!(interface.interval_nanos, 50_000);
    assert_eq!(interface.tolerance_nanos, 999 * 50_000);
}

// L2-35, L2-36, L2-51
#[test]
fn what_stands_is_what_the_responder_answers_now() {
    let now = base();
    let mut responder = quiet(now);
    let revision = responder.revision();
    assert_eq!(responder.standing().mac, US);
    assert_eq!(responder.standing().addresses, [(VIP, true)].into());
    // The same again changes nothing.
    responder.set_addresses(
        &set([IpAddr::V4(VIP), IpAddr::V6(VIP6)]),
        &set([ELSEWHERE]),
        now,
    );
    assert_eq!(responder.revision(), revision);
    let check = |responder: &Responder, before: u64, addresses: &[(Ipv4Addr, bool)]| {
        assert_ne!(responder.revision(), before);
        let expected: BTreeMap<Ipv4Addr, bool> = addresses.iter().copied().collect();
        assert_eq!(responder.standing().addresses, expected);
        responder.revision()
    };
    // A new one that is probed first: watched, and answered after the verdict.
    responder.set_addresses_probing(&set([VIP, STRANGER]), &set([ELSEWHERE]), |_| true, now);
    let revision = check(&responder, revision, &[(VIP, true), (STRANGER, false)]);
    run(&mut responder, now, now + ms(1_000));
    let revision = check(&responder, revision, &[(VIP, true), (STRANGER, true)]);
    let now = now + ms(1_000);
    let other = Interface {
        mac: OTHER,
        ..INTERFACE
    };
    responder.set_interface(other, now);
    let revision = check(&responder, revision, &[(VIP, true), (STRANGER, true)]);
    assert_eq!(responder.standing().mac, OTHER);
    let down = Interface {
        usable: false,
        ..other
    };
    responder.set_interface(down, now);
    let revision = check(&responder, revision, &[]);
    responder.set_interface(other, now);
    responder.set_addresses(&set([VIP]), &set([ELSEWHERE]), now);
    check(&responder, revision, &[(VIP, true)]);
}
