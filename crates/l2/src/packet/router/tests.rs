//! Octets of advertisements, and what is not one.

use super::*;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

#[test]
fn an_advertisement_of_ours_is_no_default_router_and_is_read_by_ourselves() {
    let octets = advertisement(Some(MAC));
    assert_eq!(
        octets,
        [
            134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1
        ]
    );
    assert_eq!(check_advertisement(&octets, ROUTER, Some(255)), Ok(()));
    assert_eq!(
        check_advertisement(&advertisement(None), ROUTER, Some(255)),
        Ok(())
    );
    assert_eq!(
        solicitation(Some(MAC)),
        [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]
    );
}

#[test]
fn what_is_no_advertisement_of_this_link_is_refused_with_its_reason() {
    let good = advertisement(Some(MAC));
    let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let with = |more: &[u8]| [&good[..16], more].concat();
    let table: [(&[u8], Ipv6Addr, Option<u8>, Refused); 9] = [
        (&good, ROUTER, Some(254), Refused::HopLimit),
        (&good, ROUTER, None, Refused::HopLimit),
        (&good, global, Some(255), Refused::Source),
        (&solicitation(None), ROUTER, Some(255), Refused::OtherType),
        (&[], ROUTER, Some(255), Refused::OtherType),
        (&good[..15], ROUTER, Some(255), Refused::Cut),
        // An option without length, a cut one, half a head of one.
        (
            &with(&[1, 0, 0, 0, 0, 0, 0, 0]),
            ROUTER,
            Some(255),
            Refused::Cut,
        ),
        (
            &with(&[3, 4, 0, 0, 0, 0, 0, 0]),
            ROUTER,
            Some(255),
            Refused::Cut,
        ),
        (&with(&[1]), ROUTER, Some(255), Refused::Cut),
    ];
    for (octets, source, hops, why) in table {
        assert_eq!(
            check_advertisement(octets, source, hops),
            Err(why),
            "{octets:?}"
        );
    }
}

#[test]
fn a_lifetime_and_unknown_options_of_the_router_do_not_matter() {
    let mut octets = advertisement(Some(MAC));
    octets[6..8].copy_from_slice(&1_800u16.to_be_bytes());
    octets.extend([200, 1, 9, 9, 9, 9, 9, 9]);
    assert_eq!(check_advertisement(&octets, ROUTER, Some(255)), Ok(()));
}

proptest::proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets in proptest::collection::vec(0u8.., 0..200)) {
        let _any = check_advertisement(&octets, ROUTER, Some(255));
        let mut shaped = vec![134, 0];
        shaped.extend(octets);
        let _any = check_advertisement(&shaped, ROUTER, Some(255));
    }
}
