//! A replica of the controller: the real election, the real controller, and a shell that carries.

use super::{Answered, Event, Request, Sim};
use engine::controller::{Controller, ControllerConfig};
use engine::lease::{Election, Leadership, LeaseAction, LeaseConfig, LeaseError, LeaseRecord};
use engine::world::Change;
use engine::write::{Outcome, Write};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A place where a controller runs or does not.
pub(super) struct Replica {
    pub(super) process: Option<Process>,
    /// Its wall clock against the true time, in milliseconds.
    pub(super) skew_ms: i64,
}

/// A running, stopped or leaving controller.
pub(super) struct Process {
    pub(super) boot: u64,
    pub(super) controller: Controller,
    election: Election,
    pub(super) paused: bool,
    leaving: bool,
    inbox: VecDeque<Late>,
    /// The answer to the Lease that is owed, and when it is given up.
    asked: bool,
    epoch: Option<u64>,
    due: Option<Instant>,
}

enum Late {
    Change(Change),
    Outcome(Box<Answered>),
    Lease(bool, Box<Result<LeaseRecord, LeaseError>>),
}

impl Process {
    pub(super) fn leads(&self) -> bool {
        matches!(self.election.leadership(), Leadership::Leader { .. })
    }
}

impl Sim {
    pub(super) fn boot_replica(&mut self, replica: usize) {
        self.boots += 1;
        let boot = self.boots;
        let seed = self.random.next();
        let config = ControllerConfig {
            secret_name: Some("memberlist".to_owned()),
            ..ControllerConfig::new(super::server::NAMESPACE)
        };
        let identity = format!("controller-{replica}-{boot}");
        let lease = LeaseConfig::default();
        self.replicas[replica].process = Some(Process {
            boot,
            controller: Controller::new(config, seed, self.now),
            election: Election::new(identity, lease, seed ^ 1, self.now),
            paused: false,
            leaving: false,
            inbox: VecDeque::new(),
            asked: false,
            epoch: None,
            due: None,
        });
        self.trace
            .line(self.now, format_args!("controller {replica} starts"));
        self.start_watching(self.nodes.len() + replica);
        self.wake_replica(replica, Duration::ZERO);
    }

    pub(super) fn end_replica(&mut self, replica: usize) {
        self.replicas[replica].process = None;
        self.stop_watching(self.nodes.len() + replica);
        self.checks.led(self.now);
    }

    /// Asked to stop: no more writes, then the lease is given away.
    pub(super) fn stop_replica(&mut self, replica: usize) {
        let now = self.now;
        if let Some(process) = &mut self.replicas[replica].process {
            process.leaving = true;
            let follower = Leadership::Follower { holder: None };
            process.controller.handle_leadership(&follower, now);
        }
        self.wake_replica(replica, Duration::ZERO);
    }

    pub(super) fn pause_replica(&mut self, replica: usize) {
        if let Some(process) = &mut self.replicas[replica].process {
            process.paused = true;
        }
    }

    pub(super) fn resume_replica(&mut self, replica: usize) {
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        process.paused = false;
        process.due = None;
        let boot = process.boot;
        for late in std::mem::take(&mut process.inbox) {
            match late {
                Late::Change(change) => self.controller_change(replica, change),
                Late::Outcome(answered) => self.controller_outcome(replica, *answered),
                Late::Lease(read, answer) => self.lease_answered(replica, boot, read, *answer),
            }
        }
        self.wake_replica(replica, Duration::ZERO);
    }

    fn wake_replica(&mut self, replica: usize, wait: Duration) {
        let (now, at) = (self.now, self.now + wait);
        if let Some(process) = &mut self.replicas[replica].process
            && process.due.is_none_or(|known| known > at || known < now)
        {
            process.due = Some(at);
            self.queue.push(at, Event::Replica { replica });
        }
    }

    pub(super) fn replica_due(&mut self, replica: usize) {
        let now = self.now;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        if process.paused || process.due.is_none_or(|due| due > now) {
            return;
        }
        process.due = None;
        self.campaign(replica);
        self.control(replica);
        let Some(process) = &self.replicas[replica].process else {
            return;
        };
        if process.leaving && !process.asked && !process.election.is_releasing() && !process.leads()
        {
            self.end_replica(replica);
            return;
        }
        let dues = [
            process.controller.poll_timeout(),
            process.election.poll_timeout().filter(|_| !process.asked),
        ];
        if let Some(due) = dues.into_iter().flatten().min() {
            let wait = due.saturating_duration_since(now) + self.random.micros(50, 1_000);
            self.wake_replica(replica, wait);
        }
    }

    /// The election's part of a turn.
    fn campaign(&mut self, replica: usize) {
        let now = self.now;
        let watcher = self.nodes.len() + replica;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        let boot = process.boot;
        process.election.handle_timeout(now);
        if process.leaving && process.controller.in_flight() == 0 && process.leads() {
            process.election.release(now);
        }
        let may_act = !process.leaving || process.election.is_releasing();
        if !process.asked
            && may_act
            && let Some(action) = process.election.poll_action(now)
        {
            process.asked = true;
            let wait = self.api.request(&mut self.random);
            let action = Box::new(action);
            self.after(
                wait,
                Event::LeaseAsk {
                    replica,
                    boot,
                    action,
                },
            );
        }
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        if process.leaving {
            return;
        }
        let leadership = process.election.leadership();
        process.controller.handle_leadership(&leadership, now);
        let epoch = match leadership {
            Leadership::Leader { epoch, .. } => Some(epoch),
            Leadership::Follower { .. } => None,
        };
        if epoch != process.epoch {
            process.epoch = epoch;
            self.trace.line(
                now,
                format_args!("controller {replica}: leadership {epoch:?}"),
            );
            self.checks.led(now);
            if let Some(epoch) = epoch {
                self.resync(watcher, epoch);
            }
        }
    }

    /// The controller's part of a turn.
    fn control(&mut self, replica: usize) {
        let now = self.now;
        let watcher = self.nodes.len() + replica;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        let boot = process.boot;
        process.controller.handle_timeout(now);
        process.controller.turn(now);
        loop {
            let Some(process) = &mut self.replicas[replica].process else {
                return;
            };
            let Some((ticket, write)) = process.controller.poll_write(now) else {
                return;
            };
            let deadline = process.controller.write_deadline();
            if let Write::ServiceStatus(status) = &write {
                let status = status.clone();
                self.check_decision(replica, &status);
            }
            self.send_write(Request {
                watcher,
                boot,
                ticket,
                write,
                deadline: deadline.unwrap_or(now + Duration::from_secs(10)),
                lost: false,
            });
        }
    }

    pub(super) fn lease_asked(&mut self, replica: usize, boot: u64, action: LeaseAction) {
        let now = self.now;
        let watcher = self.nodes.len() + replica;
        let read = matches!(action, LeaseAction::Read);
        let (wait, answer) = if self.server.reaches(watcher) {
            let answer = match &action {
                LeaseAction::Read => Ok(self.server.lease.clone()),
                LeaseAction::Write(record) => {
                    let wall = (now - self.start).as_micros() as i64;
                    let wall = wall + self.replicas[replica].skew_ms * 1000;
                    self.server.write_lease(record, format!("{wall}"))
                }
            };
            if self.random.chance(self.api.lost_answers) {
                let late = Err(LeaseError::Unavailable("no answer in time".to_owned()));
                (Duration::from_secs(1), late)
            } else {
                (self.api.answer(&mut self.random), answer)
            }
        } else {
            let gone = Err(LeaseError::Unavailable("connection refused".to_owned()));
            (self.random.millis(1, 900), gone)
        };
        // The shell gives up after half the lease.
        let wait = wait.min(Duration::from_secs(1));
        let answer = Box::new(answer);
        self.after(
            wait,
            Event::LeaseAnswer {
                replica,
                boot,
                read,
                answer,
            },
        );
    }

    pub(super) fn lease_answered(
        &mut self,
        replica: usize,
        boot: u64,
        read: bool,
        answer: Result<LeaseRecord, LeaseError>,
    ) {
        let now = self.now;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        if process.boot != boot {
            return;
        }
        if process.paused {
            process.inbox.push_back(Late::Lease(read, Box::new(answer)));
            return;
        }
        process.asked = false;
        match read {
            true => process.election.handle_read(answer, now),
            false => process.election.handle_write(answer, now),
        }
        self.wake_replica(replica, Duration::from_micros(20));
    }

    pub(super) fn controller_change(&mut self, replica: usize, change: Change) {
        let now = self.now;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        if process.paused {
            process.inbox.push_back(Late::Change(change));
            return;
        }
        process.controller.handle_change(change, now);
        let wait = self.random.micros(20, 300);
        self.wake_replica(replica, wait);
    }

    pub(super) fn controller_outcome(&mut self, replica: usize, answered: Answered) {
        let now = self.now;
        let Some(process) = &mut self.replicas[replica].process else {
            return;
        };
        if process.boot != answered.boot {
            return;
        }
        if process.paused {
            process.inbox.push_back(Late::Outcome(Box::new(answered)));
            return;
        }
        let Answered {
            ticket, outcome, ..
        } = answered;
        if outcome != Outcome::Done(None) && !matches!(outcome, Outcome::Done(_)) {
            self.trace.line(
                now,
                format_args!("controller {replica}: {ticket:?} ended {outcome:?}"),
            );
        }
        process.controller.handle_outcome(ticket, outcome, now);
        self.wake_replica(replica, Duration::from_micros(20));
    }
}
