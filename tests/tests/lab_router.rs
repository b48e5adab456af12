//! The lab's routers themselves: that they start, talk to each other, and are read right.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use tests::lab::router::{Bird, Frr, Gobgp, Route, Router, await_bfd, await_routes, await_session};
use tests::lab::{self, Host, Lan};

tests::enter_lab_at_start!();

const WITHIN: Duration = Duration::from_secs(60);

const FRR: &str = "
bfd
 profile fast
  transmit-interval 100
  receive-interval 100
 exit
exit
router bgp 65001
 bgp router-id 192.0.2.1
 no bgp ebgp-requires-policy
 neighbor 192.0.2.2 remote-as 65002
 neighbor 192.0.2.2 timers connect 1
 neighbor 192.0.2.2 bfd profile fast
 neighbor 192.0.2.3 remote-as 65003
 neighbor 192.0.2.3 timers connect 1
 address-family ipv6 unicast
  neighbor 192.0.2.2 activate
 exit
exit
";

const BIRD: &str = "
router id 192.0.2.2;
protocol device { }
protocol bfd { interface \"eth0\" { min rx interval 100 ms; min tx interval 100 ms; multiplier 5; }; }
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole {
  bgp_community.add((65002,7)); bgp_large_community.add((65002,1,2)); bgp_ext_community.add((rt,65002,9)); }; }
protocol static s6 { ipv6; route 2001:db8:1::/48 blackhole; }
protocol bgp frr { local 192.0.2.2 as 65002; neighbor 192.0.2.1 as 65001; bfd on; connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export filter { if source != RTS_STATIC then reject; bgp_med = 50; accept; }; }; ipv6 { import all; export where source = RTS_STATIC; }; }
";

const GOBGP: &str = "
[global.config]
as = 65003
router-id = '192.0.2.3'
[[neighbors]]
[neighbors.config]
neighbor-address = '192.0.2.1'
peer-as = 65001
[neighbors.timers.config]
connect-retry = 5
";

fn at(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[track_caller]
fn check_attributes(routes: &[Route], as_path: &[u32]) {
    let [route] = routes else {
        panic!("one route: {routes:?}");
    };
    assert_eq!(route.as_path, as_path);
    assert_eq!(route.origin, "IGP");
    assert_eq!(route.communities, set(&["65002:7"]));
    assert_eq!(route.large_communities, set(&["65002:1:2"]));
    assert_eq!(route.extended_communities, set(&["rt:65002:9"]));
    assert!(route.best && !route.stale);
}

#[test]
fn three_routers_exchange_routes_and_are_read_right() {
    if !lab::ready() {
        return;
    }
    let lan = Lan::new().unwrap();
    let hosts: Vec<_> = (1..=3)
        .map(|n| {
            let host = Host::new(&format!("router-{n}")).unwrap();
            let addresses = [format!("192.0.2.{n}/24"), format!("2001:db8:2::{n}/64")];
            let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
            lan.attach(&host, "eth0", &addresses).unwrap();
            host
        })
        .collect();
    let frr = Frr::start(&hosts[0], FRR).unwrap();
    let bird = Bird::start(&hosts[1], BIRD).unwrap();
    let gobgp = Gobgp::start(&hosts[2], GOBGP).unwrap();

    let routers: [(&dyn Router, u8); 3] = [(&frr, 2), (&bird, 1), (&gobgp, 1)];
    for (router, peer) in routers {
        let session = await_session(router, at(peer), WITHIN, |s| s.is_established());
        assert_eq!(session.remote_as, 65_000 + u32::from(peer));
    }
    gobgp
        .run(&["global", "rib", "add", "203.0.113.0/24"])
        .unwrap();

    // Told, and chosen a moment later.
    let chosen = |routes: &[Route]| routes.iter().all(|route| route.best);
    let told = await_routes(&frr, WITHIN, |r| {
        r.len() == 3 && r.values().all(|all| chosen(all))
    });
    check_attributes(&told["198.51.100.0/24"], &[65002]);
    assert_eq!(told["198.51.100.0/24"][0].med, Some(50));
    assert_eq!(told["198.51.100.0/24"][0].peer, Some(at(2)));
    assert_eq!(told["198.51.100.0/24"][0].next_hops, [at(2)]);
    let hops = &told["2001:db8:1::/48"][0].next_hops;
    assert_eq!(
        hops.first(),
        "2001:db8:2::2".parse::<IpAddr>().ok().as_ref()
    );
    assert_eq!(told["203.0.113.0/24"][0].origin, "incomplete");
    assert_eq!(frr.session(at(2)).unwrap().unwrap().prefixes, 2);

    let told = await_routes(&gobgp, WITHIN, |r| r.contains_key("198.51.100.0/24"));
    check_attributes(&told["198.51.100.0/24"], &[65001, 65002]);
    let told = await_routes(&bird, WITHIN, |r| r.contains_key("203.0.113.0/24"));
    assert_eq!(
        told.len(),
        1,
        "what it has of itself is not told by BGP: {told:?}"
    );
    assert_eq!(told["203.0.113.0/24"][0].as_path, [65001, 65003]);
    assert_eq!(told["203.0.113.0/24"][0].next_hops[0], at(3));

    let ms = Duration::from_millis;
    let up = await_bfd(&frr, at(2), WITHIN, |b| {
        b.state == "Up" && b.detection_time < ms(1_000)
    });
    assert_eq!(up.detection_time, ms(500));
    let up = await_bfd(&bird, at(1), WITHIN, |b| {
        b.state == "Up" && b.detection_time < ms(1_000)
    });
    assert_eq!(
        (up.transmit_interval, up.detection_time),
        (ms(100), ms(300))
    );

    frr.run(
        "bgpd",
        &[
            "configure terminal",
            "router bgp 65001",
            "neighbor 192.0.2.2 shutdown",
        ],
    )
    .unwrap();
    let down = await_session(&bird, at(1), WITHIN, |s| !s.is_established());
    assert!(
        down.last_error.is_some_and(|e| e.contains("shutdown")),
        "in words"
    );
    await_routes(&frr, WITHIN, |r| r.len() == 1);
}
