//! A LAN of two switches: frames between them are dropped, and then pass again.
//!
//! Owns a fleet whose nodes are in two halves, with an asking station in each. Deliberately without a judgement.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::station;
use super::trial::{Trial, questions};
use super::{Fleet, WITHIN};
use crate::lab::{Capture, Frame, Host, Port, pause};

/// Between two questions of a station.
const ASK_EACH: Duration = Duration::from_millis(10);
/// For so long the stations go on asking after the halves are joined.
const WATCH: Duration = Duration::from_secs(3);
/// For so long both halves serve.
const APART: Duration = Duration::from_millis(1_500);

/// See the module.
#[derive(Debug)]
pub struct Partition {
    /// The nodes; the client is in the half of the first ones.
    pub trial: Trial,
    far: Host,
    far_wire: Capture,
    cable: Port,
    /// How many nodes are in the client's half.
    near: usize,
}

/// What was seen of one partition.
#[derive(Debug, Clone, Copy)]
pub struct Healed {
    /// From the cut to the first frame of the half that had nobody.
    pub taken: Duration,
    /// Who answered in the client's half, and who in the other.
    pub two: [usize; 2],
    /// Who was left in the end.
    pub left: usize,
    /// From the healing to the last frame of the other one.
    pub both: Duration,
}

impl Partition {
    /// `near` nodes with the client on one switch, `far` nodes with another station on the other.
    ///
    /// # Errors
    /// They do not come up.
    pub fn new(near: usize, far: usize) -> Result<Self> {
        let mut fleet = Fleet::new(near + far)?;
        let host = Host::new("far")?;
        let port = fleet.lab.lan.attach(&host, "eth0", &["192.0.2.101/24"])?;
        let mut ports = fleet.lab.ports.split_off(near);
        ports.push(port);
        let cable = fleet.lab.lan.split(&mut ports)?;
        ports.truncate(far);
        fleet.lab.ports.append(&mut ports);
        let far_wire = Capture::start(&host, "eth0")?;
        Ok(Self {
            trial: Trial::of(fleet)?,
            far: host,
            far_wire,
            cable,
            near,
        })
    }

    /// Drops all frames between the halves until both serve, lets them pass again, and watches who goes on.
    ///
    /// # Errors
    /// A half has nobody, or it does not become calm.
    pub fn once(&mut self) -> Result<Healed> {
        let holder = self.trial.calm()?;
        let address = self.trial.address;
        let mac = self.trial.fleet.lab.nodes[holder].mac("eth0")?;
        self.trial.wire.clear();
        self.far_wire.clear();
        let cut = Instant::now();
        self.cable.mute()?;
        // The half without the holder.
        let alone = if holder < self.near {
            &self.far_wire
        } else {
            &self.trial.wire
        };
        let frame = alone.wait_after(cut, WITHIN, |f| f.gratuitous(address) && f.source() != mac);
        let frame = frame.with_context(|| {
            format!(
                "nobody serves the half without a holder\n{}",
                self.trial.fleet.logs()
            )
        })?;
        let next = self.trial.fleet.node_of(frame.source())?;
        let next = next.context("a frame of no node")?;
        let asking =
            [self.trial.fleet.lab.client.clone(), self.far.clone()].map(|host| ask(host, address));
        pause(APART);
        let healed = Instant::now();
        self.cable.unmute()?;
        for asking in asking {
            let asked = asking?.join();
            asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        let left = self.trial.calm()?;
        let other = if left == holder { next } else { holder };
        let mac = self.trial.fleet.lab.nodes[other].mac("eth0")?;
        let last = self.last(|f| f.source() == mac && f.at >= healed && f.announces(address));
        Ok(Healed {
            taken: frame.at - cut,
            two: if holder < self.near {
                [holder, next]
            } else {
                [next, holder]
            },
            left,
            both: last.map_or(Duration::ZERO, |last| last - healed),
        })
    }

    /// When the last such frame was seen in either half.
    fn last(&self, wanted: impl Fn(&Frame) -> bool) -> Option<Instant> {
        let frames = [&self.trial.wire, &self.far_wire].map(Capture::frames);
        let times = frames.iter().flatten().filter(|f| wanted(f)).map(|f| f.at);
        times.max()
    }
}

/// Asks for the address again and again, as other stations each time, while the halves are apart and after.
fn ask(host: Host, address: IpAddr) -> Result<std::thread::JoinHandle<Result<()>>> {
    let IpAddr::V4(address) = address else {
        anyhow::bail!("the trial is of IPv4");
    };
    let questions = questions(address);
    let rounds = usize::try_from((APART + WATCH).as_millis() / ASK_EACH.as_millis())?;
    Ok(std::thread::spawn(move || {
        for round in 0..rounds {
            let one = &questions[round % questions.len()];
            station::send(&host, "eth0", std::slice::from_ref(one))?;
            pause(ASK_EACH);
        }
        Ok(())
    }))
}
