//! What announcing costs. The least of several runs, so that a busy machine does not count.

use std::time::{Duration, Instant};

use super::rig::*;

/// What a call takes.
#[allow(clippy::disallowed_methods)]
fn cost(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    #[allow(clippy::disallowed_methods)]
    let cost = start.elapsed();
    cost
}

fn least(count: u32, mut run: impl FnMut(&mut Rig, crate::ConnId) -> Duration) -> Duration {
    (0..20)
        .map(|_| {
            let mut rig = Rig::new(settings());
            rig.open.capabilities.extended_messages = false;
            let conn = rig.establish();
            rig.sent(conn);
            rig.peer.set_routes(&hosts(count), rig.now);
            run(&mut rig, conn)
        })
        .min()
        .expect("it ran")
}

// BGP-98
#[test]
fn a_thousand_routes_are_octets_within_five_milliseconds() {
    let routes = hosts(1_000);
    let all = least(0, |rig, conn| {
        cost(|| {
            rig.peer.set_routes(&routes, rig.now);
            while rig.peer.poll_transmit(conn, 16_384, rig.now).is_some() {}
        })
    });
    println!("1,000 routes to octets: {all:?}");
    assert!(all < Duration::from_millis(5), "{all:?}");
}

#[test]
fn one_change_among_ten_thousand_is_octets_within_five_milliseconds() {
    let mut routes = hosts(10_000);
    routes.remove(&host(5_000));
    let one = least(10_000, |rig, conn| {
        rig.sent(conn);
        cost(|| {
            rig.peer.set_routes(&routes, rig.now);
            assert!(rig.peer.poll_transmit(conn, 16_384, rig.now).is_some());
        })
    });
    println!("one change among 10,000: {one:?}");
    assert!(one < Duration::from_millis(5), "{one:?}");
}

// BGP-127
#[test]
fn a_received_table_costs_little_and_is_not_kept() {
    let update = crate::Update::Announced {
        prefixes: (0..5).map(host).collect(),
        next_hop: crate::NextHop::V4(ROUTER_ID),
        attributes: crate::Attributes {
            as_path: crate::AsPath::repeated(crate::Asn(ROUTER_ASN), 4),
            ..crate::Attributes::default()
        },
    };
    let rules = crate::WireRules {
        four_octet_as: true,
        ..crate::WireRules::default()
    };
    let mut octets = Vec::new();
    for _ in 0..10_000 {
        crate::Message::Update(update.clone())
            .encode(&rules, &mut octets)
            .unwrap();
    }
    let took = least(1, |rig, conn| {
        cost(|| {
            for chunk in octets.chunks(65_536) {
                rig.peer.handle_bytes(conn, chunk, rig.now);
            }
            assert_eq!(rig.peer.counters().prefixes_received, 50_000);
        })
    });
    println!("50,000 received prefixes, five an UPDATE: {took:?}");
    assert!(took < Duration::from_millis(250), "{took:?}");
}
