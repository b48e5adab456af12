//! Capabilities: what sets keep and lose on the way to octets.

use super::*;

#[test]
fn codes_named_by_a_refusal_are_read_as_far_as_they_go() {
    assert_eq!(
        codes_named(&[1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0, 1]),
        BTreeSet::from([1, 65])
    );
    assert_eq!(codes_named(&[]), BTreeSet::new());
    assert_eq!(codes_named(&[64, 200, 1]), BTreeSet::from([64]));
    assert_eq!(codes_named(&[64]), BTreeSet::new());
}

#[test]
fn lists_are_cut_to_what_a_capability_holds() {
    let families: BTreeMap<AfiSafi, bool> = (0..100)
        .map(|afi| (AfiSafi { afi, safi: 1 }, true))
        .collect();
    let many = Capabilities {
        extended_next_hop: families
            .keys()
            .map(|p| ExtendedNextHop {
                prefixes: *p,
                next_hop_afi: 2,
            })
            .collect(),
        graceful_restart: Some(GracefulRestart {
            families,
            restart_time_secs: 5_000,
            ..GracefulRestart::default()
        }),
        ..Capabilities::default()
    };
    let mut octets = Vec::new();
    many.encode(&mut octets);
    let mut back = Capabilities::default();
    back.decode_into(&octets).unwrap();
    assert_eq!(back.extended_next_hop.len(), 42);
    let restart = back.graceful_restart.unwrap();
    assert_eq!(
        (restart.families.len(), restart.restart_time_secs),
        (63, RESTART_TIME_SECS_MAX)
    );
}

#[test]
fn next_hop_tuples_with_a_wide_safi_are_dropped_alone() {
    let mut found = Capabilities::default();
    found
        .decode_into(&[5, 12, 0, 1, 1, 1, 0, 2, 0, 1, 0, 1, 0, 2])
        .unwrap();
    assert_eq!(
        found.extended_next_hop,
        BTreeSet::from([ExtendedNextHop::IPV4_OVER_IPV6])
    );
    assert_eq!(found.ignored, 0);
}

#[test]
fn families_are_those_we_speak() {
    let mut found = Capabilities::default();
    assert_eq!(found.families(), Families::IPV4);
    found.multiprotocol.insert(AfiSafi { afi: 25, safi: 70 });
    assert!(found.families().is_empty());
    found.multiprotocol.insert(AfiSafi::IPV6_UNICAST);
    assert_eq!(found.families(), Families::IPV6);
}
