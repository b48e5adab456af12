//! The fast path: plain ARP requests answered inside the kernel, for as long as this thread keeps saying so.
//!
//! Owns the programs on the interfaces' ingress, their tables and the lease. What may be answered is the responders'
//! word ([`engine::wire::Wire::standing`]); the packet sockets hear whatever the programs pass on, which is everything
//! where there are none. A table that cannot be kept takes its program with it: then the socket answers again.
//!
//! ```text
//!   responder ──standing──► addresses, MAC ─┐
//!   every turn, each 100 ms ─► lease ───────┴─► program on the ingress ──► reply
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Instant;

use engine::wire::{Revision, Wire};
use l2::fastpath::{self, Address, LEASE, RENEWAL, RENEWAL_MAX, Standing, Table};
use linux::bpf::{self, Ingress, Map, Program};

/// LIMIT: interfaces with a program; each costs about 0.4 MiB of kernel memory. Real nodes announce on a few.
const PORTS_MAX: usize = 64;

/// LIMIT: interfaces whose failure is remembered; beyond it all are tried and told again.
const FAILED_MAX: usize = 1_024;

/// Requests of one address that never reached a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answered.
    pub(super) replies: u64,
    /// Over a budget.
    pub(super) limited: u64,
}

impl Counts {
    pub(super) fn add(&mut self, more: Counts) {
        self.replies = self.replies.saturating_add(more.replies);
        self.limited = self.limited.saturating_add(more.limited);
    }
}

/// One interface.
struct Port {
    revision: Revision,
    addresses: Map,
    control: Map,
    /// As they are in the tables.
    standing: Standing,
    /// Counted for addresses before their present entries were made.
    before: BTreeMap<Ipv4Addr, Counts>,
    /// Counted for addresses that are gone.
    gone: Counts,
    /// Last, so that it is still there while the tables are closed.
    _ingress: Ingress,
}

/// What is there for all interfaces.
struct Kernel {
    lease: Rc<Map>,
    /// When it was last renewed, in this thread's time.
    renewed: Option<Instant>,
}

/// See the module.
pub(super) struct FastPath {
    kernel: Option<Kernel>,
    config: l2::Config,
    ports: BTreeMap<u32, Port>,
    /// Where it failed: not tried again before the port is a new one, or its responder's revision differs.
    failed: BTreeMap<u32, Revision>,
    /// Counted on interfaces that have no program any more.
    gone: Counts,
}

impl FastPath {
    /// Looks whether the kernel can, unless it is not wanted; told in one line.
    pub(super) fn new(wanted: bool, config: l2::Config) -> Self {
        let kernel = match wanted.then(Kernel::new) {
            None => None,
            Some(Ok(kernel)) => {
                tracing::info!(
                    event = "arpFastPath",
                    "plain ARP requests are answered inside the kernel"
                );
                Some(kernel)
            }
            Some(Err(why)) => {
                tracing::info!(event = "arpFastPath", %why, "no fast path: ARP is answered by packet sockets alone");
                None
            }
        };
        Self {
            kernel,
            config,
            ports: BTreeMap::new(),
            failed: BTreeMap::new(),
            gone: Counts::default(),
        }
    }

    /// Brings the tables in line with the responders; to be called before anything is sent.
    pub(super) fn settle(&mut self, wire: &Wire) {
        if self.ports.is_empty() {
            return;
        }
        let gone = |(ifindex, port): (&u32, &Port)| {
            let same = |now: Revision| now.is_of_same(port.revision);
            (!wire.revision(*ifindex).is_some_and(same)).then_some(*ifindex)
        };
        let gone: Vec<u32> = self.ports.iter().filter_map(gone).collect();
        for ifindex in gone {
            self.close(ifindex);
        }
        for (ifindex, revision, responder) in wire.standing() {
            let port = self.ports.get_mut(&ifindex);
            let Some(port) = port.filter(|port| port.revision != revision) else {
                continue;
            };
            if let Err(error) = port.settle(responder.standing(), revision) {
                self.close(ifindex);
                self.fail(ifindex, revision, &error);
            }
        }
    }

    /// Puts a program on each interface that is announced on first. The kernel takes some 10 ms for it, so it is the
    /// last thing of a turn: the claim and the frames are out by then, and the packet socket answers meanwhile.
    pub(super) fn open(&mut self, wire: &Wire) {
        let Some(lease) = self.kernel.as_ref().map(|kernel| Rc::clone(&kernel.lease)) else {
            return;
        };
        for (ifindex, revision, responder) in wire.standing() {
            let known =
                self.ports.contains_key(&ifindex) || self.failed.get(&ifindex) == Some(&revision);
            if known || self.ports.len() >= PORTS_MAX {
                continue;
            }
            let standing = responder.standing();
            if standing.addresses.is_empty() {
                continue;
            }
            match Port::new(ifindex, revision, standing, self.config, &lease) {
                Ok(port) => {
                    self.ports.insert(ifindex, port);
                    self.failed.remove(&ifindex);
                }
                Err(error) => self.fail(ifindex, revision, &error),
            }
        }
    }

    fn close(&mut self, ifindex: u32) {
        if let Some(port) = self.ports.remove(&ifindex) {
            self.gone.add(port.close());
        }
    }

    /// Told once, until it has worked again.
    fn fail(&mut self, ifindex: u32, revision: Revision, error: &anyhow::Error) {
        if self.failed.len() >= FAILED_MAX {
            self.failed.clear();
        }
        if self.failed.insert(ifindex, revision).is_none() {
            tracing::warn!(
                event = "arpFastPathFailed",
                ifindex,
                error = format!("{error:#}"),
                "the packet socket answers on this interface"
            );
        }
    }

    /// Lets the kernel answer for another [`LEASE`] from this turn's beginning; to be called at its end, when the
    /// tables are true.
    pub(super) fn renew(&mut self, now: Instant) {
        let answering = self.is_answering();
        let Some(kernel) = &mut self.kernel else {
            return;
        };
        let recent = |at: Instant| now.saturating_duration_since(at) < RENEWAL;
        if !answering || kernel.renewed.is_some_and(recent) {
            return;
        }
        let end = bpf::ktime(now, LEASE);
        match end.and_then(|end| kernel.lease.set(&fastpath::ONLY, &end.to_ne_bytes())) {
            Ok(()) => kernel.renewed = Some(now),
            Err(error) => {
                tracing::warn!(event = "arpFastPathFailed", %error, "no lease: packet sockets answer from now on");
                self.kernel = None;
                for (_, port) in std::mem::take(&mut self.ports) {
                    self.gone.add(port.close());
                }
            }
        }
    }

    /// When [`Self::renew`] is due at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let renewed = self.kernel.as_ref()?.renewed?;
        self.is_answering().then(|| renewed + RENEWAL_MAX)
    }

    /// On how many interfaces the kernel answers.
    pub(super) fn interfaces(&self) -> usize {
        self.ports
            .values()
            .filter(|port| port.is_answering())
            .count()
    }

    fn is_answering(&self) -> bool {
        self.ports.values().any(Port::is_answering)
    }

    /// What was counted for the addresses that are answered now.
    pub(super) fn addresses(&self) -> Vec<(IpAddr, Counts)> {
        let ports = self.ports.values();
        let counts = |port: &Port| port.counts().collect::<Vec<_>>();
        ports.flat_map(counts).collect()
    }

    /// What was counted since the start beside [`Self::addresses`].
    pub(super) fn gone(&self) -> Counts {
        let mut all = self.gone;
        self.ports.values().for_each(|port| all.add(port.gone));
        all
    }
}

impl Kernel {
    fn new() -> Result<Self, linux::Error> {
        bpf::ingress_available()?;
        Ok(Self {
            lease: Rc::new(table(Table::Lease)?),
            renewed: None,
        })
    }
}

impl Port {
    /// Its tables are true before its program sees the first frame.
    fn new(
        ifindex: u32,
        revision: Revision,
        standing: Standing,
        config: l2::Config,
        lease: &Map,
    ) -> anyhow::Result<Self> {
        check(&standing)?;
        let [addresses, senders] = [table(Table::Addresses)?, table(Table::Senders)?];
        let [control, budget] = [table(Table::Control)?, table(Table::Budget)?];
        let maps = Table::ALL.map(|of| match of {
            Table::Addresses => &addresses,
            Table::Senders => &senders,
            Table::Control => &control,
            Table::Lease => lease,
            Table::Budget => &budget,
        });
        let program = Program::load(&insns(&config), &maps)?;
        let ingress = Ingress::attach(&program, ifindex)?;
        let mut port = Self {
            revision,
            addresses,
            control,
            standing: Standing::default(),
            before: BTreeMap::new(),
            gone: Counts::default(),
            _ingress: ingress,
        };
        port.settle(standing, revision)?;
        Ok(port)
    }

    fn is_answering(&self) -> bool {
        self.standing.addresses.values().any(|answered| *answered)
    }

    /// Silent at once, then true again: while the entries change, every frame is passed on.
    fn settle(&mut self, standing: Standing, revision: Revision) -> anyhow::Result<()> {
        if self.standing != standing {
            self.control
                .set(&fastpath::ONLY, &fastpath::control(None))?;
            check(&standing)?;
            let old = std::mem::replace(&mut self.standing, standing);
            for address in old.addresses.keys() {
                if !self.standing.addresses.contains_key(address) {
                    let counts = self.count(*address);
                    self.gone.add(counts);
                    self.before.remove(address);
                    self.addresses.remove(&fastpath::address_key(*address))?;
                }
            }
            for (address, answered) in &self.standing.addresses {
                if old.addresses.get(address) != Some(answered) {
                    let counts = self.count(*address);
                    if counts != Counts::default() {
                        self.before.insert(*address, counts);
                    }
                    let entry = Address {
                        answered: *answered,
                        ..Address::default()
                    };
                    self.addresses
                        .set(&fastpath::address_key(*address), &entry.to_bytes())?;
                }
            }
            let mac = self.is_answering().then_some(self.standing.mac);
            self.control.set(&fastpath::ONLY, &fastpath::control(mac))?;
        }
        self.revision = revision;
        Ok(())
    }

    fn count(&self, address: Ipv4Addr) -> Counts {
        let mut counts = self.before.get(&address).copied().unwrap_or_default();
        let mut bytes = Address::default().to_bytes();
        if let Ok(true) = self
            .addresses
            .get(&fastpath::address_key(address), &mut bytes)
        {
            let entry = Address::from_bytes(bytes);
            counts.add(Counts {
                replies: entry.replies,
                limited: entry.limited,
            });
        }
        counts
    }

    fn counts(&self) -> impl Iterator<Item = (IpAddr, Counts)> + '_ {
        let addresses = self.standing.addresses.keys();
        addresses.map(|address| (IpAddr::V4(*address), self.count(*address)))
    }

    /// Silent when this returns; what was counted here.
    fn close(self) -> Counts {
        // Taking the program off may wait for the kernel's RTNL lock, this does not.
        let _the_end_of_the_program_does_it_too =
            self.control.set(&fastpath::ONLY, &fastpath::control(None));
        let mut all = self.gone;
        self.counts().for_each(|(_, counts)| all.add(counts));
        all
    }
}

fn check(standing: &Standing) -> anyhow::Result<()> {
    anyhow::ensure!(
        standing.addresses.len() <= fastpath::ADDRESSES_MAX as usize,
        "more than {} addresses on one interface",
        fastpath::ADDRESSES_MAX
    );
    Ok(())
}

fn table(of: Table) -> Result<Map, linux::Error> {
    let shape = of.shape();
    let kind = match shape.kind {
        fastpath::Kind::Hash => bpf::Kind::Hash,
        fastpath::Kind::LruHash => bpf::Kind::LruHash,
        fastpath::Kind::Array => bpf::Kind::Array,
    };
    Map::new(kind, shape.key, shape.value, shape.entries)
}

fn insns(config: &l2::Config) -> Vec<bpf::Insn> {
    let program = fastpath::program(config);
    let insn = |insn: fastpath::Insn| bpf::Insn {
        code: insn.code,
        destination: insn.destination,
        source: insn.source,
        offset: insn.offset,
        immediate: insn.immediate,
    };
    program.into_iter().map(insn).collect()
}
