//! One address, one holder, and what can happen to it: the same trial for the labs and for the figures.
//!
//! Owns a fleet that announces one address for a Service with a pod on each node. Deliberately without a
//! judgement: it says what was seen, by whom and when.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::station::{self, BROADCAST};
use super::{Fleet, V4, WITHIN, pool, service, sum};
use crate::lab::{Capture, Frame, pause};

/// Longest for a cluster to be calm again: everybody knows everybody, and one holder.
const CALM: Duration = Duration::from_secs(60);
/// Between two looks at all nodes.
const LOOK: Duration = Duration::from_millis(20);
/// Between two rounds of questions to a holder that goes on.
const ASK_EACH: Duration = Duration::from_millis(5);
/// Who asks: many, as each may ask only so often.
const ASKERS: u8 = 200;
/// For so long they go on asking one that was stopped and goes on.
const ASK_FOR: Duration = Duration::from_millis(500);
/// The holder's gauge of what it really answers for.
const ANSWERING: &str = "harbinger_speaker_answering";

/// What happens to the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGCONT once another one has taken over.
    Freeze,
    /// Its interface is put down on the node.
    OwnLinkDown,
    /// The switch's port goes down: its interface has no carrier.
    CableOut,
    /// SIGTERM: a planned stop.
    Term,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Kill,
        Self::Freeze,
        Self::OwnLinkDown,
        Self::CableOut,
        Self::Term,
    ];
}

/// What was seen of one fault.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Who held the address.
    pub holder: usize,
    /// Who took it.
    pub next: usize,
    /// When it happened: just before the call that did it.
    pub at: Instant,
    /// Until the first gratuitous frame of the next holder.
    pub first_frame: Duration,
    /// Until the holder itself said that it does not answer any more, when its link was lost; the asking included.
    pub released: Option<Duration>,
    /// Frames of the holder that claimed the address after it had been stopped.
    pub answers_after: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Trial {
    /// The nodes.
    pub fleet: Fleet,
    /// What the client sees.
    pub wire: Capture,
    /// The Service's address.
    pub address: IpAddr,
}

impl Trial {
    /// So many nodes that run, hear each other and announce [`V4`].
    ///
    /// # Errors
    /// They do not come up.
    pub fn new(nodes: usize) -> Result<Self> {
        Self::of(Fleet::new(nodes)?)
    }

    /// The same on nodes that are there, and not started yet.
    ///
    /// # Errors
    /// They do not come up.
    pub fn of(fleet: Fleet) -> Result<Self> {
        let all: Vec<usize> = (0..fleet.lab.nodes.len()).collect();
        Self::among(fleet, &all)
    }

    /// The same with only some of them started.
    ///
    /// # Errors
    /// They do not come up.
    pub fn among(mut fleet: Fleet, running: &[usize]) -> Result<Self> {
        let address: IpAddr = V4.parse()?;
        let nodes = fleet.lab.nodes.len();
        for node in &fleet.lab.nodes {
            // As a node's own daemons would put them back.
            node.sysctl("net/ipv6/conf/eth0/keep_addr_on_down", "1")?;
        }
        fleet.write("pool.yaml", &pool(&super::POOL))?;
        fleet.write("web.yaml", &service("web", false, nodes))?;
        fleet.proxy(&[(address, 80)])?;
        let wire = Capture::start(&fleet.lab.client, "eth0")?;
        running.iter().try_for_each(|n| fleet.start(*n))?;
        let mut trial = Self {
            fleet,
            wire,
            address,
        };
        trial.calm_among(running)?;
        Ok(trial)
    }

    /// Where the client asks for web pages.
    pub fn web(&self) -> SocketAddr {
        SocketAddr::new(self.address, 80)
    }

    /// Where a connection may stay.
    pub fn lines(&self) -> SocketAddr {
        SocketAddr::new(self.address, 81)
    }

    /// Waits until everybody that runs has heard of everybody, and exactly one answers for the address: the holder.
    ///
    /// # Errors
    /// That does not come about.
    pub fn calm(&mut self) -> Result<usize> {
        let nodes: Vec<usize> = (0..self.fleet.lab.nodes.len()).collect();
        self.calm_among(&nodes)
    }

    /// The same, with the others known to be away.
    ///
    /// # Errors
    /// As [`Self::calm`].
    pub fn calm_among(&mut self, nodes: &[usize]) -> Result<usize> {
        let end = Instant::now() + CALM;
        loop {
            if let Some(holder) = self.holder_among(nodes) {
                return Ok(holder);
            }
            if Instant::now() >= end {
                bail!("no calm within {CALM:?}\n{}", self.fleet.logs());
            }
            pause(LOOK);
        }
    }

    fn holder_among(&self, nodes: &[usize]) -> Option<usize> {
        let label = format!("ip=\"{}\"", self.address);
        let mut holders = Vec::new();
        for &n in nodes {
            let text = self.fleet.admin(n, "/metrics").ok()?;
            let known = sum(&text, "harbinger_members_alive", "");
            if known != nodes.len() as f64 {
                return None;
            }
            if sum(&text, ANSWERING, &label) > 0.0 {
                holders.push(n);
            }
        }
        match holders[..] {
            [holder] => Some(holder),
            _ => None,
        }
    }

    /// Does it to the holder and waits for the next one. It is not mended yet.
    ///
    /// # Errors
    /// Nobody takes over.
    pub fn strike(&mut self, fault: Fault) -> Result<Taken> {
        let holder = self.calm()?;
        let mac = self.fleet.lab.nodes[holder].mac("eth0")?;
        self.wire.clear();
        let at = Instant::now();
        match fault {
            Fault::Kill => self.fleet.kill(holder)?,
            Fault::Freeze => self.fleet.process(holder)?.stop(),
            Fault::OwnLinkDown => self.fleet.lab.nodes[holder].link_down("eth0")?,
            Fault::CableOut => self.fleet.lab.ports[holder].cut()?,
            Fault::Term => self.fleet.process(holder)?.term(),
        }
        let released = match fault {
            Fault::OwnLinkDown | Fault::CableOut => Some(self.released(holder, at)?),
            _ => None,
        };
        let by_another = |f: &Frame| f.gratuitous(self.address) && f.source() != mac;
        let frame = self.wire.wait_after(at, WITHIN, by_another);
        let frame = frame.with_context(|| format!("nobody took over\n{}", self.fleet.logs()))?;
        let next = self.fleet.node_of(frame.source())?;
        Ok(Taken {
            holder,
            next: next.context("a frame of no node")?,
            at,
            first_frame: frame.at - at,
            released,
            answers_after: 0,
        })
    }

    /// Puts it right again, and waits until all is calm. What was stopped goes on while many ask for the address.
    ///
    /// # Errors
    /// It does not become calm.
    pub fn mend(&mut self, fault: Fault, taken: &mut Taken) -> Result<()> {
        let holder = taken.holder;
        match fault {
            Fault::Kill => self.fleet.start(holder)?,
            Fault::Term => {
                self.fleet.stop(holder)?;
                self.fleet.start(holder)?;
            }
            Fault::OwnLinkDown => self.fleet.lab.nodes[holder].link_up("eth0")?,
            Fault::CableOut => self.fleet.lab.ports[holder].mend()?,
            Fault::Freeze => taken.answers_after = self.thaw(holder)?,
        }
        self.calm().map(drop)
    }

    /// Strikes and mends.
    ///
    /// # Errors
    /// As both.
    pub fn once(&mut self, fault: Fault) -> Result<Taken> {
        let mut taken = self.strike(fault)?;
        self.mend(fault, &mut taken)?;
        Ok(taken)
    }

    /// Until the node's own gauge shows that it has let go.
    fn released(&self, node: usize, since: Instant) -> Result<Duration> {
        let label = format!("ip=\"{}\"", self.address);
        let end = since + WITHIN;
        while Instant::now() < end {
            if self.fleet.metric(node, ANSWERING, &label)? == 0.0 {
                return Ok(since.elapsed());
            }
        }
        bail!("node-{node} has not let go\n{}", self.fleet.logs())
    }

    /// Lets a stopped one go on while questions wait in its socket and more come; the frames by which it claimed the
    /// address since then, the one that is due when it becomes the holder again included.
    fn thaw(&mut self, node: usize) -> Result<usize> {
        let mac = self.fleet.lab.nodes[node].mac("eth0")?;
        let IpAddr::V4(address) = self.address else {
            bail!("the trial is of IPv4");
        };
        let questions = questions(address);
        let rounds = usize::try_from(ASK_FOR.as_millis() / ASK_EACH.as_millis())?;
        station::send(&self.fleet.lab.client, "eth0", &questions[..10])?;
        let client = self.fleet.lab.client.clone();
        let asking = std::thread::spawn(move || {
            (0..rounds).try_for_each(|round| {
                let one = questions[round % questions.len()].clone();
                station::flood(&client, "eth0", &[one], 1, Duration::ZERO)?;
                pause(ASK_EACH);
                anyhow::Ok(())
            })
        });
        let goes_on = Instant::now();
        self.fleet.process(node)?.cont();
        let asked = asking.join();
        asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let of_it = |f: &Frame| f.source() == mac && f.at >= goes_on && f.announces(self.address);
        Ok(self.wire.count(of_it))
    }

    /// Who announced an address unasked, in this order, by what the client has seen since the capture was cleared.
    ///
    /// # Errors
    /// A frame of no node.
    pub fn announcers(&self, address: IpAddr) -> Result<Vec<usize>> {
        let mut nodes = Vec::new();
        for frame in self.wire.frames() {
            if !frame.gratuitous(address) {
                continue;
            }
            let node = self.fleet.node_of(frame.source())?;
            let node = node.context("a frame of no node")?;
            if nodes.last() != Some(&node) {
                nodes.push(node);
            }
        }
        Ok(nodes)
    }
}

/// What so many stations ask for an address.
pub fn questions(address: Ipv4Addr) -> Vec<Vec<u8>> {
    let ask = |n: u8| {
        let mac = [2, 0, 0, 0, 1, n];
        station::arp_request(BROADCAST, mac, Ipv4Addr::new(192, 0, 2, 99), address)
    };
    (0..ASKERS).map(ask).collect()
}

/// When each of these addresses was first announced unasked, by whoever `by` picks, at a moment or later.
///
/// # Errors
/// One is not, in time; how many are is in the text.
pub fn first_frames(
    wire: &Capture,
    addresses: &BTreeSet<IpAddr>,
    since: Instant,
    within: Duration,
    by: impl Fn(&Frame) -> bool,
) -> Result<BTreeMap<IpAddr, Instant>> {
    let end = Instant::now() + within;
    loop {
        let seen: RefCell<BTreeMap<IpAddr, Instant>> = RefCell::default();
        // In place: a copy of all frames would take the processor from those who are looked at.
        wire.count(|frame| {
            let address = frame.arp().map(|arp| IpAddr::V4(arp.sender_ip));
            let of_it =
                |address: &IpAddr| frame.gratuitous(*address) && addresses.contains(address);
            if let Some(address) = address.filter(of_it)
                && frame.at >= since
                && by(frame)
            {
                seen.borrow_mut().entry(address).or_insert(frame.at);
            }
            false
        });
        let first = seen.into_inner();
        if first.len() == addresses.len() {
            return Ok(first);
        }
        if Instant::now() >= end {
            let (seen, all) = (first.len(), addresses.len());
            bail!("{seen} of {all} addresses are announced after {within:?}");
        }
        pause(LOOK);
    }
}
