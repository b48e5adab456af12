//! Claims: to everybody under loss, to newcomers, over restarts and partitions, within the pace.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::net::{Net, ms};
use crate::{Claim, Event};

type Books = BTreeMap<IpAddr, u64>;

/// The first is 10.128.0.0.
fn virtual_ip(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a80_0000 + number).into()
}

fn book(net: &Net, at: usize, owner: usize) -> Books {
    let claims = net.machine(at).claims_of(&net.nodes[owner].name);
    claims
        .map(|(address, claim)| (address, claim.term))
        .collect()
}

fn claim(net: &mut Net, index: usize, numbers: std::ops::Range<u32>, term: u64) {
    net.with(index, |machine, now| {
        for number in numbers {
            assert!(machine.set_claim(virtual_ip(number), Some(Claim { term }), now));
        }
    });
}

/// Everybody has everybody's claims, the index agrees with the books, and no other claims are known.
fn all_agree(net: &Net) -> bool {
    net.running().into_iter().all(|owner| {
        let truth = book(net, owner, owner);
        net.running().into_iter().all(|at| {
            (at == owner
                || net
                    .machine(at)
                    .members()
                    .contains_key(&net.nodes[owner].name))
                && book(net, at, owner) == truth
        })
    })
}

fn changes(events: &[Event], of: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    for event in events {
        if let Event::ClaimsChanged { node, addresses } = event
            && node == of
        {
            all.extend(addresses);
        }
    }
    all
}

#[test]
fn a_claim_is_everywhere_in_one_trip() {
    let mut net = Net::formed(5, 300, 0);
    net.run(Duration::from_secs(1));
    let since = net.now;
    claim(&mut net, 2, 0..1, 7);
    net.run(ms(1));
    assert!(all_agree(&net));
    for other in [0, 1, 3, 4] {
        let events = net.events_since(other, since);
        assert_eq!(changes(&events, "node-2"), [virtual_ip(0)]);
        let told: Vec<(&str, Claim)> = net.machine(other).claims_on(virtual_ip(0)).collect();
        assert_eq!(told, [("node-2", Claim { term: 7 })]);
    }
    net.with(2, |machine, now| {
        machine.set_claim(virtual_ip(0), None, now)
    });
    net.run(ms(1));
    assert!(all_agree(&net));
    assert_eq!(net.machine(0).claims_on(virtual_ip(0)).count(), 0);
    assert_eq!(net.machine(0).highest_term(virtual_ip(0)), 7);
    assert_eq!(net.machine(0).highest_term(virtual_ip(1)), 0);
}

#[test]
fn both_families_are_carried() {
    let mut net = Net::formed(3, 301, 0);
    let v6: IpAddr = Ipv6Addr::from_bits(0x2001_0db8 << 96 | 5).into();
    let edges = [
        v6,
        Ipv6Addr::from_bits(u128::MAX).into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv4Addr::BROADCAST.into(),
        virtual_ip(3),
    ];
    net.with(0, |machine, now| {
        for address in edges {
            assert!(machine.set_claim(address, Some(Claim { term: 1 }), now));
        }
    });
    net.run(ms(100));
    assert!(all_agree(&net));
    assert_eq!(
        book(&net, 1, 0).into_keys().collect::<Vec<_>>().len(),
        edges.len()
    );
    assert!(
        edges
            .iter()
            .all(|address| book(&net, 1, 0).contains_key(address))
    );
}

#[test]
fn ten_thousand_claims_are_everywhere_in_about_a_second() {
    for (count, loss) in [(3, 0), (5, 20), (5, 200)] {
        let mut net = Net::formed(count, 302 + loss as u64, loss);
        net.run(Duration::from_secs(1));
        net.duplicate_per_mille = 20;
        net.pairs = Some(BTreeMap::new());
        let since = net.now;
        claim(&mut net, 0, 0..10_000, 1);
        let limit = ms(if loss > 20 { 3_000 } else { 1_300 });
        assert!(net.run_until(limit, all_agree), "{loss} of 1000 lost");
        println!(
            "{count} nodes, {loss} of 1000 lost: 10,000 claims everywhere after {:?}",
            net.now - since
        );
        assert_pace(&net);
    }
}

/// No pair has more than 64 kB of claims in a second; what else there is has less than 6 kB.
fn assert_pace(net: &Net) {
    let pairs = net.pairs.as_ref().expect("counted");
    let mut worst = 0;
    for (from, to, tenth) in pairs.keys() {
        let second = pairs.range((*from, *to, *tenth)..(*from, *to, *tenth + 10));
        worst = worst.max(second.map(|(_, bytes)| bytes).sum());
    }
    println!("the busiest pair in its busiest second: {worst} bytes");
    assert!(worst <= 65_536 + 6_000, "{worst} bytes in a second");
    assert!(net.longest <= crate::MAX_DATAGRAM_BYTES);
}

#[test]
fn a_change_under_heavy_loss_duplicates_and_reordering_arrives_and_stays() {
    for seed in 310..316 {
        let mut net = Net::formed(6, seed, 20);
        net.run(Duration::from_secs(1));
        net.loss_per_mille = 200;
        net.duplicate_per_mille = 200;
        net.delay_micros = (100, 60_000);
        for round in 1..=40_u64 {
            let index = (round % 6) as usize;
            let at = (round * 7 % 50) as u32;
            net.with(index, |machine, now| {
                for number in at..at + 20 {
                    let gone = (u64::from(number) + round).is_multiple_of(3);
                    let claim = (!gone).then_some(Claim { term: round });
                    machine.set_claim(virtual_ip(number), claim, now);
                }
            });
            net.run(ms(13));
        }
        let since = net.now;
        net.delay_micros = (100, 900);
        assert!(
            net.run_until(Duration::from_secs(5), all_agree),
            "seed {seed}"
        );
        println!(
            "seed {seed}: all agree {:?} after the last change",
            net.now - since
        );
    }
}

#[test]
fn a_restart_takes_the_old_claims_away() {
    let mut net = Net::formed(4, 320, 0);
    claim(&mut net, 1, 0..500, 3);
    assert!(net.run_until(ms(500), all_agree));
    let since = net.now;
    net.kill(1);
    net.boot(1);
    assert!(net.run_until(ms(300), |net| net.everybody_has_records() && all_agree(net)));
    assert_eq!(book(&net, 0, 1), Books::new());
    assert_eq!(changes(&net.events_since(0, since), "node-1").len(), 500);
    assert_eq!(net.machine(0).highest_term(virtual_ip(9)), 3);
}

#[test]
fn the_claims_of_the_dead_go_with_them_and_come_back() {
    let mut net = Net::formed(5, 321, 20);
    claim(&mut net, 4, 0..2_000, 9);
    assert!(net.run_until(ms(1_500), all_agree));
    let since = net.now;
    // Cut off long enough to be declared dead, then there again: the same boot with its claims.
    for other in 0..4 {
        net.cut.extend([(other, 4), (4, other)]);
    }
    net.run(Duration::from_secs(2));
    assert_eq!(net.machine(0).claims_of("node-4").count(), 0);
    assert_eq!(net.machine(0).claims_on(virtual_ip(5)).count(), 0);
    assert_eq!(net.machine(0).highest_term(virtual_ip(5)), 9);
    assert_eq!(
        changes(&net.events_since(0, since), "node-4"),
        Vec::<IpAddr>::new()
    );
    net.cut.clear();
    assert!(net.run_until(Duration::from_secs(3), all_agree));
}

#[test]
fn both_sides_of_a_partition_know_the_others_claims_soon_after_it_heals() {
    let mut worst = Duration::ZERO;
    for seed in 330..340 {
        let mut net = Net::formed(10, seed, 20);
        (0..10).for_each(|index| {
            claim(
                &mut net,
                index,
                index as u32 * 100..index as u32 * 100 + 100,
                1,
            )
        });
        assert!(net.run_until(ms(2_000), all_agree));
        for (left, right) in (0..5).flat_map(|left| (5..10).map(move |right| (left, right))) {
            net.cut.extend([(left, right), (right, left)]);
        }
        net.run(Duration::from_secs(3));
        // Each side takes over what the other had.
        claim(&mut net, 0, 500..600, 2);
        claim(&mut net, 5, 0..100, 2);
        net.run(Duration::from_secs(1) + ms(seed * 37 % 400));
        net.cut.clear();
        let healed = net.now;
        assert!(
            net.run_until(Duration::from_secs(4), all_agree),
            "seed {seed}"
        );
        worst = worst.max(net.now - healed);
    }
    println!("10 nodes in two halves: all claims known at most {worst:?} after healing");
    assert!(worst <= ms(1_500), "{worst:?}");
}

#[test]
fn a_newcomer_knows_all_claims_before_it_says_so() {
    for (seed, loss) in [(340, 0), (341, 20), (342, 200)] {
        let mut net = Net::new(12, seed);
        net.loss_per_mille = loss;
        (0..11).for_each(|index| net.boot(index));
        assert!(net.run_until(Duration::from_secs(5), Net::everybody_knows));
        (0..11).for_each(|index| {
            claim(
                &mut net,
                index,
                index as u32 * 300..index as u32 * 300 + 300,
                4,
            )
        });
        assert!(
            net.run_until(Duration::from_secs(6), all_agree),
            "loss {loss}"
        );
        let since = net.now;
        net.boot(11);
        assert!(
            net.machine(11).claims_known(),
            "alone there is nothing to know"
        );
        net.run(ms(20));
        let knows = |net: &Net| {
            let machine = net.machine(11);
            machine.members().len() == 11 && machine.claims_known()
        };
        assert!(net.run_until(Duration::from_secs(6), knows), "loss {loss}");
        println!(
            "{loss} of 1000 lost: a newcomer knows 3,300 claims of 11 members after {:?}",
            net.now - since
        );
        for owner in 0..11 {
            assert_eq!(
                book(&net, 11, owner),
                book(&net, owner, owner),
                "loss {loss}: node-{owner}"
            );
        }
    }
}

#[test]
fn a_path_that_is_broken_is_gone_around() {
    let mut net = Net::formed(6, 350, 0);
    net.run(Duration::from_secs(1));
    net.cut.extend([(0, 5), (5, 0)]);
    claim(&mut net, 0, 0..300, 2);
    assert!(net.run_until(Duration::from_secs(15), all_agree));
    net.with(0, |machine, now| {
        (0..150).for_each(|number| {
            machine.set_claim(virtual_ip(number), None, now);
        })
    });
    assert!(net.run_until(Duration::from_secs(15), all_agree));
}

#[test]
fn who_was_stopped_has_its_knowledge_confirmed() {
    let mut net = Net::formed(4, 351, 0);
    claim(&mut net, 1, 0..10, 1);
    net.run(Duration::from_secs(1));
    assert!(net.machine(0).claims_known());
    net.stop_for(0, ms(2_000));
    net.run(ms(1_000));
    // Taken over meanwhile.
    claim(&mut net, 2, 0..10, 2);
    net.run(ms(1_001));
    assert!(
        net.events_since(0, net.start)
            .iter()
            .any(|event| matches!(event, Event::Late { .. }))
    );
    let knew: Vec<bool> = vec![net.machine(0).claims_known()];
    assert!(net.run_until(ms(3_000), |net| net.everybody_knows()
        && net.machine(0).claims_known()));
    println!(
        "confirmed {:?}, known right after the pause: {knew:?}",
        net.now - net.start
    );
    assert!(
        net.machine(0)
            .claims_on(virtual_ip(3))
            .any(|(node, claim)| node == "node-2" && claim.term == 2)
    );
}

#[test]
fn the_same_claim_again_and_an_unknown_release_cost_nothing() {
    let mut net = Net::formed(3, 352, 0);
    claim(&mut net, 0, 0..1, 1);
    net.run(Duration::from_secs(1));
    let due = net.machine(0).poll_timeout();
    net.with(0, |machine, now| {
        assert!(!machine.set_claim(virtual_ip(0), Some(Claim { term: 1 }), now));
        assert!(!machine.set_claim(virtual_ip(1), None, now));
    });
    assert_eq!(net.machine(0).poll_timeout(), due);
}
