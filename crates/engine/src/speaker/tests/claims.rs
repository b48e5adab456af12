//! Real speakers and wires with claims: who returns takes nothing, moves are made before
//! they are broken, partitions heal, who is cut off gives up.

use super::lan::*;
use crate::elect::tests::build::*;
use crate::wire::Event as WireEvent;
use crate::world::{Change, Delta, MOVE_ANNOTATION, Service};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

const VIP: &str = "10.0.0.1";
const SECOND: Duration = Duration::from_secs(1);

fn cluster(hosts: usize, services: Vec<Service>) -> Build {
    let names: Vec<String> = (0..hosts).map(|host| format!("n{host}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut build = Build::new(&names);
    for service in services {
        build.served(service);
    }
    build
}

/// One address on three hosts, settled; and its holder.
fn settled(seed: u64) -> (Lan, usize) {
    let mut lan = Lan::new(&cluster(3, vec![service("web", &[VIP])]), 3, seed);
    lan.run(2 * SECOND);
    let owners = lan.owners(VIP);
    assert_eq!(owners.len(), 1, "{owners:?}");
    (lan, owners[0])
}

fn others(holder: usize) -> Vec<usize> {
    (0..3).filter(|host| *host != holder).collect()
}

/// Asks for the address every 5 ms: how many asked in vain, and who ever replied.
fn ask_for(lan: &mut Lan, time: Duration) -> (u32, BTreeSet<usize>) {
    let (mut vain, mut repliers) = (0, BTreeSet::new());
    let end = lan.now + time;
    let mut client = 0;
    while lan.now < end {
        client += 1;
        let before = lan.frames.len();
        lan.ask_as(VIP, client);
        lan.run(5 * MS);
        let kind = l2::TransmitKind::Reply(VIP.parse().unwrap());
        let new = lan.frames[before..].iter();
        let who: Vec<usize> = new.filter(|f| f.kind == kind).map(|f| f.host).collect();
        vain += u32::from(who.is_empty());
        repliers.extend(who);
    }
    (vain, repliers)
}

fn term(lan: &Lan, at: usize, holder: usize) -> Option<u64> {
    let claims = &lan.hosts[at].wire.facts().members.claims;
    claims.term(VIP.parse().unwrap(), &format!("n{holder}"))
}

fn gratuitous(lan: &Lan, host: usize) -> usize {
    let kind = l2::TransmitKind::Gratuitous(VIP.parse().unwrap());
    let all = lan.frames.iter();
    all.filter(|f| f.kind == kind && f.host == host).count()
}

// L2-83
#[test]
fn the_holder_claims_and_everybody_knows_it() {
    for seed in 0..3 {
        let (lan, holder) = settled(seed);
        for host in 0..3 {
            assert_eq!(term(&lan, host, holder), Some(1), "seed {seed} host {host}");
            let claims = &lan.hosts[host].wire.facts().members.claims;
            assert_eq!(claims.on(VIP.parse().unwrap()).len(), 1);
        }
    }
}

// L2-83, L2-87
#[test]
fn a_node_that_returns_takes_nothing() {
    for seed in 0..3 {
        let (mut lan, first) = settled(seed);
        lan.kill(first);
        lan.run(3 * SECOND);
        let second = lan.owners(VIP);
        assert_eq!(second.len(), 1);
        assert_eq!(
            term(&lan, second[0], second[0]),
            Some(2),
            "one more at each change"
        );
        lan.frames.clear();
        lan.restart(first);
        lan.run(5 * SECOND);
        assert_eq!(lan.owners(VIP), second, "seed {seed}");
        assert!(lan.frames.iter().all(|f| f.host != first), "it never spoke");
        assert_eq!(term(&lan, first, second[0]), Some(2), "it knows the claim");
    }
}

// L2-87
#[test]
fn all_start_at_once_and_nobody_but_the_holder_speaks() {
    for seed in 0..3 {
        let services = (0..30).map(|i| service(&format!("s{i}"), &[&format!("10.0.1.{i}")]));
        let mut lan = Lan::new(&cluster(3, services.collect()), 3, seed);
        lan.run(3 * SECOND);
        let mut loads = BTreeMap::new();
        for i in 0..30 {
            let address = format!("10.0.1.{i}");
            let owners = lan.owners(&address);
            assert_eq!(owners.len(), 1, "{address}");
            *loads.entry(owners[0]).or_insert(0) += 1;
            let address: IpAddr = address.parse().unwrap();
            let wrong = lan.frames.iter().filter(|f| f.kind.address() == address);
            assert!(
                wrong.map(|f| f.host).all(|host| host == owners[0]),
                "{address}"
            );
        }
        assert!(loads.values().all(|load| *load <= 12), "{loads:?}");
    }
}

// L2-85
#[test]
fn a_stop_hands_over_before_it_falls_silent() {
    for seed in 0..3 {
        let (mut lan, holder) = settled(seed);
        lan.frames.clear();
        let now = lan.now;
        lan.hosts[holder].wire.leave(now);
        let (vain, _) = ask_for(&mut lan, SECOND);
        assert_eq!(vain, 0, "seed {seed}: somebody always answers");
        let next = lan.owners(VIP);
        assert_eq!(next.len(), 1);
        assert_ne!(next[0], holder);
        assert!(lan.hosts[holder].wire.has_left());
        assert_eq!(lan.hosts[holder].wire.poll_timeout(), None);
        assert_eq!(lan.hosts[holder].wire.moves().handed, 1);
        assert_eq!(lan.hosts[next[0]].wire.moves().taken_over, 1);
        lan.kill(holder);
        lan.run(3 * SECOND);
        assert_eq!(lan.owners(VIP), next, "one move for a node that goes");
        lan.restart(holder);
        lan.run(3 * SECOND);
        assert_eq!(lan.owners(VIP), next);
    }
}

// L2-85
#[test]
fn a_leaver_that_nobody_can_follow_gives_up_after_two_seconds() {
    let (mut lan, holder) = settled(1);
    for other in others(holder) {
        let label = "node.kubernetes.io/exclude-from-external-load-balancers";
        let excluded = node(&format!("n{other}"), label);
        lan.change(Change::Node(Delta::Upsert(stored(excluded))));
    }
    lan.run(100 * MS);
    let now = lan.now;
    lan.hosts[holder].wire.leave(now);
    lan.run(1_900 * MS);
    assert_eq!(lan.resolve(VIP), [holder]);
    lan.run(200 * MS);
    assert!(lan.resolve(VIP).is_empty() && lan.hosts[holder].wire.has_left());
}

// L2-85
#[test]
fn the_linger_is_silent_and_ends_by_itself() {
    let mut lan = Lan::new(&cluster(3, vec![service("web", &[VIP])]), 3, 1);
    for host in &mut lan.hosts {
        host.wire.set_linger(5 * SECOND);
    }
    lan.run(2 * SECOND);
    let holder = lan.owners(VIP)[0];
    let now = lan.now;
    lan.hosts[holder].wire.leave(now);
    lan.run(SECOND);
    let next = lan.owners(VIP);
    assert_ne!(next, [holder]);
    assert_eq!(lan.resolve(VIP), next);
    assert!(
        !lan.hosts[holder].wire.has_left(),
        "its node still forwards"
    );
    lan.run(4_500 * MS);
    assert!(lan.hosts[holder].wire.has_left());
    assert_eq!(lan.owners(VIP), next);
}

fn on_node(lan: &mut Lan, host: usize, with: &str, maintenance: bool) {
    let mut changed = node(&format!("n{host}"), with);
    changed.maintenance = maintenance;
    lan.change(Change::Node(Delta::Upsert(stored(changed))));
}

// L2-85
#[test]
fn a_label_and_maintenance_move_without_a_gap_and_the_end_of_them_moves_nothing_back() {
    let label = "node.kubernetes.io/exclude-from-external-load-balancers";
    for (with, maintenance) in [(label, false), ("", true)] {
        let (mut lan, holder) = settled(3);
        lan.frames.clear();
        on_node(&mut lan, holder, with, maintenance);
        let (vain, _) = ask_for(&mut lan, SECOND);
        assert_eq!(vain, 0);
        let next = lan.owners(VIP);
        assert!(next.len() == 1 && next != [holder]);
        on_node(&mut lan, holder, "", false);
        lan.run(2 * SECOND);
        assert_eq!(lan.owners(VIP), next);
    }
}

// L2-85
#[test]
fn a_move_goes_to_the_node_named_without_a_gap() {
    let (mut lan, holder) = settled(4);
    for target in [others(holder)[1], others(holder)[0], holder] {
        let mut moved = service("web", &[VIP]);
        moved.annotations =
            BTreeMap::from([(MOVE_ANNOTATION.to_owned(), format!("n{target}"))]).into();
        lan.change(Change::Service(Delta::Upsert(stored(moved))));
        let (vain, _) = ask_for(&mut lan, SECOND);
        assert_eq!(vain, 0);
        assert_eq!(lan.owners(VIP), [target]);
        // Once the word is taken back, it stays.
        lan.change(Change::Service(Delta::Upsert(stored(service(
            "web",
            &[VIP],
        )))));
        lan.run(SECOND);
        assert_eq!(lan.owners(VIP), [target]);
    }
    assert_eq!(term(&lan, 0, holder), Some(4));
}

// L2-85
#[test]
fn a_move_and_a_stop_go_on_without_the_api() {
    let (mut lan, holder) = settled(4);
    lan.api.down = true;
    let now = lan.now;
    lan.hosts[holder].wire.leave(now);
    let (vain, _) = ask_for(&mut lan, SECOND);
    assert_eq!(vain, 0);
    let next = lan.owners(VIP)[0];
    lan.kill(next);
    lan.run(SECOND);
    let last = lan.owners(VIP);
    assert!(
        last.len() == 1 && last != [next] && last != [holder],
        "failover too: {last:?}"
    );
}

// L2-55
#[test]
fn a_partition_makes_two_and_its_end_leaves_one_within_a_second() {
    for seed in 0..4 {
        let (mut lan, holder) = settled(seed);
        lan.part(&[holder], &others(holder));
        lan.run(5 * SECOND);
        let owners = lan.owners(VIP);
        assert_eq!(owners.len(), 2, "each side answers for its half");
        let winner = *owners.iter().find(|host| **host != holder).unwrap();
        lan.frames.clear();
        lan.cut.clear();
        let healed = lan.now;
        let mut crossed = None;
        while lan.owners(VIP).len() == 2 {
            lan.run(MS);
            let met = !lan.hosts[holder]
                .wire
                .membership()
                .unwrap()
                .members()
                .is_empty();
            if met && crossed.is_none() {
                crossed = Some(lan.now);
            }
            assert!(
                lan.now - healed < 20 * SECOND,
                "seed {seed}: they never meet"
            );
        }
        let both = lan.now - crossed.unwrap_or(lan.now);
        assert!(
            both <= SECOND,
            "seed {seed}: {both:?} after the first message"
        );
        assert_eq!(lan.owners(VIP), [winner], "seed {seed}: the higher term");
        lan.run(5 * SECOND);
        // Counted from the healing: the winner may hear of the other before that one falls silent.
        let burst = gratuitous(&lan, winner);
        assert!(
            burst >= 8,
            "seed {seed}: the winner sends a full burst, not {burst}"
        );
        assert_eq!(lan.resolve(VIP), [winner]);
        assert_eq!(lan.hosts[holder].wire.moves().lost, 1);
        for host in 0..3 {
            assert_eq!(term(&lan, host, winner), Some(2));
            assert_eq!(term(&lan, host, holder), None);
        }
    }
}

// L2-55
#[test]
fn two_that_claimed_with_one_term_go_by_the_order() {
    let mut lan = Lan::new(&cluster(2, vec![service("web", &[VIP])]), 2, 3);
    lan.part(&[0], &[1]);
    lan.run(3 * SECOND);
    assert_eq!(lan.owners(VIP), [0, 1]);
    assert_eq!((term(&lan, 0, 0), term(&lan, 1, 1)), (Some(1), Some(1)));
    lan.cut.clear();
    lan.run(10 * SECOND);
    let first = crate::elect::order::ordered([("n0", 0), ("n1", 0)], VIP.parse().unwrap())[0];
    assert_eq!(lan.owners(VIP), [usize::from(first == "n1")]);
}

#[test]
fn a_process_that_was_stopped_answers_nothing_before_it_knows_better() {
    for seed in 0..4 {
        let (mut lan, holder) = settled(seed);
        lan.pause(holder, 5 * SECOND);
        lan.run(4_900 * MS);
        let next = *lan
            .owners(VIP)
            .iter()
            .find(|host| **host != holder)
            .unwrap();
        lan.frames.clear();
        let before = lan.now;
        let (vain, repliers) = ask_for(&mut lan, 3 * SECOND);
        assert_eq!((vain, repliers), (0, BTreeSet::from([next])), "seed {seed}");
        assert_eq!(lan.owners(VIP), [next]);
        assert_eq!(gratuitous(&lan, holder), 0, "since {before:?}");
        assert_eq!(
            term(&lan, 0, next),
            Some(2),
            "the winner did not have to outbid it"
        );
    }
}

#[test]
fn a_short_stop_costs_nothing_but_the_time_it_took() {
    let (mut lan, holder) = settled(2);
    lan.pause(holder, 350 * MS);
    lan.run(2 * SECOND);
    let late = |e: &WireEvent| matches!(e, WireEvent::Late { .. });
    assert!(lan.hosts[holder].events.iter().any(late));
    assert_eq!(lan.owners(VIP), [holder], "nobody took it, it goes on");
    assert_eq!(lan.resolve(VIP), [holder]);
}

// L2-57
#[test]
fn who_is_cut_off_from_most_and_from_the_gateway_gives_up() {
    for gateway in [Some(false), Some(true), None] {
        let (mut lan, holder) = settled(1);
        for other in others(holder) {
            lan.hosts[other].gateway = Some(true);
        }
        lan.hosts[holder].gateway = gateway;
        lan.run(SECOND);
        lan.part(&[holder], &others(holder));
        lan.run(3 * SECOND);
        let owners = lan.owners(VIP);
        let keeps = gateway != Some(false);
        assert_eq!(owners.contains(&holder), keeps, "{gateway:?}: {owners:?}");
        assert_eq!(owners.len(), 1 + usize::from(keeps), "{gateway:?}");
        lan.cut.clear();
        lan.run(12 * SECOND);
        let after = lan.owners(VIP);
        assert!(
            after.len() == 1 && after != [holder],
            "{gateway:?}: {after:?}"
        );
    }
}

// L2-57
#[test]
fn the_gateway_back_in_reach_makes_the_isolated_serve_again() {
    let (mut lan, holder) = settled(1);
    lan.hosts[holder].gateway = Some(false);
    lan.part(&[holder], &others(holder));
    lan.run(3 * SECOND);
    assert!(!lan.owners(VIP).contains(&holder));
    lan.hosts[holder].gateway = Some(true);
    lan.run(2 * SECOND);
    assert!(
        lan.owners(VIP).contains(&holder),
        "its half has nobody else"
    );
}

// L2-57
#[test]
fn one_of_one_and_one_of_two_keep_all() {
    for hosts in [1, 2] {
        let mut lan = Lan::new(&cluster(hosts, vec![service("web", &[VIP])]), hosts, 1);
        lan.run(2 * SECOND);
        let holder = lan.owners(VIP)[0];
        (0..hosts).for_each(|host| lan.hosts[host].gateway = Some(false));
        (0..hosts)
            .filter(|host| *host != holder)
            .for_each(|host| lan.kill(host));
        lan.run(5 * SECOND);
        assert_eq!(lan.owners(VIP), [holder], "{hosts} hosts");
    }
}

// L2-46, L2-86
#[test]
fn a_link_that_goes_down_is_released_at_once() {
    let (mut lan, holder) = settled(1);
    lan.hosts[holder].interfaces.get_mut(&2).unwrap().carrier = false;
    let cut = lan.now;
    lan.frames.clear();
    lan.run(50 * MS);
    let next = lan.owners(VIP);
    assert!(next.len() == 1 && next != [holder], "{next:?}");
    let first = lan.gratuitous_after(VIP, cut, holder).unwrap();
    assert!(first.at - cut <= 50 * MS, "{:?}", first.at - cut);
    assert_eq!(lan.hosts[holder].wire.moves().link, 1);
    lan.hosts[holder].interfaces.get_mut(&2).unwrap().carrier = true;
    lan.run(2 * SECOND);
    assert_eq!(lan.owners(VIP), next, "it takes nothing back");
}

/// Its only link: it reaches nobody meanwhile, for so short that nobody may have noticed, or for long.
// L2-83, L2-87
#[test]
fn a_node_whose_only_link_returns_takes_nothing_that_others_hold() {
    for (seed, (hosts, dark)) in [
        (2, 300 * MS),
        (2, 700 * MS),
        (2, 5 * SECOND),
        (3, 300 * MS),
        (3, 600 * MS),
        (3, 700 * MS),
        (3, 800 * MS),
        (3, SECOND),
        (3, 5 * SECOND),
        (5, 650 * MS),
        (5, 5 * SECOND),
    ]
    .into_iter()
    .enumerate()
    {
        let vips: Vec<String> = (0..8).map(|i| format!("10.0.1.{i}")).collect();
        let services = vips.iter().enumerate();
        let services = services.map(|(i, vip)| service(&format!("s{i}"), &[vip]));
        let mut lan = Lan::new(&cluster(hosts, services.collect()), hosts, seed as u64);
        lan.run(3 * SECOND);
        let rest: Vec<usize> = (1..hosts).collect();
        for again in 0..3 {
            lan.hosts[0].interfaces.get_mut(&2).unwrap().carrier = false;
            lan.part(&[0], &rest);
            lan.run(dark);
            let kept = |lan: &Lan| -> Vec<Vec<usize>> {
                let owners = |vip: &String| lan.owners(vip);
                vips.iter().map(owners).collect()
            };
            let before = kept(&lan);
            lan.hosts[0].interfaces.get_mut(&2).unwrap().carrier = true;
            lan.cut.clear();
            lan.run(4 * SECOND);
            for (vip, (before, after)) in vips.iter().zip(before.iter().zip(kept(&lan))) {
                assert_eq!(after.len(), 1, "{vip}, {hosts} hosts, {dark:?}");
                // At 650 ms the others may not have agreed yet.
                assert!(
                    before.is_empty() || *before == after || !after.contains(&0),
                    "{vip}, {hosts} hosts, {dark:?}, {again}: {before:?}, then {after:?}"
                );
            }
        }
    }
}

// L2-90
#[test]
fn an_address_without_a_service_is_silent_in_the_same_call() {
    let (mut lan, holder) = settled(1);
    lan.frames.clear();
    lan.change(Change::Service(Delta::Delete(service("web", &[]).name)));
    assert!(lan.resolve(VIP).is_empty());
    assert_eq!(lan.hosts[holder].wire.moves().released, 1);
    lan.run(SECOND);
    assert_eq!(
        term(&lan, others(holder)[0], holder),
        None,
        "everybody knows"
    );
}

// L2-90
#[test]
fn an_address_that_goes_to_another_service_is_answered_by_one_at_a_time() {
    for lagging in [false, true] {
        let (mut lan, holder) = settled(1);
        let label = "node.kubernetes.io/exclude-from-external-load-balancers";
        let excluded = node(&format!("n{holder}"), label);
        let changes = [
            Change::Node(Delta::Upsert(stored(excluded))),
            Change::Service(Delta::Delete(service("web", &[]).name)),
            Change::Service(Delta::Upsert(stored(service("other", &[VIP])))),
            Change::EndpointSlice(Delta::Upsert(stored(ready_on("other", &["n1"])))),
        ];
        let started = lan.now;
        for change in &changes {
            lan.world.apply(change.clone());
            for host in 0..3 {
                if !(lagging && host == holder) {
                    lan.hosts[host].speaker.handle_change(change.clone());
                }
            }
        }
        let (mut first, mut both) = (None, 0);
        while lan.now < started + 3 * SECOND {
            let owners = lan.owners(VIP);
            both += u32::from(owners.len() > 1);
            if first.is_none() && owners.iter().any(|host| *host != holder) {
                first = Some(lan.now - started);
            }
            lan.run(MS);
        }
        assert!(
            both <= u32::from(lagging) * 3,
            "for a message's time at the most: {both} ms"
        );
        let first = first.expect("the new Service is announced");
        match lagging {
            false => assert!(first <= 20 * MS, "{first:?}"),
            true => assert!(first >= 1_990 * MS && first <= 2_100 * MS, "{first:?}"),
        }
    }
}

// L2-84
#[test]
fn a_dual_stack_service_moves_as_one() {
    let both = ["10.0.0.7", "fc00::7"];
    let mut lan = Lan::new(&cluster(3, vec![service("two", &both)]), 3, 1);
    lan.run(2 * SECOND);
    for _ in 0..2 {
        let holder = lan.owners(both[0]);
        assert_eq!(lan.owners(both[1]), holder);
        lan.kill(holder[0]);
        lan.run(2 * SECOND);
        assert_eq!(lan.owners(both[0]).len(), 1);
    }
    let last = lan.owners(both[0])[0];
    let claims = &lan.hosts[last].wire.facts().members.claims;
    for address in both {
        assert_eq!(
            claims.term(address.parse().unwrap(), &format!("n{last}")),
            Some(3)
        );
    }
}

/// Each step of a rolling restart moves what the node held, once.
// L2-85
#[test]
fn a_rolling_restart_moves_each_address_once_per_node_that_goes() {
    let services = (0..12).map(|i| service(&format!("s{i}"), &[&format!("10.0.1.{i}")]));
    let mut lan = Lan::new(&cluster(3, services.collect()), 3, 5);
    lan.run(2 * SECOND);
    let owners = |lan: &Lan| -> Vec<Vec<usize>> {
        (0..12)
            .map(|i| lan.owners(&format!("10.0.1.{i}")))
            .collect()
    };
    for going in 0..3 {
        let before = owners(&lan);
        let now = lan.now;
        lan.hosts[going].wire.leave(now);
        lan.run(500 * MS);
        lan.kill(going);
        lan.run(500 * MS);
        lan.restart(going);
        lan.run(2 * SECOND);
        for (old, new) in before.iter().zip(owners(&lan)) {
            assert_eq!(new.len(), 1);
            assert_eq!(old != &new, old == &[going], "{old:?} {new:?}");
        }
    }
}
