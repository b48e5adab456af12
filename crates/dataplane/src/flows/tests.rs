//! When which flows are forgotten.

use super::*;

fn a(n: u8) -> IpAddr {
    [10, 0, 0, n].into()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Everything due at each of the given milliseconds.
fn due(flows: &mut Flows, now: Instant) -> Vec<IpAddr> {
    flows.handle_timeout(now);
    std::iter::from_fn(|| flows.poll_forget(now)).collect()
}

#[test]
fn the_dead_are_forgotten_at_once_and_100_ms_later_and_then_no_more() {
    let t = Instant::now();
    let mut flows = Flows::default();
    let dead = BTreeSet::from([a(1)]);
    flows.set(&dead, &BTreeMap::new(), t);
    assert_eq!(due(&mut flows, t), [a(1)]);
    assert_eq!(flows.poll_timeout(), Some(t + ms(100)));
    flows.set(&dead, &BTreeMap::new(), t + ms(50));
    assert!(
        due(&mut flows, t + ms(99)).is_empty(),
        "still dead is no news"
    );
    assert_eq!(due(&mut flows, t + ms(100)), [a(1)]);
    assert_eq!(flows.poll_timeout(), None);
    flows.set(&BTreeSet::new(), &BTreeMap::new(), t + ms(200));
    flows.set(&dead, &BTreeMap::new(), t + ms(300));
    assert_eq!(due(&mut flows, t + ms(300)), [a(1)], "dead again");
}

#[test]
fn a_delete_that_failed_is_tried_again() {
    let t = Instant::now();
    let mut flows = Flows::default();
    flows.set(&BTreeSet::from([a(1)]), &BTreeMap::new(), t);
    assert_eq!(due(&mut flows, t), [a(1)]);
    flows.failed(a(1), t);
    assert_eq!(flows.poll_timeout(), Some(t + RETRY_AFTER));
    assert_eq!(due(&mut flows, t + RETRY_AFTER), [a(1)]);
    assert_eq!(due(&mut flows, t + RETRY_AFTER + ms(100)), [a(1)]);
    assert_eq!(flows.poll_timeout(), None);
}

#[test]
fn the_flows_of_a_draining_node_live_to_the_timer() {
    let t = Instant::now();
    let mut flows = Flows::default();
    let drain = |s| BTreeMap::from([(a(2), Duration::from_secs(s))]);
    flows.set(&BTreeSet::new(), &drain(30), t);
    assert!(due(&mut flows, t + ms(29_999)).is_empty());
    flows.set(&BTreeSet::new(), &drain(60), t + ms(29_999));
    assert_eq!(
        flows.poll_timeout(),
        Some(t + ms(60_000)),
        "counted from the begin"
    );
    assert_eq!(due(&mut flows, t + ms(60_000)), [a(2)]);
    assert_eq!(flows.poll_timeout(), None);
    flows.set(&BTreeSet::new(), &BTreeMap::new(), t + ms(60_001));
    flows.set(&BTreeSet::new(), &drain(1), t + ms(61_000));
    flows.set(&BTreeSet::new(), &BTreeMap::new(), t + ms(61_001));
    assert!(
        due(&mut flows, t + ms(99_000)).is_empty(),
        "no longer draining"
    );
}
