//! One Service on one node: the probe of its `healthCheckNodePort`, or the one it asks for.

use super::desired::{Check, ServiceCheck};
use super::gauge::{Gauge, May};
use super::node::{Asked, state};
use super::probe::{ProbeKind, ProbeResult, Rung};
use super::verdict::{self, Cause, Verdict};
use super::view::ServiceHealth;
use crate::name::NamespacedName;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A share follows the number of endpoints by a factor of two in this time, so that a wrong count harms little.
const WEIGHT_STEP: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct ServiceProbe {
    pub(super) address: IpAddr,
    pub(super) gauge: Gauge,
    endpoints: u16,
    stepped: Instant,
}

impl ServiceProbe {
    pub(super) fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            address,
            gauge: Gauge::new(now),
            endpoints: 1,
            stepped: now,
        }
    }

    pub(super) fn ask(&self, check: &Check) -> Asked {
        let get = |path: &Arc<str>, host: Option<&Arc<str>>, tls| ProbeKind::Get {
            path: Arc::clone(path),
            host: host.cloned(),
            tls,
        };
        let (rung, port, kind) = match check {
            Check::Local { port } => {
                let kind = get(&Arc::from("/healthz"), None, false);
                (Rung::LocalPort, *port, kind)
            }
            Check::Tcp { port } => (Rung::Application, *port, ProbeKind::Connect),
            Check::Http(check) => {
                let kind = get(&check.path, check.host.as_ref(), check.tls);
                (Rung::Application, check.port, kind)
            }
        };
        Asked {
            rung,
            target: SocketAddr::new(self.address, port),
            kind,
            service: None,
        }
    }

    pub(super) fn result(
        &mut self,
        name: &NamespacedName,
        wanted: &ServiceCheck,
        result: &ProbeResult,
        frozen: bool,
        now: Instant,
    ) {
        let settings = wanted.settings.clamped();
        let verdict = match &wanted.check {
            Check::Local { port } => verdict::local(name, *port, result),
            Check::Tcp { port } => {
                let what = format!("NodePort {port}");
                verdict::connect(&what, Cause::Application, result)
            }
            Check::Http(check) => verdict::http(check, result),
        };
        match verdict {
            Verdict::Pass(endpoints, why) => {
                let was_usable = self.gauge.usable();
                self.gauge.pass(&settings, &why, now);
                self.weigh(endpoints.unwrap_or(1), was_usable, now);
            }
            Verdict::CleanNo(why) => self.gauge.force(Cause::CleanNo, &why, now),
            Verdict::Fault(cause, why) => {
                let may = if frozen && cause == Cause::Path {
                    May::Suspect
                } else {
                    May::Fall
                };
                self.gauge.fault(&settings, cause, &why, may, now);
            }
            Verdict::Draining(..) | Verdict::NotServed(_) | Verdict::AskLivez => {}
        }
    }

    fn weigh(&mut self, told: u32, was_usable: bool, now: Instant) {
        let told = u16::try_from(told).unwrap_or(u16::MAX).max(1);
        if !was_usable {
            self.endpoints = told;
            self.stepped = now;
        } else if now.saturating_duration_since(self.stepped) >= WEIGHT_STEP
            && self.endpoints != told
        {
            let most = self.endpoints.saturating_mul(2);
            let least = (self.endpoints / 2).max(1);
            self.endpoints = told.clamp(least, most);
            self.stepped = now;
        }
    }

    pub(super) fn shown(&mut self, now: Instant) -> ServiceHealth {
        let gauge = &mut self.gauge;
        let last_healthy = if gauge.usable() {
            Some(gauge.since)
        } else {
            gauge.last_healthy
        };
        ServiceHealth {
            state: state(gauge.level),
            cause: gauge.cause,
            since: gauge.since,
            last_healthy,
            reason: Arc::clone(&gauge.reason),
            weight: gauge.weight(now),
            endpoints: self.endpoints,
        }
    }
}
