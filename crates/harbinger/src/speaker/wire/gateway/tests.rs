//! What is asked of an IPv6 gateway, and what counts as its answer.

use super::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
const OWN: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn link(addresses: &[IpAddr]) -> Link {
    Link {
        index: 2,
        name: "eth0".to_owned(),
        mac: Some(MAC),
        link_type: 1,
        flags: linux::route::Flags::default(),
        master: None,
        kind: None,
        master_kind: None,
        addresses: addresses.iter().map(|address| (*address, 64)).collect(),
        mtu: 1_500,
        ipv6_disabled: false,
    }
}

/// What the kernel would do with the program.
fn lets_in(program: &[Insn], frame: &[u8]) -> bool {
    let (mut at, mut value) = (0, 0);
    loop {
        let insn = &program[at];
        let k = insn.k as usize;
        at += 1;
        match insn.code {
            0x30 => match frame.get(k) {
                Some(byte) => value = u32::from(*byte),
                None => return false,
            },
            0x20 => match frame.get(k..k + 4) {
                Some(word) => value = u32::from_be_bytes(word.try_into().unwrap()),
                None => return false,
            },
            0x15 => at += usize::from(if value == insn.k { insn.jt } else { insn.jf }),
            0x06 => return insn.k > 0,
            other => panic!("{other:#x}"),
        }
    }
}

// L2-57
#[test]
fn an_ipv6_gateway_is_solicited_from_the_link_local_address() {
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let link = link(&["192.0.2.1".parse().unwrap(), global.into(), OWN.into()]);
    let (ethertype, _, frame) = question(GATEWAY.into(), &link).unwrap();
    assert_eq!(ethertype, 0x86dd);
    assert_eq!(
        frame[..12],
        [0x33, 0x33, 0xff, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1]
    );
    let Ok(nd::Message::Solicitation {
        source,
        destination,
        target,
        options,
    }) = nd::Message::parse(&frame[14..])
    else {
        panic!("{frame:02x?}");
    };
    assert_eq!((source, target), (OWN, GATEWAY));
    assert_eq!(destination, nd::solicited_node(GATEWAY));
    assert_eq!(options.source_ll, Some(MacAddr(MAC)));
    let mute = self::link(&["192.0.2.1".parse().unwrap()]);
    assert!(
        question(GATEWAY.into(), &mute).is_none(),
        "nothing to ask from"
    );
}

// L2-57
#[test]
fn only_an_advertisement_of_the_gateway_is_its_answer() {
    let (_, program, question) = question(GATEWAY.into(), &link(&[OWN.into()])).unwrap();
    let (there, here) = (MacAddr([2, 0, 0, 0, 0, 0xfe]), MacAddr(MAC));
    let answer = nd::solicited_advertisement(there, GATEWAY, OWN, here);
    assert!(lets_in(&program, &answer));
    assert!(lets_in(
        &program,
        &nd::multicast_advertisement(there, GATEWAY)
    ));
    assert!(!lets_in(&program, &question), "our own question");
    let other = nd::solicited_advertisement(there, OWN, OWN, here);
    assert!(!lets_in(&program, &other), "another address");
    for (at, value) in [(20, 17), (21, 254), (54, 135), (62, 0), (77, 0)] {
        let mut wrong = answer.clone();
        wrong[at] = value;
        assert!(!lets_in(&program, &wrong), "octet {at}");
    }
    for length in 0..78 {
        assert!(!lets_in(&program, &answer[..length]), "{length} octets");
    }
}
