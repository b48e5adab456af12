//! Properties of any sequence of results.

use super::super::gauge::{Gauge, Level, May};
use super::super::*;
use super::lab::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass,
    Fail,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Pass),
        4 => Just(Step::Fail),
        2 => (1..90_000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Never down without `fall` failures in a row, never up without `rise` passes in a row (one for what is new),
    /// and never up during a hold.
    #[test]
    fn flips_only_by_its_thresholds(
        steps in prop::collection::vec(step(), 1..400), fall in 1..5_u32, rise in 1..5_u32,
    ) {
        let settings = Settings { fall, rise, ..Settings::default() };
        let mut now = base();
        let mut gauge = Gauge::new(now);
        let (mut fails, mut passes) = (0, 0);
        for step in steps {
            let before = gauge.level;
            let held = gauge.held_until().filter(|until| *until > now);
            match step {
                Step::Pass => {
                    (fails, passes) = (0, passes + 1);
                    gauge.pass(&settings, "well", now);
                }
                Step::Fail => {
                    (fails, passes) = (fails + 1, 0);
                    gauge.fault(&settings, Cause::Path, "silent", May::Fall, now);
                }
                Step::Wait(millis) => {
                    now += MS(millis);
                    gauge.release(&settings, now);
                }
            }
            let fell = before != Level::Unhealthy && gauge.level == Level::Unhealthy;
            prop_assert!(!fell || fails >= fall, "fell after {fails}");
            let rose = before == Level::Unhealthy && gauge.usable();
            prop_assert!(!rose || passes >= rise, "rose after {passes}");
            let in_hold = held.is_some_and(|until| now < until);
            prop_assert!(!rose || !in_hold, "rose during a hold");
            prop_assert!((10..=100).contains(&gauge.weight(now)));
            prop_assert!(gauge.alarm(now).is_none_or(|at| at >= now || held.is_some()));
        }
    }

    /// Whatever the nodes do and the others say: the machine goes on, what is shown is consistent, somebody is up or
    /// a policy says why not, and every deadline is kept.
    #[test]
    fn any_story_leaves_a_sound_view(
        story in prop::collection::vec((1..=4_u8, 0..9_u8, 100..4_000_u64), 1..40),
    ) {
        let mut lab = Lab::new(4);
        lab.wanted.own_node = Some("n4".into());
        lab.local_service(2);
        lab.apply();
        for (index, act, time) in story {
            let name = format!("n{index}");
            match act {
                0 => lab.does(index, Does::Silent),
                1 | 2 => lab.does(index, Does::Serves),
                3 => lab.does(index, Does::Refuses),
                4 => lab.does(index, Does::Says(proxy(503, false, true, true))),
                5 => { let node = lab.node(&name); node.excluded = !node.excluded; }
                6 => { let node = lab.node(&name); node.member_lost = !node.member_lost; }
                7 => {
                    let lies = Opinion { counts: true, cannot_reach: ["n1".to_owned()].into() };
                    lab.wanted.observers.insert(name, lies);
                }
                _ => {
                    let no = ProbeResult::Answer(local(503, &web(), 0));
                    lab.ports.insert((address(index), 32_000), no);
                }
            }
            lab.apply();
            lab.run(MS(time));
            let view = lab.health.view();
            for own_check in [false, true] {
                let (up, mode) = lab.chosen(own_check, Panic::default());
                let closed = matches!(mode, Mode::PanicClosed | Mode::Withdraw);
                let all_excluded = lab.wanted.nodes.values().all(|node| node.excluded);
                prop_assert!(!up.is_empty() || closed || all_excluded, "{mode:?} and nobody");
            }
            for node in view.nodes.values().flat_map(|families| families.values()) {
                prop_assert!(!node.confirmed_dead || !node.state.is_usable());
                prop_assert!(!node.state.is_usable() || !view.dead.contains(&node.address));
            }
            prop_assert!(lab.health.poll_timeout().is_some());
        }
    }
}
