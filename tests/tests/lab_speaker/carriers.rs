//! How soon a link that is lost is noticed, by what it was lost. Times are printed, never judged.

use std::time::{Duration, Instant};

use tests::fleet::Fleet;
use tests::lab::{self, eventually};

use crate::kit::wait_answering;

/// How long until the kernel's flag shows it, until the speaker has let go, and until netlink's own picture shows it.
fn lost(how: &str, lose: impl Fn(&Fleet), mend: impl Fn(&Fleet)) {
    let (fleet, _wire) = Fleet::alone().unwrap();
    for round in 0..5 {
        wait_answering(&fleet, "eth0", true);
        let before = Instant::now();
        lose(&fleet);
        let lost = before.elapsed();
        wait_answering(&fleet, "eth0", false);
        let told = before.elapsed();
        println!("{how} {round}: lost in {lost:?}, let go (as a scrape shows it) after {told:?}");
        mend(&fleet);
        eventually(Duration::from_secs(10), "carrier again", || {
            let link = fleet.lab.nodes[0].link("eth0").ok()?;
            (link.up && link.carrier).then_some(())
        });
    }
}

// L2-46
#[test]
fn a_cable_that_is_out_is_noticed() {
    if !lab::ready() {
        return;
    }
    lost(
        "peer down",
        |fleet| fleet.lab.ports[0].cut().unwrap(),
        |fleet| fleet.lab.ports[0].mend().unwrap(),
    );
}

// L2-46
#[test]
fn an_interface_that_is_put_down_is_noticed() {
    if !lab::ready() {
        return;
    }
    lost(
        "admin down",
        |fleet| fleet.lab.nodes[0].link_down("eth0").unwrap(),
        |fleet| fleet.lab.nodes[0].link_up("eth0").unwrap(),
    );
}
