//! A speaker of BFD and nothing else: the endpoint, its sockets and a loop, on a thread of a host.
//!
//! Owns the order of a turn: commands, receive sockets read empty, timers, actions, packets. What happened is kept
//! with its time for the test to read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bfd::{
    Action, Counters, Endpoint, Event, Meta, Mode, Profile, Receiver, SessionId, SessionKey,
    StateChange, Status,
};
use linux::bfd as sockets;
use tests::lab::{self, Host};
use tokio::sync::mpsc;

/// Datagrams read from one socket before the others get their turn.
const BATCH: usize = 32;
/// One full receive buffer holds fewer.
const READ_MAX: usize = 4_096;
/// Commands are few and waited for.
const COMMANDS: usize = 16;

pub enum Command {
    Sessions(BTreeMap<SessionKey, Profile>),
    PathDown(SessionKey),
    /// Holds the loop up.
    Stall(Duration),
    Stop,
}

/// What the loop has seen.
#[derive(Default)]
pub struct Seen {
    pub changes: Vec<(Instant, StateChange)>,
    pub statuses: BTreeMap<SessionKey, Status>,
    pub counters: Counters,
    /// Of receive sockets that could not be opened.
    pub problems: Vec<String>,
    /// What the kernel dropped before us.
    pub kernel_drops: u64,
    pub turns: u64,
}

pub struct Speaker {
    commands: mpsc::Sender<Command>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Speaker {
    pub fn start(host: &Host, seed: u64) -> Self {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let thread = host.thread(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(Loop::new(seed, shared).run(receiver));
        });
        let thread = Some(thread);
        Speaker {
            commands,
            seen,
            thread,
        }
    }

    /// With one session.
    pub fn with(host: &Host, key: SessionKey, profile: Profile) -> Self {
        let speaker = Self::start(host, 7);
        speaker.set(&[(key, profile)]);
        speaker
    }

    pub fn set(&self, sessions: &[(SessionKey, Profile)]) {
        self.tell(Command::Sessions(sessions.iter().copied().collect()));
    }

    pub fn tell(&self, command: Command) {
        self.commands.blocking_send(command).expect("the loop runs");
    }

    pub fn seen<R>(&self, look: impl FnOnce(&Seen) -> R) -> R {
        look(&self.seen.lock().expect("no panic while looking"))
    }

    pub fn status(&self, key: &SessionKey) -> Option<Status> {
        self.seen(|seen| seen.statuses.get(key).copied())
    }

    /// Times that Up was left, of all sessions.
    pub fn downs(&self) -> usize {
        self.seen(|seen| {
            let left = |(_, c): &&(Instant, StateChange)| c.from == bfd::State::Up;
            seen.changes.iter().filter(left).count()
        })
    }

    #[track_caller]
    pub fn await_state(&self, key: &SessionKey, state: bfd::State, within: Duration) -> Status {
        let what = format!("{} becomes {state:?}, now {:?}", key.peer, self.status(key));
        lab::eventually(within, &what, || {
            self.status(key).filter(|status| status.state == state)
        })
    }

    /// The first time a session left Up after `since`.
    #[track_caller]
    pub fn await_down(&self, since: Instant, within: Duration) -> (Instant, StateChange) {
        lab::eventually(within, "a session leaves Up", || {
            self.seen(|seen| {
                let left =
                    |(at, c): &&(Instant, StateChange)| *at >= since && c.from == bfd::State::Up;
                seen.changes.iter().find(left).copied()
            })
        })
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _ = self.commands.blocking_send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop {
    clock: sockets::Clock,
    endpoint: Endpoint,
    receivers: BTreeMap<Receiver, sockets::Receiver>,
    senders: BTreeMap<SessionId, sockets::Sender>,
    seen: Arc<Mutex<Seen>>,
}

impl Loop {
    fn new(seed: u64, seen: Arc<Mutex<Seen>>) -> Self {
        let clock = sockets::Clock::new();
        Loop {
            endpoint: Endpoint::new(seed, clock.now()),
            clock,
            receivers: BTreeMap::new(),
            senders: BTreeMap::new(),
            seen,
        }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut stopping = false;
        while !(stopping && self.endpoint.is_empty()) {
            let deadline = self.endpoint.poll_timeout();
            let timer = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let command = tokio::select! {
                command = commands.recv(), if !stopping => command,
                () = readable(&self.receivers) => None,
                () = timer => None,
            };
            if let Some(Command::Stall(time)) = command {
                lab::pause(time);
            }
            let now = self.clock.turn();
            self.read();
            match command {
                Some(Command::Sessions(set)) => self.endpoint.set_sessions(&set, now),
                Some(Command::PathDown(key)) => self.endpoint.handle_path_down(&key, now),
                Some(Command::Stop) => {
                    self.endpoint.stop(now);
                    stopping = true;
                }
                Some(Command::Stall(_)) | None => {}
            }
            self.endpoint.handle_timeout(now);
            self.act(now);
            self.publish(now);
        }
    }

    /// Reads every receive socket empty: only then timers may run (BFD-51).
    fn read(&mut self) {
        for (which, receiver) in &self.receivers {
            let (endpoint, now) = (&mut self.endpoint, self.clock.now());
            let mut read = 0;
            loop {
                let got = receiver.recv_batch(BATCH, &self.clock, |datagram| {
                    let meta = Meta {
                        remote: datagram.from.ip(),
                        local: datagram.local,
                        interface: datagram.ifindex,
                        vrf: which.vrf,
                        mode: which.mode,
                        ttl: datagram.ttl,
                        received: datagram.received,
                    };
                    endpoint.handle_datagram(datagram.octets, &meta, now);
                });
                let got = got.expect("a receive socket works");
                read += got;
                if got < BATCH || read >= READ_MAX {
                    break;
                }
            }
        }
    }

    fn act(&mut self, now: Instant) {
        let mut closed = Vec::new();
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::OpenReceiver(which) => self.open_receiver(which),
                Action::CloseReceiver(which) => drop(self.receivers.remove(&which)),
                Action::Close(id) => closed.push(id),
                Action::Open(id, socket) => {
                    let opened = sockets::Sender::open(&sockets::SenderOptions {
                        local: socket.local,
                        source_port: socket.source_port,
                        peer: socket.peer,
                        port: socket.mode.port(),
                        device: socket.interface.or(socket.vrf),
                    });
                    match opened {
                        Ok(sender) => drop(self.senders.insert(id, sender)),
                        Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => {
                            self.endpoint.port_taken(id, now);
                        }
                        Err(e) => self.problem(e.to_string()),
                    }
                }
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            let sent = self
                .senders
                .get(&transmit.session)
                .map(|s| s.send(&transmit.bytes));
            if !matches!(sent, Some(Ok(()))) {
                self.endpoint.transmit_failed();
            }
        }
        for id in closed {
            self.senders.remove(&id);
        }
    }

    fn open_receiver(&mut self, which: Receiver) {
        let opened = sockets::Receiver::bind(&sockets::ReceiverOptions {
            port: which.mode.port(),
            ipv6: which.ipv6,
            single_hop: which.mode == Mode::SingleHop,
            vrf: which.vrf,
        });
        match opened {
            Ok(receiver) => drop(self.receivers.insert(which, receiver)),
            Err(e) => self.problem(e.to_string()),
        }
    }

    fn problem(&self, text: String) {
        self.seen
            .lock()
            .expect("no panic while looking")
            .problems
            .push(text);
    }

    fn publish(&mut self, now: Instant) {
        let mut seen = self.seen.lock().expect("no panic while looking");
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::StateChanged(change) = event {
                seen.changes.push((now, change));
            }
        }
        seen.turns += 1;
        seen.counters = *self.endpoint.counters();
        // Many sessions are not looked at one by one.
        if self.senders.len() < 20 {
            seen.kernel_drops = self
                .receivers
                .values()
                .filter_map(|r| r.dropped().ok())
                .sum();
            seen.statuses = self.endpoint.sessions().map(|(_, s)| (s.key, s)).collect();
        } else if seen.turns.is_multiple_of(256) {
            seen.statuses = self.endpoint.sessions().map(|(_, s)| (s.key, s)).collect();
        }
    }
}

async fn readable(receivers: &BTreeMap<Receiver, sockets::Receiver>) {
    let waits: Vec<_> = receivers.values().map(|r| Box::pin(r.readable())).collect();
    if waits.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = futures::future::select_all(waits).await;
}
