//! Two halves of a LAN that do not hear each other, and then do. Times are printed, never judged closely.

use std::time::Duration;

use tests::fleet::partition::Partition;
use tests::lab;

/// Far above the second that is aimed at: a lab shares its machine.
const AT_MOST: Duration = Duration::from_secs(5);

fn heal(near: usize, far: usize, times: usize) {
    if !lab::ready() {
        return;
    }
    let mut lan = Partition::new(near, far).unwrap();
    for _ in 0..times {
        let healed = lan.once().unwrap();
        println!(
            "{near} and {far} nodes: a second holder {} ms after the cut, {:?} serve; node-{} is left, the other's last frame {} ms after the healing",
            healed.taken.as_millis(),
            healed.two,
            healed.left,
            healed.both.as_millis()
        );
        assert!(healed.two.contains(&healed.left));
        assert!(healed.both < AT_MOST, "{}", lan.trial.fleet.logs());
    }
}

// L2-55
#[test]
fn halves_both_serve_and_one_holder_is_left_when_they_hear_each_other() {
    heal(2, 2, 2);
}

#[test]
fn one_node_cut_off_from_two_serves_its_half_and_gives_way_or_not_when_it_is_back() {
    heal(1, 2, 1);
}

#[test]
#[ignore = "minutes: make soak"]
fn twenty_partitions_heal() {
    heal(2, 3, 20);
}
