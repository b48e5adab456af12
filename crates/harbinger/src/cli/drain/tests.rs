//! What is left of a node, out of what a front shows: a table.

use super::*;
use crate::speaker::forward::words::{DrainLine, PortLine, TargetLine};

fn shown(targets: &[(&str, &str, bool)], draining: &[(&str, Option<u64>)]) -> Shown {
    let target = |(node, address, up): &(&str, &str, bool)| TargetLine {
        node: (*node).to_owned(),
        address: (*address).to_owned(),
        up: *up,
        ..TargetLine::default()
    };
    let drain = |(address, connections): &(&str, Option<u64>)| DrainLine {
        address: (*address).to_owned(),
        connections: *connections,
    };
    Shown {
        ports: vec![PortLine {
            targets: targets.iter().map(target).collect(),
            ..PortLine::default()
        }],
        draining: draining.iter().map(drain).collect(),
        ..Shown::default()
    }
}

#[test]
fn what_is_left_of_a_node() {
    let up = [("a", "10.0.0.1", true), ("b", "10.0.0.2", true)];
    let out = [("a", "10.0.0.1", true), ("b", "10.0.0.2", false)];
    let both = [("b", "10.0.0.2", false), ("b", "fd00::2", false)];
    for (shown, left_there, over) in [
        (shown(&up, &[]), Left::Used, false),
        (shown(&up[..1], &[]), Left::Nothing, true),
        (shown(&[], &[]), Left::Nothing, true),
        (
            shown(&out, &[("10.0.0.2", Some(7))]),
            Left::Connections(7),
            false,
        ),
        (
            shown(&out, &[("10.0.0.1", Some(7))]),
            Left::Connections(0),
            true,
        ),
        (
            shown(&both, &[("10.0.0.2", Some(1)), ("fd00::2", Some(2))]),
            Left::Connections(3),
            false,
        ),
        (
            shown(&out, &[("10.0.0.2", None)]),
            Left::Connections(0),
            true,
        ),
        (shown(&out, &[]), Left::Connections(0), true),
    ] {
        let found = left(&shown, "b");
        assert_eq!((found, found.is_over()), (left_there, over), "{shown:?}");
    }
}
