//! The schedule, the choice of the neighbour, and what floods leave behind.

use super::*;
use crate::speaker::tests::lan::base;

const LINK: u32 = 7;
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

fn link(now: Instant) -> Neighbors {
    let mut neighbors = Neighbors::new(1);
    let wanted = BTreeMap::from([(LINK, Some(MacAddr([2, 0, 0, 0, 0, 1])))]);
    assert_eq!(neighbors.set_links(&wanted, now), (vec![LINK], vec![]));
    assert_eq!(neighbors.set_links(&wanted, now), (vec![], vec![]));
    neighbors
}

fn hear(neighbors: &mut Neighbors, from: Ipv6Addr, established: bool, now: Instant) -> Heard {
    let octets = router::advertisement(None);
    neighbors.heard(LINK, from, Some(255), &octets, established, now)
}

/// Types of what is sent within a time, with the moments.
fn sent(neighbors: &mut Neighbors, start: Instant, time: Duration) -> Vec<(u8, Duration)> {
    let none = BTreeSet::new();
    let mut all = Vec::new();
    while let Some(due) = neighbors
        .poll_timeout(&none)
        .filter(|due| *due <= start + time)
    {
        neighbors.handle_timeout(&none, due);
        while let Some(message) = neighbors.poll_transmit() {
            assert_eq!(
                message.to_routers,
                message.octets[0] == router::SOLICITATION
            );
            all.push((message.octets[0], due - start));
        }
    }
    all
}

// BGP-14
#[test]
fn advertisements_come_at_once_three_times_a_second_apart_and_then_every_ten() {
    let start = base();
    let mut neighbors = link(start);
    let all = sent(&mut neighbors, start, Duration::from_secs(30));
    let adverts: Vec<Duration> = all
        .iter()
        .filter(|(kind, _)| *kind == router::ADVERTISEMENT)
        .map(|(_, at)| *at)
        .collect();
    assert_eq!(adverts[0], Duration::ZERO);
    for pair in adverts[..4].windows(2) {
        let apart = (pair[1] - pair[0]).as_millis();
        assert!((750..=1_250).contains(&apart), "{adverts:?}");
    }
    assert_eq!(adverts[4] - adverts[3], LATER);
    let asked = all.iter().filter(|(kind, _)| *kind == router::SOLICITATION);
    assert_eq!(
        asked.count(),
        adverts.len(),
        "nobody was heard: it is asked each time"
    );
}

// BGP-14
#[test]
fn the_first_neighbour_wins_a_second_is_told_once_and_a_silent_one_is_forgotten() {
    let start = base();
    let mut neighbors = link(start);
    let none = BTreeSet::new();
    assert!(hear(&mut neighbors, ROUTER, false, start).found);
    let told = hear(&mut neighbors, OTHER, false, start);
    assert_eq!(told.rival, Some((ROUTER, OTHER)));
    assert_eq!(hear(&mut neighbors, OTHER, false, start), Heard::default());
    assert_eq!(neighbors.of(LINK), Some(ROUTER));
    let late = start + SILENCE_MAX;
    assert!(
        !neighbors.handle_timeout(&BTreeSet::from([LINK]), late),
        "it has a session"
    );
    assert_eq!(neighbors.of(LINK), Some(ROUTER));
    assert!(neighbors.handle_timeout(&none, late));
    assert_eq!(neighbors.of(LINK), None);
    assert!(hear(&mut neighbors, OTHER, false, late).found);
}

// BGP-14
#[test]
fn a_neighbour_without_a_session_is_answered_at_once_and_not_more_than_once_a_second() {
    let start = base();
    let mut neighbors = link(start);
    let quiet = start + Duration::from_secs(12);
    sent(&mut neighbors, start, Duration::from_secs(12));
    hear(&mut neighbors, ROUTER, false, quiet);
    assert_eq!(sent(&mut neighbors, quiet, Duration::ZERO).len(), 1);
    for millis in 1..1_000 {
        hear(
            &mut neighbors,
            ROUTER,
            false,
            quiet + Duration::from_millis(millis),
        );
    }
    assert!(sent(&mut neighbors, quiet, Duration::from_millis(999)).is_empty());
    hear(&mut neighbors, ROUTER, true, quiet + Duration::from_secs(2));
    assert!(sent(&mut neighbors, quiet, Duration::from_secs(2)).is_empty());
}

#[test]
fn ten_thousand_sources_leave_one_neighbour_and_what_is_forged_leaves_none() {
    let start = base();
    let mut neighbors = link(start);
    let octets = router::advertisement(None);
    for host in 0..10_000 {
        let from = Ipv6Addr::from_bits(0xfe80 << 112 | host);
        let heard = neighbors.heard(LINK, from, Some(254), &octets, false, start);
        assert_eq!(heard, Heard::default());
    }
    assert_eq!((neighbors.of(LINK), neighbors.refused()), (None, 10_000));
    for host in 0..10_000 {
        let from = Ipv6Addr::from_bits(0xfe80 << 112 | host);
        neighbors.heard(LINK, from, Some(255), &octets, false, start);
    }
    assert_eq!(neighbors.of(LINK), Some(Ipv6Addr::from_bits(0xfe80 << 112)));
}
