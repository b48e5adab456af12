//! The simulation: the real machines of a whole cluster in one thread, in virtual time, out of one seed.
//!
//! | module | what |
//! |---|---|
//! | `cluster` | what there is at the start: nodes, pools, Services, hosts |
//! | `node`, `replica` | the shells of a speaker and of a controller: they carry, and decide nothing |
//! | `server`, `watch` | the API server, and how late, broken or twice it is heard |
//! | `lan`, `host` | switches, and hosts with neighbour caches that send requests |
//! | `fault` | what goes wrong, by seed, and how it ends |
//! | `check` | what must be true after each step |
//! | `planted` | known bugs, put in at the border of a machine, that the checkers must find |
//!
//! Everything follows from the seed: two runs of one seed have the same trace. Nothing here is a mock of a machine; what is
//! modelled is the world around them (see ARCHITECTURE.md, "Why two holders cannot last").

mod carry;
mod check;
mod cluster;
mod fault;
mod figures;
mod host;
mod lan;
mod node;
mod planted;
mod queue;
mod random;
mod replica;
mod resume;
mod server;
mod trace;
mod watch;

pub use figures::{Failover, failover, speed};
pub use planted::Planted;

use check::Checks;
use engine::elect::Placement;
use engine::lease::{LeaseAction, LeaseError, LeaseRecord};
use engine::write::{Outcome, Ticket, Write};
use fault::Faults;
use host::Host;
use lan::Lan;
use node::Node;
use queue::Queue;
use random::Random;
use replica::Replica;
use server::Server;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use trace::Trace;

/// What a run is told beside its seed.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Keep the last lines in words.
    pub telling: bool,
    /// A known bug to put in.
    pub planted: Option<Planted>,
    /// Nothing goes wrong, and there are so many nodes.
    pub quiet: Option<usize>,
    /// Datagrams and frames lost from the start, of a thousand.
    pub loss: usize,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of the run.
    pub seed: u64,
    /// Of everything that happened.
    pub hash: u64,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// Steps made.
    pub steps: u64,
    /// What was found wrong first, if anything.
    pub failure: Option<String>,
    /// The last lines before it, when they were asked for.
    pub tail: String,
    /// What there was, in a line.
    pub cast: String,
    /// What was measured on the way.
    pub figures: Measured,
}

/// What a run measures beside its checks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// The longest time two that heard each other answered for one address.
    pub longest_double: Duration,
    /// The longest time from the last disturbance to a stable membership.
    pub longest_unrest: Duration,
    /// Times that exactly one was asked for in a calm.
    pub calms: u64,
    /// Turns of stopped processes that came late.
    pub late_turns: u64,
    /// Requests of hosts: sent, answered, lost.
    pub requests: (u64, u64, u64),
    /// Writes the server was asked for.
    pub writes: u64,
}

/// One thing that happens at an instant.
enum Event {
    Datagram {
        to: usize,
        from: SocketAddr,
        bytes: Rc<[u8]>,
    },
    Unreachable {
        to: usize,
        address: SocketAddr,
    },
    Frame {
        port: usize,
        bytes: Rc<[u8]>,
    },
    Wire {
        node: usize,
    },
    Brain {
        node: usize,
    },
    Desired {
        node: usize,
        boot: u64,
    },
    Links {
        node: usize,
        boot: u64,
    },
    Watch {
        watcher: usize,
        kind: usize,
        session: u32,
    },
    Listed {
        watcher: usize,
        kind: usize,
        session: u32,
        upto: usize,
        epoch: u64,
    },
    Connect {
        watcher: usize,
        kind: usize,
        session: u32,
    },
    Arrive(Box<Request>),
    Answer(Box<Answered>),
    LeaseAsk {
        replica: usize,
        boot: u64,
        action: Box<LeaseAction>,
    },
    LeaseAnswer {
        replica: usize,
        boot: u64,
        read: bool,
        answer: Box<Result<LeaseRecord, LeaseError>>,
    },
    Replica {
        replica: usize,
    },
    Client {
        host: usize,
    },
    Fault,
    Heal {
        fault: usize,
    },
    Start {
        watcher: usize,
    },
    Gateway {
        node: usize,
        boot: u64,
    },
    Gone {
        node: usize,
        boot: u64,
    },
    Tick,
}

/// A write on its way to the server.
struct Request {
    watcher: usize,
    boot: u64,
    ticket: Ticket,
    write: Write,
    /// When its sender stops waiting.
    deadline: Instant,
    /// Its answer will be lost.
    lost: bool,
}

struct Answered {
    watcher: usize,
    boot: u64,
    ticket: Ticket,
    outcome: Outcome,
}

/// See the module.
pub struct Sim {
    seed: u64,
    settings: Settings,
    start: Instant,
    now: Instant,
    queue: Queue<Event>,
    random: Random,
    lan: Lan,
    server: Server,
    api: watch::Api,
    nodes: Vec<Node>,
    replicas: Vec<Replica>,
    hosts: Vec<Host>,
    faults: Faults,
    checks: Checks,
    trace: Trace,
    /// How owners are picked.
    placement: Placement,
    /// How long a leaver forwards after it has handed over.
    linger: Duration,
    boots: u64,
    steps: u64,
    failure: Option<String>,
}

/// Runs a seed to its end.
pub fn run(seed: u64, settings: &Settings) -> Report {
    let mut sim = Sim::new(seed, settings.clone());
    let end = sim.faults.end;
    sim.run_for(end);
    if sim.failure.is_none() {
        sim.check_end();
    }
    sim.report()
}

/// Runs a seed, and once more in words if it fails; a panic of a machine is a failure.
pub fn run_and_tell(seed: u64, settings: &Settings) -> Report {
    let guarded = |settings: &Settings| {
        let settings = settings.clone();
        let run = std::panic::AssertUnwindSafe(|| run(seed, &settings));
        std::panic::catch_unwind(run).unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Report {
                seed,
                hash: 0,
                simulated: Duration::ZERO,
                steps: 0,
                failure: Some(format!("a panic: {}", text.unwrap_or_default())),
                tail: String::new(),
                cast: String::new(),
                figures: Measured::default(),
            }
        })
    };
    let report = guarded(settings);
    if report.failure.is_none() || settings.telling {
        return report;
    }
    guarded(&Settings {
        telling: true,
        ..settings.clone()
    })
}

/// What a person needs of a failed run.
pub fn explain(report: &Report) -> String {
    format!(
        "seed {seed} fails: {failure}\n{cast}\nthe last lines before it:\n{tail}\nalone: make sim SEED={seed}\n",
        seed = report.seed,
        failure = report.failure.as_deref().unwrap_or("nothing"),
        cast = report.cast,
        tail = report.tail,
    )
}

/// LIMIT: steps at one instant: more is a loop between machines that never goes idle.
const STEPS_AT_ONCE_MAX: u32 = 50_000;
/// LIMIT: things that wait: more is a flood.
const WAITING_MAX: usize = 500_000;

impl Sim {
    /// Lets time pass.
    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while self.failure.is_none() {
            let Some((at, event)) = self.queue.pop(end) else {
                break;
            };
            if at > self.now {
                self.now = at;
                at_once = 0;
            }
            at_once += 1;
            self.steps += 1;
            if at_once > STEPS_AT_ONCE_MAX || self.queue.len() > WAITING_MAX {
                self.fail("the machines never go idle".to_owned());
            }
            self.trace
                .fold((at - self.start).as_nanos() as u64 ^ self.steps << 48);
            self.step(event);
        }
        self.now = self.now.max(end);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Datagram { to, from, bytes } => self.datagram_arrives(to, from, bytes),
            Event::Unreachable { to, address } => self.unreachable_arrives(to, address),
            Event::Frame { port, bytes } => self.frame_arrives(port, bytes),
            Event::Wire { node } => self.wire_due(node),
            Event::Brain { node } => self.brain_due(node),
            Event::Desired { node, boot } => self.desired_arrives(node, boot),
            Event::Links { node, boot } => self.links_arrive(node, boot),
            Event::Watch {
                watcher,
                kind,
                session,
            } => self.watch_delivers(watcher, kind, session),
            Event::Listed {
                watcher,
                kind,
                session,
                upto,
                epoch,
            } => self.list_arrives(watcher, kind, session, upto, epoch),
            Event::Connect {
                watcher,
                kind,
                session,
            } => self.watch_connects(watcher, kind, session),
            Event::Arrive(request) => self.write_arrives(*request),
            Event::Answer(answered) => self.write_answered(*answered),
            Event::LeaseAsk {
                replica,
                boot,
                action,
            } => self.lease_asked(replica, boot, *action),
            Event::LeaseAnswer {
                replica,
                boot,
                read,
                answer,
            } => self.lease_answered(replica, boot, read, *answer),
            Event::Replica { replica } => self.replica_due(replica),
            Event::Client { host } => self.client_due(host),
            Event::Fault => self.next_fault(),
            Event::Heal { fault } => self.heal(fault),
            Event::Start { watcher } => match watcher.checked_sub(self.nodes.len()) {
                None => self.boot(watcher),
                Some(replica) => self.boot_replica(replica),
            },
            Event::Gateway { node, boot } => self.gateway_answers(node, boot),
            Event::Gone { node, boot } => self.process_gone(node, boot),
            Event::Tick => self.tick(),
        }
    }

    fn after(&mut self, wait: Duration, event: Event) {
        self.queue.push(self.now + wait, event);
    }

    fn fail(&mut self, what: String) {
        if self.failure.is_none() {
            let at = (self.now - self.start).as_secs_f64();
            self.trace.line(self.now, format_args!("FAILURE {what}"));
            self.failure = Some(format!("at {at:.6} s: {what}"));
        }
    }

    fn report(&self) -> Report {
        Report {
            seed: self.seed,
            hash: self.trace.hash(),
            simulated: self.now - self.start,
            steps: self.steps,
            failure: self.failure.clone(),
            tail: self.trace.tail(
                std::env::var("SIM_TAIL")
                    .ok()
                    .and_then(|n| n.parse().ok())
                    .unwrap_or(150),
            ),
            cast: self.cast(),
            figures: Measured {
                longest_double: self.checks.longest_double,
                longest_unrest: self.checks.longest_unrest,
                calms: self.checks.stable_checks,
                late_turns: self.checks.late_turns,
                requests: {
                    let clients = self.checks.clients;
                    (clients.asked, clients.answered, clients.lost)
                },
                writes: self.server.writes,
            },
        }
    }
}
