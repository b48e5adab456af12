//! Two of our own machines, and what must be true between them.

use proptest::prelude::*;

use super::rig::{config, host, hosts, millis, secs};
use super::wire::{Net, Weather, side};
use crate::message::Families;
use crate::{Peer, PeerEvent, RestartSettings, RouteSet, Settings, State};

const FINE: Weather = Weather {
    delay_ms: 1,
    segment: 1_460,
    window: 65_536,
};

fn prefixes(routes: &RouteSet) -> Vec<ipnetwork::IpNetwork> {
    routes.iter().map(|(prefix, _)| *prefix).collect()
}

// BGP-143
// BGP-05
#[test]
fn a_simultaneous_start_ends_in_exactly_one_session_within_five_seconds() {
    let mut again = 0;
    for seed in 0..200 {
        let weather = Weather {
            delay_ms: seed % 20,
            ..FINE
        };
        let mut net = Net::new(
            [side(0, Families::IPV4), side(1, Families::IPV4)],
            seed,
            weather,
        );
        net.run_until_established(secs(5));
        net.run(secs(1));
        assert_eq!(net.connections(), 1, "seed {seed}");
        for of in 0..2 {
            assert_eq!(net.peers[of].state(), State::Established, "seed {seed}");
            again += net.events[of]
                .iter()
                .filter(|e| matches!(e, PeerEvent::Down { .. }))
                .count();
        }
    }
    // RFC 4271 §6.8 leaves a race: one side Established on a connection that the other, still in OpenConfirm, gives
    // up. Both begin again.
    assert!(again <= 60, "{again} of 400");
}

#[test]
fn a_session_at_rest_says_keepalives_and_nothing_else() {
    let mut net = Net::new([side(0, Families::BOTH), side(1, Families::BOTH)], 1, FINE);
    net.run_until_established(secs(5));
    for peer in &mut net.peers {
        peer.set_routes(&hosts(1_000), net.now);
    }
    net.run(secs(2));
    assert_eq!(net.held(1), prefixes(&hosts(1_000)));
    let before = (
        net.updates,
        net.peers.each_ref().map(|peer| peer.counters().sent),
    );
    net.run(secs(3_600));
    assert_eq!(net.updates, before.0);
    for (peer, before) in net.peers.iter().zip(before.1) {
        let sent = peer.counters().sent;
        assert_eq!(
            (sent.total() - sent.keepalive),
            (before.total() - before.keepalive)
        );
        // 22.5 to 30 seconds apart.
        assert!(
            (120..=161).contains(&(sent.keepalive - before.keepalive)),
            "{sent:?}"
        );
    }
    let quiet = |e: &PeerEvent| matches!(e, PeerEvent::Established(_) | PeerEvent::Note(_));
    assert!(net.events.iter().flatten().all(quiet));
}

// BGP-68
#[test]
fn a_slow_reader_gets_the_newest_state() {
    let weather = Weather {
        delay_ms: 50,
        segment: 100,
        window: 60,
    };
    let mut net = Net::new(
        [side(0, Families::IPV4), side(1, Families::IPV4)],
        3,
        weather,
    );
    net.run_until_established(secs(5));
    for n in 0..50 {
        net.peers[0].set_routes(&hosts(100 + n), net.now);
        net.run(millis(10));
    }
    net.peers[0].set_routes(&hosts(10), net.now);
    net.run(secs(60));
    assert_eq!(net.held(1), prefixes(&hosts(10)));
    assert!(
        net.updates[1] < 40,
        "{} UPDATEs for fifty changes",
        net.updates[1]
    );
}

// BGP-75
// BGP-74
#[test]
fn a_graceful_restart_is_a_new_session_without_a_withdrawal() {
    let restart = |restarted| {
        Some(RestartSettings {
            restarted,
            ..RestartSettings::default()
        })
    };
    let with = |n, restarted| Settings {
        graceful_restart: restart(restarted),
        ..side(n, Families::IPV4)
    };
    let mut net = Net::new([with(0, false), with(1, false)], 5, FINE);
    net.run_until_established(secs(5));
    net.peers[0].set_routes(&hosts(5), net.now);
    net.run(secs(1));
    let before = net.updates[1];
    net.peers[0].stop(net.now);
    net.settle();
    assert!(net.peers[0].is_stopped());
    net.run(secs(3));
    assert_eq!(net.updates[1], before, "nothing was withdrawn");
    net.peers[0] = Peer::new(config(with(0, true)), 99, net.now);
    net.peers[0].set_routes(&hosts(5), net.now);
    net.run_until_established(secs(40));
    net.run(secs(1));
    assert_eq!(net.held(1), prefixes(&hosts(5)));
    let theirs = net.peers[1]
        .view()
        .negotiated
        .unwrap()
        .theirs
        .graceful_restart
        .unwrap();
    assert!(
        theirs.restarting,
        "the new process says that it has restarted"
    );
}

#[test]
fn a_side_that_only_listens_is_enough() {
    let passive = Settings {
        passive: true,
        ..side(1, Families::IPV4)
    };
    let mut net = Net::new([side(0, Families::IPV4), passive], 8, FINE);
    net.listens[0] = false;
    net.run_until_established(secs(5));
}

#[derive(Clone, Debug)]
enum Blow {
    Routes(usize, u32),
    One(usize, u32),
    Cut,
    Restart(usize),
    Refresh(usize),
    Bfd(usize, bool),
    Time(u64),
}

fn blow() -> impl Strategy<Value = Blow> {
    let of = || 0_usize..2;
    prop_oneof![
        4 => (of(), 0_u32..600).prop_map(|(of, n)| Blow::Routes(of, n)),
        4 => (of(), 0_u32..600).prop_map(|(of, n)| Blow::One(of, n)),
        1 => Just(Blow::Cut),
        1 => of().prop_map(Blow::Restart),
        2 => of().prop_map(Blow::Refresh),
        1 => (of(), any::<bool>()).prop_map(|(of, up)| Blow::Bfd(of, up)),
        8 => (0_u64..3_000).prop_map(Blow::Time),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    // BGP-81
    // BGP-100
    #[test]
    fn after_any_weather_each_side_holds_what_the_other_wants(
        seed: u64, delay_ms in 0_u64..80, segment in 1_usize..3_000, window in 50_usize..20_000,
        blows in prop::collection::vec(blow(), 1..25)
    ) {
        let weather = Weather { delay_ms, segment, window };
        let mut net = Net::new([side(0, Families::IPV4), side(1, Families::IPV4)], seed, weather);
        let mut wanted = [RouteSet::new(), RouteSet::new()];
        for blow in blows {
            match blow {
                Blow::Routes(of, count) => wanted[of] = hosts(count),
                Blow::One(of, n) => {
                    if !wanted[of].remove(&host(n)) {
                        wanted[of].insert(host(n), Default::default()).unwrap();
                    }
                }
                Blow::Cut => net.cut(),
                Blow::Restart(of) => net.peers[of].reset(net.now),
                Blow::Refresh(of) => net.peers[of].refresh(net.now),
                Blow::Bfd(of, up) => {
                    let bfd = if up { crate::Bfd::Up } else { crate::Bfd::Down };
                    net.peers[of].handle_bfd(bfd, "", net.now);
                }
                Blow::Time(millis_) => net.run(millis(millis_)),
            }
            for (peer, wanted) in net.peers.iter_mut().zip(&wanted) {
                peer.set_routes(wanted, net.now);
            }
            net.settle();
        }
        for of in 0..2 {
            net.peers[of].handle_bfd(crate::Bfd::AdminDown, "", net.now);
        }
        net.run_until_established(secs(120));
        net.run(secs(60));
        for (of, wanted) in wanted.iter().enumerate() {
            prop_assert_eq!(net.peers[of].state(), State::Established);
            prop_assert_eq!(net.held(1 - of), prefixes(wanted));
        }
        prop_assert_eq!(net.connections(), 1);
    }
}
