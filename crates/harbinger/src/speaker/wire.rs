//! The wire thread: one loop that drives [`engine::wire::Wire`] over real sockets.
//!
//! ```text
//!   brain ── watch<Arc<Desired>> ──►┌──────────┐── frames, datagrams ──► kernel
//!   kernel ── interfaces (watch) ──►│   loop   │
//!   kernel ── frames, datagrams ───►│          │── watch<WireReport> ──► brain
//!   thread "carriers" (watch) ─────►│          │── watch<what to look at> ──► thread "carriers"
//!   admin ── Question (mpsc, 4) ───►└──────────┘
//! ```
//! The clock is read once per turn; at most 256 frames of a socket are taken in a turn and every socket that is
//! ready gets its turn, so that a storm on one interface starves nobody. Whole states flow in both directions,
//! so the loop may be stopped at any await; stopped in good order it says goodbye first.

mod carriers;
mod fast;
mod gateway;
mod metrics;
mod routers;
mod sessions;
mod sockets;
mod told;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::facts::{Interface, SessionFact};
use engine::speaker::Desired;
use engine::wire::{Action, Event, FRAMES_PER_TURN, Input, Transmit, Wire, WireConfig, WireFacts};
use futures::{FutureExt, StreamExt};
use linux::packet::PacketSocket;
use linux::udp::MemberSocket;
use tokio::sync::{mpsc, watch};

use crate::admin::{Page, Question};
use crate::shutdown::Stop;
use crate::speaker::interfaces::interfaces;
use carriers::Carriers;
use fast::FastPath;
use routers::RouterSockets;
use sockets::{Ready, Sockets};

/// How long a stop may take beside the linger: two seconds of handing over, or of GRACEFUL_SHUTDOWN (BGP-74), and the
/// last words.
const LEAVE_MAX: Duration = Duration::from_secs(4);

/// What the wire thread tells the brain; a whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireReport {
    /// Interfaces of this node; none before the first picture.
    pub interfaces: Option<Arc<BTreeMap<u32, Interface>>>,
    /// What the machine knows.
    pub facts: Arc<WireFacts>,
    /// Sessions with routers, by name of the BGPPeer.
    pub sessions: Arc<BTreeMap<String, SessionFact>>,
}

/// What the wire thread is given.
pub struct Setup {
    /// Of the machine.
    pub config: WireConfig,
    /// Split from the process's seed.
    pub seed: u64,
    /// The kernel is to answer plain ARP requests where it can.
    pub arp_fast_path: bool,
    /// Where the membership listens; none: it is off.
    pub members: Option<std::net::SocketAddr>,
    /// What is wanted.
    pub desired: watch::Receiver<Arc<Desired>>,
    /// What is told.
    pub report: watch::Sender<WireReport>,
    /// The sockets of the start are open.
    pub ready: watch::Sender<bool>,
    /// Of the admin server.
    pub questions: mpsc::Receiver<Question>,
    /// The process is to stop.
    pub stop: Stop,
}

/// Runs until asked to stop. To be called in a current-thread runtime on a thread of its own, in the network
/// namespace whose interfaces are meant.
///
/// # Errors
/// It cannot start: interfaces cannot be read, the membership's port cannot be had.
pub async fn run(setup: Setup, started: impl FnOnce()) -> anyhow::Result<()> {
    let (links, snapshot) = linux::route::Links::open(linux::route::Options::default()).await?;
    let following = links.run();
    let (asker, asking) = gateway::gateway(snapshot.clone());
    let linger = setup.config.linger;
    let fast = FastPath::new(setup.arp_fast_path, setup.config.l2);
    let members = setup.members.map(members_socket).transpose()?;
    let wire = Wire::new(setup.config, setup.seed, Instant::now())
        .map_err(|error| anyhow::anyhow!("the membership cannot work: {error}"))?;
    let mut turns = Loop {
        wire,
        sockets: Sockets::new(members),
        fast,
        routers: RouterSockets::new(),
        desired: setup.desired,
        links: snapshot,
        report: setup.report,
        questions: setup.questions,
        carriers: Carriers::start()?,
        interfaces: None,
        looked_at: Arc::default(),
        told: told::Told::default(),
        sessions: Arc::default(),
        sessions_stale: true,
        counters: Counters::default(),
        gateway: asker,
        gateway_heard: 0,
        linger,
    };
    setup.ready.send_replace(true);
    started();
    tokio::select! {
        result = turns.run(&setup.stop) => result,
        () = following => Err(anyhow::anyhow!("the interfaces are no longer followed")),
        () = asking => Err(anyhow::anyhow!("the gateway is no longer followed")),
    }
}

fn members_socket(address: std::net::SocketAddr) -> anyhow::Result<MemberSocket> {
    MemberSocket::bind(address).map_err(|error| {
        anyhow::Error::new(error).context(format!(
            "the membership cannot listen on {address}; free the port (MetalLB's speaker?), or choose another with --members-bind or --ml-bindport"
        ))
    })
}

/// What the loop itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    turns: u64,
    busy_micros: u64,
    frames_unsent: u64,
    datagrams_unsent: u64,
}

struct Loop {
    wire: Wire,
    sockets: Sockets,
    fast: FastPath,
    routers: RouterSockets,
    desired: watch::Receiver<Arc<Desired>>,
    links: watch::Receiver<Arc<linux::route::Snapshot>>,
    report: watch::Sender<WireReport>,
    questions: mpsc::Receiver<Question>,
    carriers: Carriers,
    interfaces: Option<Arc<BTreeMap<u32, Interface>>>,
    /// The facts that `carriers` was last told from.
    looked_at: Arc<WireFacts>,
    told: told::Told,
    sessions: Arc<BTreeMap<String, SessionFact>>,
    /// The sessions have to be looked at for what is told of them.
    sessions_stale: bool,
    counters: Counters,
    gateway: gateway::Asker,
    gateway_heard: u64,
    linger: Duration,
}

/// Why a turn began.
enum Wake {
    Ready(Ready),
    Routers(routers::Ready),
    Desired,
    /// Interfaces by netlink, or carriers by looking.
    Links,
    Gateway,
    Question(Option<Question>),
    Timeout,
    Stop,
}

impl Loop {
    async fn run(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let now = Instant::now();
        self.take_links(now);
        self.take_desired(now);
        self.settle(now);
        let mut stopping = pin!(stop.wait());
        let mut patience: Option<Instant> = None;
        loop {
            let wake = self.wait(stopping.as_mut(), patience).await;
            let now = Instant::now();
            match wake {
                Wake::Ready(ready) => self.take_ready(ready, now),
                Wake::Routers(ready) => self.routers.take(ready, self.wire.routers_mut(), now),
                Wake::Desired => self.take_desired(now),
                Wake::Links => self.take_links(now),
                Wake::Gateway => self.take_gateway(now),
                Wake::Question(question) => self.answer(question),
                Wake::Timeout => {}
                Wake::Stop => {
                    self.wire.leave(now);
                    patience = Some(now + LEAVE_MAX + self.linger);
                }
            }
            if self.wire.poll_timeout().is_some_and(|due| due <= now) {
                self.routers.drain_bfd(self.wire.routers_mut());
                self.wire.handle_timeout(now);
            }
            self.settle(now);
            self.counters.turns += 1;
            let busy = u64::try_from(now.elapsed().as_micros()).unwrap_or(0);
            self.counters.busy_micros += busy;
            let left = self.wire.has_left() && self.wire.poll_timeout().is_none();
            let left = patience.is_some_and(|end| end <= now || left);
            if left {
                return Ok(());
            }
        }
    }

    async fn wait(
        &mut self,
        stopping: std::pin::Pin<&mut impl Future<Output = ()>>,
        patience: Option<Instant>,
    ) -> Wake {
        let deadline = [self.wire.poll_timeout(), self.fast.poll_timeout(), patience]
            .into_iter()
            .flatten()
            .min();
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Frames first: an answer is what a neighbour waits for.
            biased;
            Some(ready) = self.sockets.ready.next() => Wake::Ready(ready),
            Some(ready) = self.routers.ready.next() => Wake::Routers(ready),
            () = stopping, if patience.is_none() => Wake::Stop,
            // A brain that has ended ends the process by itself; the last desire stands.
            Ok(()) = self.desired.changed() => Wake::Desired,
            Ok(()) = self.links.changed() => Wake::Links,
            Ok(()) = self.carriers.dark.changed() => Wake::Links,
            Ok(()) = self.gateway.known.changed() => Wake::Gateway,
            question = self.questions.recv(), if !self.questions.is_closed() => Wake::Question(question),
            () = timeout => Wake::Timeout,
        }
    }

    fn take_desired(&mut self, now: Instant) {
        let desired = Arc::clone(&self.desired.borrow_and_update());
        self.sessions_stale = true;
        self.wire.set_desired(desired, now);
    }

    fn take_links(&mut self, now: Instant) {
        let snapshot = Arc::clone(&self.links.borrow_and_update());
        let mut interfaces = interfaces(&snapshot);
        let dark = self.carriers.dark.borrow_and_update();
        for index in dark.iter() {
            if let Some(interface) = interfaces.get_mut(index) {
                interface.carrier = false;
            }
        }
        drop(dark);
        let interfaces = Arc::new(interfaces);
        self.wire.set_interfaces(&interfaces, now);
        self.sessions_stale = true;
        self.interfaces = Some(interfaces);
        // Names may have changed.
        self.looked_at = Arc::default();
    }

    fn take_gateway(&mut self, now: Instant) {
        let known = *self.gateway.known.borrow_and_update();
        self.wire.set_gateway(known.there, now);
        if std::mem::replace(&mut self.gateway_heard, known.heard) != known.heard {
            self.wire.gateway_heard(now);
        }
    }

    /// Every socket that is ready now gets its turn, each with its own bound.
    fn take_ready(&mut self, first: Ready, now: Instant) {
        let mut next = Some(first);
        // No more turns than sockets: one that stays ready is looked at in the next turn again.
        for _ in 0..=self.sockets.count() {
            match next {
                None => return,
                Some(Ready::Frames(ifindex, socket)) => self.take_frames(ifindex, socket, now),
                Some(Ready::Datagrams(socket)) => {
                    let wire = &mut self.wire;
                    self.sockets
                        .take_datagrams(socket, FRAMES_PER_TURN, |input: Input<'_>| {
                            wire.handle_input(input, now);
                        });
                    self.transmit(now);
                }
            }
            next = self.sockets.ready.next().now_or_never().flatten();
        }
    }

    /// An answer leaves before the next frame is looked for: a look that finds nothing takes as long as the answer.
    fn take_frames(&mut self, ifindex: u32, socket: Rc<PacketSocket>, now: Instant) {
        if !self.sockets.is_open(ifindex, &socket) {
            // Closed or replaced meanwhile: the last reference ends here.
            return;
        }
        for _ in 0..FRAMES_PER_TURN {
            match self.sockets.frame(ifindex, &socket) {
                Ok(Some(input)) => self.wire.handle_input(input, now),
                Ok(None) => break,
                Err(error) => {
                    self.sockets.close(ifindex);
                    self.wire.socket_failed(ifindex, error.to_string(), now);
                    return;
                }
            }
            self.transmit(now);
        }
        self.sockets.await_frames(ifindex, socket);
    }

    /// Carries out what the machine asks for until it asks for nothing more, then tells the brain.
    fn settle(&mut self, now: Instant) {
        self.fast.settle(&self.wire);
        while let Some(action) = self.wire.poll_action() {
            if action == Action::ProbeGateway {
                self.gateway.ask();
            } else {
                self.sockets.act(action, &mut self.wire, now);
            }
        }
        self.sockets.settle_groups(&mut self.wire, now);
        self.transmit(now);
        self.routers.settle(self.wire.routers_mut(), now);
        while let Some(event) = self.wire.poll_event() {
            self.tell(event);
        }
        self.look_at_carriers();
        while let Some(event) = self.wire.routers_mut().poll_event() {
            self.sessions_stale = true;
            told::router(event);
        }
        self.look_at_sessions();
        let report = WireReport {
            interfaces: self.interfaces.clone(),
            facts: Arc::clone(self.wire.facts()),
            sessions: Arc::clone(&self.sessions),
        };
        self.report.send_if_modified(|old| {
            let same_interfaces = match (&old.interfaces, &report.interfaces) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                (old, new) => old.is_none() && new.is_none(),
            };
            let same = same_interfaces
                && Arc::ptr_eq(&old.facts, &report.facts)
                && Arc::ptr_eq(&old.sessions, &report.sessions);
            if !same {
                *old = report;
            }
            !same
        });
        self.fast.open(&self.wire);
        self.fast.renew(now);
    }

    /// What is told of the sessions, when something happened to one; an equal value stays the same.
    fn look_at_sessions(&mut self) {
        if !std::mem::take(&mut self.sessions_stale) {
            return;
        }
        let sessions = self.wire.routers().facts();
        if *self.sessions != sessions {
            self.sessions = Arc::new(sessions);
        }
    }

    /// The interfaces that are announced on, and those that were found dark until they are lit again.
    fn look_at_carriers(&mut self) {
        if Arc::ptr_eq(&self.looked_at, self.wire.facts()) {
            return;
        }
        self.looked_at = Arc::clone(self.wire.facts());
        let Some(interfaces) = &self.interfaces else {
            return;
        };
        let dark = self.carriers.dark.borrow().clone();
        let announced = self.looked_at.announced.keys().copied();
        let wanted: BTreeSet<u32> = announced.chain(dark).collect();
        let named = |index: &u32| Some((*index, interfaces.get(index)?.name.clone()));
        self.carriers.set(wanted.iter().filter_map(named).collect());
    }

    /// What is no longer answered is silent in the kernel before anybody is told.
    fn transmit(&mut self, now: Instant) {
        self.fast.settle(&self.wire);
        while let Some(transmit) = self.wire.poll_transmit() {
            match transmit {
                Transmit::Frame {
                    ifindex,
                    bytes,
                    kind,
                } => {
                    if self.sockets.send(ifindex, &bytes).is_err() {
                        self.counters.frames_unsent += 1;
                        self.wire.transmit_failed(ifindex, kind, now);
                    }
                }
                // A lost datagram is what the protocol is made for.
                Transmit::Datagram { to, bytes } => {
                    if self.sockets.send_datagram(&bytes, to).is_err() {
                        self.counters.datagrams_unsent += 1;
                    }
                }
            }
        }
    }

    fn answer(&mut self, question: Option<Question>) {
        match question {
            Some(Question::Metrics(sender)) => {
                let _gone = sender.send(metrics::families(&self.wire, &self.fast, &self.counters));
            }
            Some(Question::Page(page, sender)) => {
                let text = match page {
                    Page::World => format!("{:#?}", self.interfaces),
                    Page::Plan => format!("{:#?}", self.desired.borrow()),
                    Page::Facts => format!("{:#?}", self.wire.facts()),
                    Page::Health => String::new(),
                    Page::Front => String::new(),
                };
                let _gone = sender.send(text);
            }
            Some(Question::Sessions(which, sender)) => {
                let now = Instant::now();
                let _gone = sender.send(sessions::sessions(self.wire.routers(), &which, now));
            }
            Some(Question::Reset(which, sender)) => {
                let routers = self.wire.routers_mut();
                let known = routers.reset(&which.peer, which.soft, Instant::now());
                let _gone = sender.send(known);
            }
            None => {}
        }
    }

    fn tell(&mut self, event: Event) {
        let name = |index: u32| {
            let interfaces = self.interfaces.as_ref();
            interfaces
                .and_then(|all| all.get(&index))
                .map_or_else(|| index.to_string(), |interface| interface.name.clone())
        };
        self.told.tell(event, name);
    }
}
