//! Figures out of virtual time: how fast the simulation is, and how long nobody answers.

use super::{Settings, Sim};
use l2::TransmitKind;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// One death of a holder.
#[derive(Clone, Copy, Debug)]
pub struct Failover {
    /// From the last sign of life to the first gratuitous frame of the next holder of an address, the worst of its addresses.
    pub worst: Duration,
    /// Addresses it held.
    pub addresses: usize,
}

/// Simulated seconds per real second of a cluster of `nodes` that does its usual work, for `span` of virtual time.
pub fn speed(nodes: usize, span: Duration) -> f64 {
    let settings = Settings {
        quiet: Some(nodes),
        ..Settings::default()
    };
    let mut sim = Sim::new(1, settings);
    sim.run_for(Duration::from_secs(5));
    let before = Instant::now();
    sim.run_for(span);
    assert!(sim.failure.is_none(), "{:?}", sim.failure);
    span.as_secs_f64() / before.elapsed().as_secs_f64()
}

/// Kills the holder of the first address of a settled cluster, and waits for the next one; none when it took longer than five
/// seconds.
pub fn failover(seed: u64, nodes: usize, loss: usize) -> Option<Failover> {
    let settings = Settings {
        quiet: Some(nodes),
        loss,
        ..Settings::default()
    };
    let mut sim = Sim::new(seed, settings);
    sim.run_for(Duration::from_secs(6));
    // Not always at the same point of everybody's schedule.
    let wait = sim.random.millis(0, 500);
    sim.run_for(wait);
    let (_, nodes) = sim
        .checks
        .answerers
        .iter()
        .find(|(_, nodes)| !nodes.is_empty())?;
    let holder = *nodes.first()?;
    let held: Vec<IpAddr> = sim
        .checks
        .answerers
        .iter()
        .filter(|(_, nodes)| nodes.contains(&holder))
        .map(|(address, _)| *address)
        .collect();
    let killed = sim.now;
    sim.checks.excuse(holder);
    sim.faults.watch_for(&held, holder);
    sim.end_process(holder);
    sim.nodes[holder].powered = false;
    sim.run_for(Duration::from_secs(5));
    let worst = sim.faults.first_frames()?;
    Some(Failover {
        worst: worst - killed,
        addresses: held.len(),
    })
}

impl Sim {
    /// A frame goes out: is it the first one somebody waits for?
    pub(super) fn figure_frame(&mut self, node: usize, kind: TransmitKind) {
        if let TransmitKind::Gratuitous(address) = kind {
            self.faults.frame_seen(address, node, self.now);
        }
    }
}
