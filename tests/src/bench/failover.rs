//! From the death of the node that answers to the next one's first gratuitous frame.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Bench, Figure, Samples, runs, say};
use crate::fleet::{self, Fleet};
use crate::lab::{self, Capture};

const NODES: usize = 3;
const KILLS: usize = 25;
const TARGET_MS: f64 = 1_000.0;
const VIP: &str = "192.0.2.200";
/// Longest for any one step; nothing takes so long unless it fails.
const STEP: Duration = Duration::from_secs(30);
/// After a node is back, before the next kill: all have heard of each other, and the schedule of gratuitous
/// frames is over, so that a late one is not taken for the next holder's.
const SETTLE: Duration = Duration::from_millis(2_500);

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut fleet = Fleet::new(NODES)?;
    let vip: IpAddr = VIP.parse()?;
    fleet.write("pool.yaml", &fleet::pool(&["192.0.2.200-192.0.2.219"]))?;
    fleet.write("web.yaml", &fleet::service("web", false, NODES))?;
    let wire = Capture::start(&fleet.lab.client, "eth0")?;
    let begun = Instant::now();
    fleet.start_all()?;
    wire.wait_after(begun, STEP, |frame| frame.gratuitous(vip))
        .with_context(|| format!("nobody announces:\n{}", fleet.logs()))?;
    let mut samples = Samples::default();
    for n in 0..runs(KILLS) {
        // The kill falls anywhere between two probes of the membership.
        lab::pause(SETTLE + Duration::from_millis(37 * (n as u64 % 14)));
        let newest = wire
            .frames()
            .into_iter()
            .rfind(|frame| frame.gratuitous(vip));
        let newest = newest.context("nobody announces")?;
        let holder = fleet
            .node_of(newest.source())?
            .context("a frame of no node")?;
        wire.clear();
        let mac = fleet.lab.nodes[holder].mac("eth0")?;
        let killed = Instant::now();
        fleet.kill(holder)?;
        let next = wire
            .wait_after(killed, STEP, |f| f.gratuitous(vip) && f.source() != mac)
            .with_context(|| format!("nobody took over:\n{}", fleet.logs()))?;
        let millis = (next.at - killed).as_secs_f64() * 1e3;
        say(&format!("kill {n}: node-{holder}, {millis:.0} ms"));
        samples.push(millis);
        fleet.start(holder)?;
        fleet.wait_until_ready(&[holder], STEP)?;
    }
    let met = samples.p99() <= TARGET_MS;
    let what = "holder killed -> first gratuitous frame of the next, 3 nodes";
    let figure = Figure::new(what, "ms", samples)
        .target("p99 <= 1.0 s", met)
        .reference("MetalLB 5,780 median, 7,160 worst (record)")
        .how("harbinger run on a folder, SIGKILL, the kernel's stamp at the client");
    Ok(vec![figure])
}
