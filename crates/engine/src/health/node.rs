//! One node in one family: which rung is next, and what the results of all rungs make of it.

use super::desired::{HealthDesired, NodePort, NodeWanted, Settings};
use super::gauge::{Gauge, Level, May};
use super::probe::{ProbeKind, ProbeResult, Rung};
use super::verdict::{self, Cause, Verdict};
use super::view::{NodeHealth, State};
use crate::name::NamespacedName;
use crate::world::Family;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

/// Where kube-proxy tells of the node as a whole.
pub const NODE_PORT: u16 = 10256;

/// While 10256 is not served, it is asked again after this many probes: a kube-proxy may have come.
const RECHECK_AFTER: u32 = 30;

/// A node is condemned by its NodePorts only when those of so many Services fail.
const SERVICES_FAILING: usize = 2;

/// What is asked next.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) rung: Rung,
    pub(super) target: SocketAddr,
    pub(super) kind: ProbeKind,
    pub(super) service: Option<Arc<NamespacedName>>,
}

#[derive(Clone, Debug)]
pub(super) struct NodeProbe {
    pub(super) family: Family,
    pub(super) address: IpAddr,
    pub(super) gauge: Gauge,
    ladder: Ladder,
    /// Why it is not eligible, as its proxy says.
    not_eligible: Option<Arc<str>>,
    /// When it began to leave, for whichever reason.
    leaving_since: Option<Instant>,
    pub(super) confirmed: bool,
    /// The last result came from a living kernel; none before the first.
    pub(super) alive: Option<bool>,
    rung: Option<Rung>,
    /// The next probe only corroborates what others say: with a short timeout.
    pub(super) hurried: bool,
}

#[derive(Clone, Debug, Default)]
struct Ladder {
    /// 10256 has answered.
    answered: bool,
    /// 10256 refused and has never answered: the next rung.
    absent: bool,
    probes_since_check: u32,
    cursor: usize,
    failing: BTreeSet<Arc<NamespacedName>>,
    livez: bool,
    /// Too few Services to condemn the node by: 10256 says whether its kernel lives.
    ask_kernel: bool,
}

/// What a result is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) settings: Settings,
    /// NodePorts that may be tried in this family.
    pub(super) node_ports: usize,
    /// Silence takes nobody down now.
    pub(super) frozen: bool,
    pub(super) now: Instant,
}

/// What a result leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct After {
    /// The next rung is asked at once.
    pub(super) soon: bool,
}

impl NodeProbe {
    pub(super) fn new(family: Family, address: IpAddr, now: Instant) -> Self {
        Self {
            family,
            address,
            gauge: Gauge::new(now),
            ladder: Ladder::default(),
            not_eligible: None,
            leaving_since: None,
            confirmed: false,
            alive: None,
            rung: None,
            hurried: false,
        }
    }

    /// The rung that applies.
    pub(super) fn ask(&mut self, desired: &HealthDesired) -> Asked {
        let ladder = &mut self.ladder;
        let ports: &[NodePort] = desired.node_ports.get(&self.family).map_or(&[], |p| p);
        let recheck = ladder.ask_kernel || ladder.probes_since_check >= RECHECK_AFTER;
        if ladder.absent && !recheck && !ports.is_empty() {
            ladder.cursor = ladder.cursor.wrapping_add(1);
            ladder.probes_since_check = ladder.probes_since_check.saturating_add(1);
            if let Some(port) = ports.get(ladder.cursor % ports.len()) {
                return Asked {
                    rung: Rung::NodePort,
                    target: SocketAddr::new(self.address, port.port),
                    kind: ProbeKind::Connect,
                    service: Some(Arc::clone(&port.service)),
                };
            }
        }
        ladder.probes_since_check = 0;
        let (rung, path) = if ladder.livez {
            (Rung::Livez, "/livez")
        } else {
            (Rung::Healthz, "/healthz")
        };
        Asked {
            rung,
            target: SocketAddr::new(self.address, NODE_PORT),
            kind: ProbeKind::Get {
                path: Arc::from(path),
                host: None,
                tls: false,
            },
            service: None,
        }
    }

    /// Takes a result in.
    pub(super) fn result(&mut self, asked: &Asked, result: &ProbeResult, given: &Given) -> After {
        self.rung = Some(asked.rung);
        let ask_kernel = std::mem::take(&mut self.ladder.ask_kernel);
        let silent = matches!(result, ProbeResult::Timeout | ProbeResult::Unreachable(_));
        // A NodePort that is silent may be a pod that is; 10256 is the node itself.
        self.alive = Some(!silent || asked.rung == Rung::NodePort && self.alive == Some(true));
        if !silent {
            self.confirmed = false;
        }
        let verdict = match asked.rung {
            Rung::Livez => verdict::livez(result),
            Rung::NodePort => return self.node_port(asked, result, given),
            _ => verdict::healthz(self.family, self.ladder.answered, result),
        };
        if matches!(result, ProbeResult::Answer(a) if matches!(a.status, 200 | 503)) {
            self.ladder.answered = true;
            self.ladder.absent = false;
            self.ladder.failing.clear();
        }
        self.ladder.livez = verdict == Verdict::AskLivez;
        if let Verdict::NotServed(why) = verdict {
            return self.not_served(&why, ask_kernel, given);
        }
        self.take(verdict, given)
    }

    fn take(&mut self, verdict: Verdict, given: &Given) -> After {
        let (settings, now) = (&given.settings, given.now);
        match verdict {
            Verdict::AskLivez | Verdict::NotServed(_) => return After { soon: true },
            Verdict::Draining(why, body) => {
                if self.not_eligible.as_deref() != Some(why.as_str()) {
                    self.not_eligible = Some(Arc::from(why));
                }
                return self.take(*body, given);
            }
            Verdict::Pass(_, why) => {
                self.gauge.pass(settings, &why, now);
            }
            Verdict::CleanNo(why) => self.gauge.force(Cause::CleanNo, &why, now),
            Verdict::Fault(cause, why) => {
                let may = if given.frozen && cause == Cause::Path {
                    May::Suspect
                } else {
                    May::Fall
                };
                self.gauge.fault(settings, cause, &why, may, now);
            }
        }
        After::default()
    }

    /// 10256 is not served: never a death. NodePorts say more, where there are any.
    fn not_served(&mut self, why: &str, ask_kernel: bool, given: &Given) -> After {
        self.ladder.absent = true;
        let text = if ask_kernel {
            self.ladder.failing.clear();
            format!("{why}; its kernel lives, and what fails there is one Service")
        } else if given.node_ports == 0 {
            format!("{why}; there is no NodePort to try, and its kernel answers")
        } else {
            return After { soon: true };
        };
        self.gauge.pass(&given.settings, &text, given.now);
        After::default()
    }

    fn node_port(&mut self, asked: &Asked, result: &ProbeResult, given: &Given) -> After {
        let Some(service) = &asked.service else {
            return After::default();
        };
        let what = format!("NodePort {} of {service}", asked.target.port());
        let ladder = &mut self.ladder;
        match verdict::connect(&what, Cause::NodePorts, result) {
            Verdict::Fault(cause, why) => {
                if ladder.failing.len() < SERVICES_FAILING {
                    ladder.failing.insert(Arc::clone(service));
                }
                let enough = ladder.failing.len() >= SERVICES_FAILING;
                let may = match (enough, cause == Cause::Path && given.frozen) {
                    (true, false) => May::Fall,
                    (true, true) => May::Suspect,
                    (false, _) => May::Count,
                };
                // With one Service alone, the node's own kernel is asked next.
                ladder.ask_kernel = given.node_ports < SERVICES_FAILING;
                let soon = ladder.ask_kernel;
                self.gauge
                    .fault(&given.settings, cause, &why, may, given.now);
                After { soon }
            }
            verdict => {
                ladder.failing.clear();
                self.alive = Some(true);
                self.take(verdict, given)
            }
        }
    }

    /// Takes the node's standing in the cluster in: an eligible answer ends a drain.
    pub(super) fn settle(&mut self, wanted: &NodeWanted, now: Instant) {
        let leaving = wanted.excluded || wanted.leaving.is_some() || self.not_eligible.is_some();
        if leaving {
            self.leaving_since.get_or_insert(now);
        } else {
            self.leaving_since = None;
        }
    }

    /// The answer said that the node is eligible, or nothing about it.
    pub(super) fn eligible(&mut self, result: &ProbeResult, rung: Rung) {
        let well = match result {
            ProbeResult::Answer(answer) => match answer.eligible {
                Some(eligible) => eligible,
                // Only a 200 on /healthz says it without the word.
                None => answer.status == 200 && rung == Rung::Healthz,
            },
            _ => false,
        };
        if well {
            self.not_eligible = None;
        }
    }

    /// When its flows are forgotten, if it leaves.
    pub(super) fn drained_at(&self, settings: &Settings) -> Option<Instant> {
        self.leaving_since.map(|since| since + settings.drain)
    }

    /// As it is shown.
    pub(super) fn shown(
        &mut self,
        wanted: &NodeWanted,
        settings: &Settings,
        now: Instant,
    ) -> NodeHealth {
        let until = self.drained_at(settings).unwrap_or(now);
        let since = self.leaving_since.unwrap_or(self.gauge.since);
        let (state, cause, reason, since) = if wanted.out_of_service {
            let why = "the Node has the taint node.kubernetes.io/out-of-service";
            let state = State::Unhealthy;
            (state, Cause::OutOfService, Arc::from(why), self.gauge.since)
        } else if wanted.excluded {
            let why =
                "the Node has the label node.kubernetes.io/exclude-from-external-load-balancers";
            let state = State::Excluded { until };
            (state, Cause::Excluded, Arc::from(why), since)
        } else if let Some(why) = wanted.leaving {
            let state = State::Draining { until };
            (state, Cause::NotEligible, Arc::from(why), since)
        } else if let Some(why) = &self.not_eligible {
            let state = State::Draining { until };
            (state, Cause::NotEligible, Arc::clone(why), since)
        } else if wanted.link_down {
            let why = "the link that leads there has no carrier";
            let state = State::Unhealthy;
            (state, Cause::LinkDown, Arc::from(why), self.gauge.since)
        } else {
            let state = state(self.gauge.level);
            let reason = Arc::clone(&self.gauge.reason);
            (state, self.gauge.cause, reason, self.gauge.since)
        };
        NodeHealth {
            address: self.address,
            state,
            cause,
            since,
            // While it is healthy this would change with each probe and tell nothing.
            last_healthy: self.last_healthy(),
            rung: self.rung,
            reason,
            weight: self.gauge.weight(now),
            confirmed_dead: self.confirmed || wanted.out_of_service,
        }
    }

    fn last_healthy(&self) -> Option<Instant> {
        if self.gauge.usable() {
            Some(self.gauge.since)
        } else {
            self.gauge.last_healthy
        }
    }
}

/// The level as a state.
pub(super) fn state(level: Level) -> State {
    match level {
        Level::Unknown => State::Unknown,
        Level::Healthy => State::Healthy,
        Level::Suspect => State::Suspect,
        Level::Unhealthy => State::Unhealthy,
    }
}
