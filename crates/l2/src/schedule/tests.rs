//! The schedule alone: the grid of the refresh and the queues. Bursts are tested through the responder.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::testing::{base, ms};

fn vip(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

// L2-33
#[test]
fn refresh_points_are_spread_evenly_over_the_period() {
    let now = base();
    let schedule = Schedule::new(Some(ms(60_000)), now);
    let mut per_second = [0; 61];
    for n in 0..6_000 {
        let at = schedule.refresh_at(vip(n), now + ms(600_000)).unwrap();
        let offset = (at - now - ms(600_000)).as_secs();
        per_second[offset as usize % 60] += 1;
    }
    assert!(
        per_second[..60]
            .iter()
            .all(|&count| (50..=160).contains(&count)),
        "{per_second:?}"
    );
}

// L2-33
#[test]
fn many_addresses_are_refreshed_in_few_wake_ups() {
    let now = base();
    for period in [ms(5_000), ms(60_000), ms(61_234)] {
        let schedule = Schedule::new(Some(period), now);
        let points: BTreeSet<_> = (0..5_000)
            .filter_map(|n| schedule.refresh_at(vip(n), now + period))
            .collect();
        let most = period.as_millis() / REFRESH_TICK.as_millis() + 1;
        assert!(
            points.len() as u128 <= most,
            "{} for {period:?}",
            points.len()
        );
    }
}

// L2-33
#[test]
fn one_refresh_point_follows_another_by_the_period() {
    let now = base();
    for period in [ms(5_000), ms(60_000), ms(3_600_000)] {
        let schedule = Schedule::new(Some(period), now);
        for n in 0..500 {
            let first = schedule.refresh_at(vip(n), now + ms(4_400)).unwrap();
            let second = schedule.refresh_at(vip(n), first).unwrap();
            let third = schedule.refresh_at(vip(n), second + ms(40)).unwrap();
            assert_eq!((second - first, third - second), (period, period));
            assert!(
                first - now - ms(4_400) >= IPV6_SPACING,
                "a burst is not followed too soon"
            );
            assert!(first - now - ms(4_400) <= period + (period / 10).max(IPV6_SPACING));
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    Remove(u32),
    Restart(u32),
    Failed(u32),
    Open(bool, bool),
    Refresh(bool),
    Advance(u64),
    Take(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0u32..12).prop_map(Op::Insert),
        (0u32..12).prop_map(Op::Remove),
        (0u32..12).prop_map(Op::Restart),
        (0u32..12).prop_map(Op::Failed),
        any::<(bool, bool)>().prop_map(|(v4, v6)| Op::Open(v4, v6)),
        any::<bool>().prop_map(Op::Refresh),
        (0u64..3_000).prop_map(Op::Advance),
        (0usize..20).prop_map(Op::Take),
    ]
}

fn either(n: u32) -> IpAddr {
    if n.is_multiple_of(2) {
        vip(n)
    } else {
        IpAddr::V6((0x2001_0db8u128 << 96 | u128::from(n)).into())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // L2-35, L2-36
    #[test]
    fn queues_hold_exactly_what_may_be_sent(ops in prop::collection::vec(op(), 0..120)) {
        let mut now = base();
        let mut schedule = Schedule::new(Some(ms(60_000)), now);
        let (mut known, mut open) = (BTreeSet::new(), (false, false));
        for op in ops {
            match op {
                Op::Insert(n) => { schedule.insert(either(n), now); known.insert(either(n)); }
                Op::Remove(n) => { schedule.remove(either(n)); known.remove(&either(n)); }
                Op::Restart(n) => schedule.restart(either(n), now),
                Op::Failed(n) => schedule.failed(either(n), now),
                Op::Open(v4, v6) => { open = (v4, v6); schedule.set_open(v4, v6, now); }
                Op::Refresh(on) => schedule.set_refresh(on.then(|| ms(60_000)), now),
                Op::Advance(millis) => { now += ms(millis); schedule.advance(now); }
                Op::Take(count) => for _ in 0..count {
                    if let Some((address, _)) = schedule.take(now) {
                        prop_assert!(known.contains(&address), "nothing for an address that is gone");
                        prop_assert!(if address.is_ipv4() { open.0 } else { open.1 }, "nothing on a closed family");
                    }
                },
            }
            schedule.assert_consistent();
            prop_assert_eq!(schedule.entries.len(), known.len());
            prop_assert!(schedule.next_due().is_none_or(|due| due > now), "what is due is ready");
        }
    }
}
