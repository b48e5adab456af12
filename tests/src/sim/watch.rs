//! How the API server is heard: lists and watches that lag, break, go on, repeat or begin again, and writes on their way.

use super::planted::Planted;
use super::random::Random;
use super::server::{self, SERVICES};
use super::{Answered, Event, Request, Sim};
use engine::world::Change;
use engine::write::Outcome;
use std::time::Duration;

/// How good the way to the server is now.
#[derive(Clone, Debug)]
pub(super) struct Api {
    /// Longest lag of a watch.
    pub(super) lag: Duration,
    /// Longest way of a request or an answer.
    pub(super) way: Duration,
    /// Answers that get lost after the write was done, of a thousand.
    pub(super) lost_answers: usize,
    /// First lists come from a cache that is this far behind.
    pub(super) stale: Duration,
    /// A broken watch shows some entries again, of a thousand.
    pub(super) repeats: usize,
    /// A broken watch is told 410 and lists again, of a thousand.
    pub(super) relists: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            lag: Duration::from_millis(10),
            way: Duration::from_millis(4),
            lost_answers: 0,
            stale: Duration::ZERO,
            repeats: 0,
            relists: 300,
        }
    }
}

impl Api {
    pub(super) fn request(&self, random: &mut Random) -> Duration {
        random.between(Duration::from_micros(300), self.way)
    }

    pub(super) fn answer(&self, random: &mut Random) -> Duration {
        random.between(Duration::from_micros(300), self.way)
    }
}

impl Sim {
    /// A process has started: it lists every kind and watches on.
    pub(super) fn start_watching(&mut self, watcher: usize) {
        self.server.watchers[watcher].running = true;
        for kind in self.server.watchers[watcher].kinds.clone() {
            let progress = &mut self.server.watchers[watcher].progress[kind];
            progress.listed = false;
            progress.epoch = 0;
            self.disconnect(watcher, kind);
            self.begin_list(watcher, kind);
        }
    }

    pub(super) fn stop_watching(&mut self, watcher: usize) {
        self.server.watchers[watcher].running = false;
        for kind in self.server.watchers[watcher].kinds.clone() {
            self.disconnect(watcher, kind);
        }
    }

    fn disconnect(&mut self, watcher: usize, kind: usize) {
        let progress = &mut self.server.watchers[watcher].progress[kind];
        progress.session += 1;
        progress.connected = false;
        progress.scheduled = false;
    }

    /// Every kind is listed again, from a consistent read.
    pub(super) fn resync(&mut self, watcher: usize, epoch: u64) {
        for kind in self.server.watchers[watcher].kinds.clone() {
            self.server.watchers[watcher].progress[kind].epoch = epoch;
            self.disconnect(watcher, kind);
            self.begin_list(watcher, kind);
        }
    }

    /// A watch breaks; it is tried again soon.
    pub(super) fn break_watch(&mut self, watcher: usize, kind: usize) {
        self.disconnect(watcher, kind);
        self.reconnect(watcher, kind);
    }

    fn reconnect(&mut self, watcher: usize, kind: usize) {
        let session = self.server.watchers[watcher].progress[kind].session;
        let wait = self.random.millis(20, 800);
        self.after(
            wait,
            Event::Connect {
                watcher,
                kind,
                session,
            },
        );
    }

    fn begin_list(&mut self, watcher: usize, kind: usize) {
        if !self.server.reaches(watcher) {
            self.reconnect(watcher, kind);
            return;
        }
        let progress = &self.server.watchers[watcher].progress[kind];
        let (session, epoch) = (progress.session, progress.epoch);
        // Without a resync a list may come from a cache that is behind.
        let stale = self.random.between(Duration::ZERO, self.api.stale);
        let upto = match epoch {
            0 => self.server.length_at(kind, self.now - stale),
            _ => self.server.length(kind),
        };
        let wait = self.api.request(&mut self.random) + self.random.micros(300, 8_000);
        self.after(
            wait,
            Event::Listed {
                watcher,
                kind,
                session,
                upto,
                epoch,
            },
        );
    }

    pub(super) fn watch_connects(&mut self, watcher: usize, kind: usize, session: u32) {
        let progress = &self.server.watchers[watcher].progress[kind];
        if progress.session != session {
            return;
        }
        if !self.server.reaches(watcher) {
            self.reconnect(watcher, kind);
            return;
        }
        let goes_on = progress.listed && !self.random.chance(self.api.relists);
        let repeats = match self.random.chance(self.api.repeats) {
            true => self.random.range(1, 4),
            false => 0,
        };
        let progress = &mut self.server.watchers[watcher].progress[kind];
        if goes_on {
            progress.connected = true;
            progress.position = progress.position.saturating_sub(repeats);
            self.schedule_watch(watcher, kind);
        } else {
            self.begin_list(watcher, kind);
        }
    }

    pub(super) fn list_arrives(
        &mut self,
        watcher: usize,
        kind: usize,
        session: u32,
        upto: usize,
        epoch: u64,
    ) {
        let progress = &self.server.watchers[watcher].progress[kind];
        if progress.session != session {
            return;
        }
        if !self.server.reaches(watcher) {
            self.reconnect(watcher, kind);
            return;
        }
        let first = !progress.listed || epoch > 0;
        let list = self.server.list(kind, upto, epoch);
        let too_early = self.settings.planted == Some(Planted::BeforeTheLists)
            && kind == SERVICES
            && watcher >= self.nodes.len();
        if too_early && first {
            // A source that tells that its list is complete before it is.
            self.tell_change(watcher, server::emptied(list.clone()));
            let progress = &mut self.server.watchers[watcher].progress[kind];
            progress.listed = true;
            progress.position = 0;
            progress.connected = true;
            progress.scheduled = true;
            let wait = Duration::from_millis(60);
            self.after(
                wait,
                Event::Watch {
                    watcher,
                    kind,
                    session,
                },
            );
            return;
        }
        self.tell_change(watcher, list);
        let progress = &mut self.server.watchers[watcher].progress[kind];
        progress.listed = true;
        progress.connected = true;
        progress.position = upto;
        self.schedule_watch(watcher, kind);
    }

    /// The next entry is on its way, if there is one.
    fn schedule_watch(&mut self, watcher: usize, kind: usize) {
        let length = self.server.length(kind);
        let progress = &mut self.server.watchers[watcher].progress[kind];
        if !progress.connected || progress.scheduled || progress.position >= length {
            return;
        }
        progress.scheduled = true;
        let session = progress.session;
        let wait = self
            .random
            .between(Duration::from_micros(300), self.api.lag);
        self.after(
            wait,
            Event::Watch {
                watcher,
                kind,
                session,
            },
        );
    }

    pub(super) fn watch_delivers(&mut self, watcher: usize, kind: usize, session: u32) {
        let progress = &mut self.server.watchers[watcher].progress[kind];
        if progress.session != session {
            return;
        }
        progress.scheduled = false;
        // What has come together is shown together.
        let count = 1 + self.random.below(8);
        for _ in 0..count {
            let position = self.server.watchers[watcher].progress[kind].position;
            let Some(change) = self.server.entry(kind, position) else {
                break;
            };
            self.server.watchers[watcher].progress[kind].position += 1;
            self.tell_change(watcher, change);
        }
        self.schedule_watch(watcher, kind);
    }

    fn tell_change(&mut self, watcher: usize, change: Change) {
        match watcher.checked_sub(self.nodes.len()) {
            None => self.speaker_change(watcher, change),
            Some(replica) => self.controller_change(replica, change),
        }
    }

    /// Somebody outside edits an object.
    pub(super) fn edit(&mut self, change: Change) {
        let line = |change: &Change| {
            let text = format!("{change:?}");
            text.chars().take(180).collect::<String>()
        };
        self.trace
            .line(self.now, format_args!("edit {}", line(&change)));
        let kind = self.server.commit(change, self.now);
        self.spread(kind);
        self.disturbed();
    }

    /// A kind has a new entry: every watch of it hears.
    fn spread(&mut self, kind: usize) {
        if kind == SERVICES {
            self.services_changed();
        }
        for watcher in 0..self.server.watchers.len() {
            if self.server.watchers[watcher].running {
                self.schedule_watch(watcher, kind);
            }
        }
    }

    pub(super) fn send_write(&mut self, mut request: Request) {
        let wait = self.api.request(&mut self.random);
        request.lost = self.random.chance(self.api.lost_answers);
        self.after(wait, Event::Arrive(Box::new(request)));
    }

    pub(super) fn write_arrives(&mut self, request: Request) {
        let Request {
            watcher,
            boot,
            ticket,
            write,
            deadline,
            lost,
        } = request;
        let patience = deadline.saturating_duration_since(self.now);
        let (outcome, wait) = if self.server.reaches(watcher) {
            let (outcome, kind) = self.server.carry_out(&write, self.now);
            self.trace.line(
                self.now,
                format_args!("{watcher} writes {write:?}: {outcome:?}"),
            );
            if let Some(kind) = kind {
                if kind == SERVICES {
                    self.disturbed();
                }
                self.spread(kind);
            }
            (outcome, self.api.answer(&mut self.random))
        } else {
            let gone = Outcome::Unavailable("connection refused".to_owned());
            (gone, self.random.millis(1, 900))
        };
        // An answer that does not come in time is none, whatever was done.
        let (outcome, wait) = if lost || wait > patience {
            let late = Outcome::Unavailable("no answer in time".to_owned());
            (late, patience.min(Duration::from_secs(2)))
        } else {
            (outcome, wait)
        };
        self.after(
            wait,
            Event::Answer(Box::new(Answered {
                watcher,
                boot,
                ticket,
                outcome,
            })),
        );
    }

    pub(super) fn write_answered(&mut self, answered: Answered) {
        match answered.watcher.checked_sub(self.nodes.len()) {
            None => self.speaker_outcome(
                answered.watcher,
                answered.boot,
                answered.ticket,
                answered.outcome,
            ),
            Some(replica) => self.controller_outcome(replica, answered),
        }
    }

    /// The server goes away or comes back for everybody.
    pub(super) fn set_server(&mut self, up: bool) {
        self.server.up = up;
        if !up {
            for watcher in 0..self.server.watchers.len() {
                self.lose_server(watcher);
            }
        }
        self.disturbed();
        self.checks.led(self.now);
    }

    /// The server cannot be reached by one process, or can again.
    pub(super) fn set_reachable(&mut self, watcher: usize, reachable: bool) {
        self.server.watchers[watcher].reachable = reachable;
        if !reachable {
            self.lose_server(watcher);
        }
        self.disturbed();
        self.checks.led(self.now);
    }

    fn lose_server(&mut self, watcher: usize) {
        if self.server.watchers[watcher].running {
            for kind in self.server.watchers[watcher].kinds.clone() {
                self.break_watch(watcher, kind);
            }
        }
    }
}
