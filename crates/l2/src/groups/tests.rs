//! Memberships: what is joined, left and tried again.

use super::*;
use crate::testing::{base, ms};

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn drain(groups: &mut Groups) -> Vec<Change> {
    std::iter::from_fn(|| groups.poll()).collect()
}

/// Two addresses that share a group, and one that does not.
fn three() -> (Groups, Ipv6Addr, Ipv6Addr) {
    let mut groups = Groups::default();
    groups.set_open(true, true);
    for text in ["2001:db8::12:3456", "2001:db8:1::ab12:3456", "2001:db8::7"] {
        groups.insert(address(text));
    }
    (
        groups,
        address("ff02::1:ff12:3456"),
        address("ff02::1:ff00:7"),
    )
}

// L2-66, L2-69
#[test]
fn addresses_with_the_same_low_bits_share_one_counted_membership() {
    let (mut groups, shared, single) = three();
    assert_eq!(
        drain(&mut groups),
        [Change::Join(single), Change::Join(shared)]
    );
    groups.remove(address("2001:db8::12:3456"));
    assert_eq!(drain(&mut groups), [], "one address still needs it");
    groups.remove(address("2001:db8:1::ab12:3456"));
    assert_eq!(drain(&mut groups), [Change::Leave(shared)]);
    groups.insert(address("2001:db8::12:3456"));
    assert_eq!(drain(&mut groups), [Change::Join(shared)]);
}

// L2-68
#[test]
fn groups_are_joined_again_when_the_interface_returns() {
    let (mut groups, shared, single) = three();
    drain(&mut groups);
    groups.set_open(false, false);
    assert_eq!(
        drain(&mut groups),
        [Change::Leave(single), Change::Leave(shared)]
    );
    groups.set_open(true, true);
    assert_eq!(
        drain(&mut groups),
        [Change::Join(single), Change::Join(shared)]
    );
    groups.set_open(true, true);
    assert_eq!(
        drain(&mut groups),
        [Change::Join(single), Change::Join(shared)],
        "a new index"
    );
    groups.set_open(true, false);
    assert_eq!(drain(&mut groups), [], "an event without change");
}

// L2-68: down and up again before anybody polled; the kernel may have forgotten all the same.
#[test]
fn a_flap_between_two_polls_joins_again() {
    let (mut groups, shared, single) = three();
    drain(&mut groups);
    groups.set_open(false, false);
    groups.set_open(true, true);
    assert_eq!(
        drain(&mut groups),
        [Change::Join(single), Change::Join(shared)]
    );
}

// L2-68
#[test]
fn a_failed_join_is_tried_after_1_2_4_up_to_30_s_and_at_each_link_event() {
    let (mut groups, shared, _) = three();
    drain(&mut groups);
    let mut now = base();
    let mut waits = Vec::new();
    for _ in 0..7 {
        groups.join_failed(shared, now);
        let due = groups.next_due().unwrap();
        groups.advance(due - ms(1));
        assert_eq!(drain(&mut groups), [], "not before its time");
        waits.push((due - now).as_secs());
        now = due;
        groups.advance(now);
        assert_eq!(drain(&mut groups), [Change::Join(shared)]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    groups.join_failed(shared, now);
    groups.set_open(true, false);
    assert_eq!(drain(&mut groups), [Change::Join(shared)], "a link event");
    assert_eq!(groups.next_due(), None);
}

#[test]
fn a_group_that_nobody_needs_is_not_tried_again() {
    let (mut groups, _, single) = three();
    drain(&mut groups);
    groups.join_failed(single, base());
    groups.join_failed(address("ff02::1:ffaa:aaaa"), base());
    groups.remove(address("2001:db8::7"));
    assert_eq!(groups.next_due(), None);
    assert_eq!(drain(&mut groups), []);
}
