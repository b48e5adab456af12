//! What a result means: pure readings of the ladder (design/health.md, 3).

use super::desired::HttpCheck;
use super::probe::{Answer, ProbeResult};
use crate::name::NamespacedName;
use crate::world::Family;

/// Why something is not well, for machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nothing is wrong.
    #[default]
    None,
    /// Timeout or no way there.
    Path,
    /// 503: its rules are older than they may be.
    StaleRules,
    /// Refused where it has answered: kube-proxy is gone, its rules work on and grow stale.
    ProxyGone,
    /// A clean 503: no endpoint there. An answer, not a fault.
    CleanNo,
    /// The health port answers for another Service.
    WrongService,
    /// An answer that is none.
    Rubbish,
    /// NodePorts of several Services fail.
    NodePorts,
    /// The application's own probe fails.
    Application,
    /// The node is not eligible: it is being removed.
    NotEligible,
    /// The exclusion label.
    Excluded,
    /// Taint `out-of-service`.
    OutOfService,
    /// The link there is down.
    LinkDown,
    /// The Node is gone.
    Removed,
    /// It has changed too often and is held out for a while.
    Held,
}

/// A reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Well; the number of local endpoints where it is told.
    Pass(Option<u32>, String),
    /// Nobody there, said so.
    CleanNo(String),
    /// Alive and not to get anything new.
    Draining(String, Box<Verdict>),
    /// Not well.
    Fault(Cause, String),
    /// Nobody serves this; the next rung.
    NotServed(String),
    /// `/livez` is to say which of two it is.
    AskLivez,
}

fn fault(cause: Cause, why: impl Into<String>) -> Verdict {
    Verdict::Fault(cause, why.into())
}

/// What every probe has in common: no answer. None for those that need more.
fn silence(what: &str, result: &ProbeResult) -> Option<Verdict> {
    match result {
        ProbeResult::Timeout => Some(fault(Cause::Path, format!("{what}: no answer in time"))),
        ProbeResult::Unreachable(why) => {
            Some(fault(Cause::Path, format!("{what}: unreachable ({why})")))
        }
        ProbeResult::Other(why) => Some(fault(Cause::Rubbish, format!("{what}: {why}"))),
        ProbeResult::Answer(_) | ProbeResult::Connected | ProbeResult::Refused => None,
    }
}

/// `/healthz` of 10256 for one family. `answered`: it has answered before.
pub(super) fn healthz(family: Family, answered: bool, result: &ProbeResult) -> Verdict {
    const WHAT: &str = "10256 /healthz";
    if let Some(verdict) = silence(WHAT, result) {
        return match verdict {
            Verdict::Fault(Cause::Path, why) if !answered => {
                let hint = "it has never answered: does a firewall close port 10256?";
                fault(Cause::Path, format!("{why}; {hint}"))
            }
            other => other,
        };
    }
    let ProbeResult::Answer(answer) = result else {
        return if answered {
            let why =
                "refused, and it has answered before: kube-proxy is gone and its rules grow stale";
            fault(Cause::ProxyGone, format!("{WHAT}: {why}"))
        } else {
            Verdict::NotServed(format!("{WHAT}: refused, as where no kube-proxy serves it"))
        };
    };
    let own = match family {
        Family::V4 => answer.healthy_v4,
        Family::V6 => answer.healthy_v6,
    };
    let stale = || {
        let why = format!("503, the {} rules are not up to date", family.as_str());
        fault(Cause::StaleRules, format!("{WHAT}: {why}"))
    };
    match (answer.status, answer.eligible, own) {
        // The HTTP status merges both families; the body tells them apart.
        (200 | 503, Some(false), own) => {
            let body = match own {
                Some(false) => stale(),
                _ => Verdict::Pass(None, format!("{WHAT}: the proxy itself is well")),
            };
            let why = format!("{WHAT}: the node is not eligible (it is being removed)");
            Verdict::Draining(why, Box::new(body))
        }
        (200 | 503, _, Some(false)) => stale(),
        (503, Some(true), Some(true)) => {
            Verdict::Pass(None, format!("{WHAT}: {} is well", family.as_str()))
        }
        (200, _, _) => Verdict::Pass(None, format!("{WHAT}: 200")),
        (503, _, _) => Verdict::AskLivez,
        (status, _, _) if answered => fault(Cause::Rubbish, format!("{WHAT}: status {status}")),
        (status, _, _) => Verdict::NotServed(format!(
            "{WHAT}: status {status}; whatever listens there is no kube-proxy"
        )),
    }
}

/// `/livez`, after a `/healthz` that was 503 and did not say why.
pub(super) fn livez(result: &ProbeResult) -> Verdict {
    const WHAT: &str = "10256 /healthz 503";
    if let Some(verdict) = silence("10256 /livez", result) {
        return verdict;
    }
    match result {
        // /livez leaves eligibility out: the proxy is sane, so it is the node that leaves.
        ProbeResult::Answer(answer) if answer.status == 200 => Verdict::Draining(
            format!("{WHAT} and /livez 200: the node is not eligible"),
            Box::new(Verdict::Pass(None, "10256 /livez: 200".to_owned())),
        ),
        ProbeResult::Answer(_) => fault(
            Cause::StaleRules,
            format!("{WHAT} and /livez too: the rules are not up to date"),
        ),
        _ => fault(
            Cause::ProxyGone,
            format!("{WHAT}, then refused: kube-proxy is gone"),
        ),
    }
}

/// A `healthCheckNodePort`.
pub(super) fn local(expected: &NamespacedName, port: u16, result: &ProbeResult) -> Verdict {
    let what = format!("healthCheckNodePort {port}");
    if let Some(verdict) = silence(&what, result) {
        return verdict;
    }
    let ProbeResult::Answer(answer) = result else {
        let why = "refused: nobody serves it on this node";
        return fault(Cause::ProxyGone, format!("{what}: {why}"));
    };
    if let Some(other) = answer.service.as_ref().filter(|other| *other != expected) {
        let why = format!("answers for Service {other}, not for {expected}");
        return fault(Cause::WrongService, format!("{what} {why}"));
    }
    local_answer(&what, answer)
}

fn local_answer(what: &str, answer: &Answer) -> Verdict {
    // The JSON says whether there is anybody; the header is only the weight.
    let endpoints = answer.endpoints.or(answer.weight);
    match (answer.status, endpoints) {
        (503, _) if answer.proxy_healthy == Some(false) => {
            Verdict::CleanNo(format!("{what}: 503, the service proxy is not well"))
        }
        (503, _) => Verdict::CleanNo(format!("{what}: 503, no endpoint on the node")),
        (200, Some(0)) => Verdict::CleanNo(format!("{what}: no endpoint on the node")),
        (200, Some(_)) if answer.service.is_none() => fault(
            Cause::Rubbish,
            format!("{what}: the answer does not say which Service it is for"),
        ),
        (200, Some(endpoints)) => {
            let weight = answer.weight.filter(|weight| *weight > 0);
            let text = format!("{what}: {endpoints} endpoints");
            Verdict::Pass(Some(weight.unwrap_or(endpoints)), text)
        }
        (200, None) => fault(
            Cause::Rubbish,
            format!("{what}: an answer that is no count of endpoints"),
        ),
        (status, _) => fault(Cause::Rubbish, format!("{what}: status {status}")),
    }
}

/// A connection to a NodePort; `cause` is what its failure is called.
pub(super) fn connect(what: &str, cause: Cause, result: &ProbeResult) -> Verdict {
    match result {
        ProbeResult::Connected | ProbeResult::Answer(_) => {
            Verdict::Pass(None, format!("{what}: connected"))
        }
        ProbeResult::Refused => fault(cause, format!("{what}: refused")),
        ProbeResult::Timeout => fault(cause, format!("{what}: no answer in time")),
        ProbeResult::Unreachable(why) => fault(Cause::Path, format!("{what}: unreachable ({why})")),
        ProbeResult::Other(why) => fault(cause, format!("{what}: {why}")),
    }
}

/// A request that a Service asks for.
pub(super) fn http(check: &HttpCheck, result: &ProbeResult) -> Verdict {
    let what = format!("GET {} on NodePort {}", check.path, check.port);
    match result {
        ProbeResult::Answer(answer) => {
            let status = answer.status;
            let well = if check.statuses.is_empty() {
                (200..400).contains(&status)
            } else {
                check.statuses.contains(&status)
            };
            if well {
                Verdict::Pass(None, format!("{what}: {status}"))
            } else {
                fault(Cause::Application, format!("{what}: status {status}"))
            }
        }
        other => connect(&what, Cause::Application, other),
    }
}
