//! The picture of the interfaces, against what is done to them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use linux::route::{self, Links, Snapshot};
use tests::lab::{self, Host};
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

use crate::kit::{SOON, cable};

/// Opens links on `host`, runs them, and hands the receiver to `f`.
fn with_links<R: Send>(
    host: &Host,
    options: route::Options,
    f: impl AsyncFnOnce(Receiver<Arc<Snapshot>>, Arc<route::Counters>) -> R + Send,
) -> R {
    host.block_on(async || {
        let (links, receiver) = Links::open(options).await.unwrap();
        let counters = links.counters();
        tokio::spawn(links.run());
        f(receiver, counters).await
    })
}

/// Waits for a snapshot that fits, and says how long it took.
async fn until(
    links: &mut Receiver<Arc<Snapshot>>,
    what: &str,
    fits: impl Fn(&Snapshot) -> bool,
) -> Duration {
    let began = Instant::now();
    let found = timeout(SOON, links.wait_for(|s| fits(s))).await;
    assert!(found.is_ok(), "never seen: {what}");
    let took = began.elapsed();
    println!("{what}: {:.1} ms", took.as_secs_f64() * 1e3);
    took
}

fn named<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a route::Link> {
    snapshot.values().find(|l| l.name == name)
}

// L2-40, L2-45
#[test]
fn every_change_of_an_interface_is_seen() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    with_links(&b, route::Options::default(), async |mut links, _| {
        let first = links.borrow_and_update().clone();
        let eth0 = named(&first, "eth0").unwrap().clone();
        assert_eq!(eth0.link_type, 1);
        assert_eq!(eth0.kind.as_deref(), Some("veth"));
        assert_eq!(eth0.mac, Some(b.mac("eth0").unwrap()));
        assert!(eth0.flags.up && eth0.flags.broadcast && !eth0.flags.loopback);
        let lo = named(&first, "lo").unwrap();
        assert!(lo.flags.loopback && lo.link_type == 772);
        assert!(lo.addresses.contains(&(Ipv4Addr::LOCALHOST.into(), 8)));

        b.add_address("eth0", "192.0.2.7/24").unwrap();
        let v4: (IpAddr, u8) = ("192.0.2.7".parse().unwrap(), 24);
        until(&mut links, "address added", |s| {
            s[&eth0.index].addresses.contains(&v4)
        })
        .await;
        b.add_address("eth0", "2001:db8::7/64").unwrap();
        let v6: (IpAddr, u8) = ("2001:db8::7".parse().unwrap(), 64);
        until(&mut links, "IPv6 address added", |s| {
            s[&eth0.index].addresses.contains(&v6)
        })
        .await;
        b.delete_address("eth0", "192.0.2.7/24").unwrap();
        until(&mut links, "address removed", |s| {
            !s[&eth0.index].addresses.contains(&v4)
        })
        .await;

        // The kernel itself holds a lost carrier back for up to a second (its link watch).
        a.link_down("eth0").unwrap();
        until(&mut links, "carrier lost", |s| {
            !s[&eth0.index].flags.carrier
        })
        .await;
        a.link_up("eth0").unwrap();
        until(&mut links, "carrier back", |s| s[&eth0.index].flags.running).await;
        b.link_down("eth0").unwrap();
        until(&mut links, "down", |s| !s[&eth0.index].flags.up).await;
        b.link_up("eth0").unwrap();
        until(&mut links, "up", |s| s[&eth0.index].flags.up).await;

        b.rename("eth0", "lan7").unwrap();
        until(&mut links, "renamed", |s| s[&eth0.index].name == "lan7").await;
        let mac = [2, 0, 0, 0, 7, 7];
        b.set_mac("lan7", mac).unwrap();
        until(&mut links, "MAC changed", |s| {
            s[&eth0.index].mac == Some(mac)
        })
        .await;
        b.sysctl("net/ipv6/conf/lan7/disable_ipv6", "1").unwrap();
        until(&mut links, "IPv6 off", |s| s[&eth0.index].ipv6_disabled).await;
        b.sysctl("net/ipv6/conf/lan7/disable_ipv6", "0").unwrap();
        until(&mut links, "IPv6 on", |s| !s[&eth0.index].ipv6_disabled).await;

        b.delete_link("lan7").unwrap();
        until(&mut links, "deleted", |s| !s.contains_key(&eth0.index)).await;
        b.add_veth("eth0", "eth0-p").unwrap();
        until(&mut links, "created again", |s| named(s, "eth0").is_some()).await;
    });
}

// L2-41
#[test]
fn a_bridge_port_is_told_with_its_master_and_kind() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    with_links(&b, route::Options::default(), async |mut links, _| {
        b.add_bridge("br7").unwrap();
        until(&mut links, "bridge", |s| named(s, "br7").is_some()).await;
        let bridge = named(&links.borrow(), "br7").unwrap().clone();
        assert_eq!(bridge.kind.as_deref(), Some("bridge"));
        b.set_master("eth0", Some("br7")).unwrap();
        until(&mut links, "port", |s| {
            named(s, "eth0").unwrap().master == Some(bridge.index)
        })
        .await;
        let port = named(&links.borrow(), "eth0").unwrap().clone();
        assert_eq!(port.master_kind.as_deref(), Some("bridge"));
        b.set_master("eth0", None).unwrap();
        until(&mut links, "released", |s| {
            named(s, "eth0").unwrap().master.is_none()
        })
        .await;
        b.add_macvlan("eth0", "mv0").unwrap();
        until(&mut links, "macvlan", |s| named(s, "mv0").is_some()).await;
        assert_eq!(
            named(&links.borrow(), "mv0").unwrap().kind.as_deref(),
            Some("macvlan")
        );
    });
}

// L2-40
#[test]
fn an_overrun_of_the_event_buffer_loses_no_interface() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("busy").unwrap();
    let options = route::Options {
        // The least the kernel gives: a few events.
        event_buffer_bytes: Some(1),
        ..route::Options::default()
    };
    host.block_on(async || {
        let (links, mut receiver) = Links::open(options).await.unwrap();
        let counters = links.counters();
        // Nobody reads while 1,000 pairs appear.
        let began = Instant::now();
        host.add_veths("v", 1000).unwrap();
        println!("1,000 pairs made in {:?}", began.elapsed());
        tokio::spawn(links.run());
        until(&mut receiver, "2,000 interfaces after an overrun", |s| {
            s.len() == 2001
        })
        .await;
        assert!(counters.overruns() >= 1, "{counters:?}");
        let dumps = counters.dumps();
        assert!(dumps < 20, "{dumps} dumps");
    });
}

// L2-40
#[test]
fn a_burst_of_changes_costs_few_dumps_and_no_change_no_snapshot() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("busy").unwrap();
    with_links(
        &host,
        route::Options::default(),
        async |mut links, counters| {
            let busy = host.clone();
            let maker = host.thread(move || busy.add_veths("v", 300).unwrap());
            until(&mut links, "600 interfaces while they appear", |s| {
                s.len() == 601
            })
            .await;
            maker.join().unwrap();
            // 300 pairs make at least 600 events.
            let (events, dumps) = (counters.events(), counters.dumps());
            println!("{events} events, {dumps} dumps");
            assert!(dumps < 300, "{dumps} dumps for {events} events");
            links.borrow_and_update();
            // A change and its opposite before anybody looks is no news.
            host.add_address("lo", "192.0.2.9/32").unwrap();
            until(&mut links, "address", |s| {
                named(s, "lo").unwrap().addresses.iter().any(|a| a.1 == 32)
            })
            .await;
        },
    );
}

// L2-40
#[test]
fn the_periodic_dump_runs_without_an_event() {
    if !lab::ready() {
        return;
    }
    let host = Host::new("quiet").unwrap();
    let options = route::Options {
        resync_interval: Duration::from_millis(20),
        ..route::Options::default()
    };
    with_links(&host, options, async |links, counters| {
        let deadline = Instant::now() + SOON;
        while counters.dumps() < 4 {
            assert!(Instant::now() < deadline);
            tokio::task::yield_now().await;
        }
        // Nothing changed, so nothing was published.
        assert!(!links.has_changed().unwrap());
    });
}

#[test]
fn default_routes_are_told_with_router_and_interface() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    b.add_address("eth0", "192.0.2.7/24").unwrap();
    b.add_address("eth0", "2001:db8::7/64").unwrap();
    b.add_route("0.0.0.0/0", "192.0.2.1").unwrap();
    b.add_route("::/0", "2001:db8::1").unwrap();
    b.add_route("198.51.100.0/24", "192.0.2.2").unwrap();
    let index = b.index("eth0").unwrap();
    let gateways = b.block_on(async || route::default_gateways().await.unwrap());
    let got: Vec<_> = gateways
        .iter()
        .map(|g| (g.address, g.ifindex, g.ipv6))
        .collect();
    let expected = [
        ("192.0.2.1".parse().ok(), index, false),
        ("2001:db8::1".parse().ok(), index, true),
    ];
    assert_eq!(got, expected);
}
