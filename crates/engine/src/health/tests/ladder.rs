//! What each answer means.

use super::super::verdict::{self, Cause, Verdict};
use super::super::*;
use super::lab::*;
use crate::world::Family;

fn cause(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Pass(..) => "pass",
        Verdict::CleanNo(_) => "clean no",
        Verdict::Draining(_, body) if matches!(**body, Verdict::Pass(..)) => "draining",
        Verdict::Draining(..) => "draining, stale",
        Verdict::Fault(Cause::Path, _) => "path",
        Verdict::Fault(Cause::StaleRules, _) => "stale",
        Verdict::Fault(Cause::ProxyGone, _) => "gone",
        Verdict::Fault(Cause::WrongService, _) => "wrong service",
        Verdict::Fault(Cause::Rubbish, _) => "rubbish",
        Verdict::Fault(Cause::NodePorts, _) => "node port",
        Verdict::Fault(Cause::Application, _) => "application",
        Verdict::Fault(..) => "another fault",
        Verdict::NotServed(_) => "not served",
        Verdict::AskLivez => "livez",
    }
}

#[test]
fn every_answer_of_10256_has_its_meaning() {
    use ProbeResult as R;
    let said = |status, eligible, v4, v6| R::Answer(proxy(status, eligible, v4, v6));
    // (answered before, result, IPv4, IPv6)
    let table = [
        (false, said(200, true, true, true), "pass", "pass"),
        (false, R::Answer(answer(200)), "pass", "pass"),
        // The status merges both families.
        (true, said(503, true, true, false), "pass", "stale"),
        (true, said(503, true, false, true), "stale", "pass"),
        (true, said(503, true, false, false), "stale", "stale"),
        (true, said(503, false, true, true), "draining", "draining"),
        (
            true,
            said(503, false, true, false),
            "draining",
            "draining, stale",
        ),
        (true, R::Answer(answer(503)), "livez", "livez"),
        (false, R::Refused, "not served", "not served"),
        (true, R::Refused, "gone", "gone"),
        (false, R::Answer(answer(404)), "not served", "not served"),
        (true, R::Answer(answer(404)), "rubbish", "rubbish"),
        (false, R::Timeout, "path", "path"),
        (true, R::Timeout, "path", "path"),
        (true, R::Unreachable("x".into()), "path", "path"),
        (true, R::Other("no HTTP".into()), "rubbish", "rubbish"),
    ];
    for (answered, result, v4, v6) in table {
        let read = |family| verdict::healthz(family, answered, &result);
        assert_eq!(cause(&read(Family::V4)), v4, "{answered} {result:?} IPv4");
        assert_eq!(cause(&read(Family::V6)), v6, "{answered} {result:?} IPv6");
    }
    let livez = |status| cause(&verdict::livez(&R::Answer(answer(status))));
    assert_eq!((livez(200), livez(503)), ("draining", "stale"));
    assert_eq!(cause(&verdict::livez(&R::Refused)), "gone");
}

#[test]
fn every_answer_of_a_health_port_has_its_meaning() {
    use ProbeResult as R;
    let other = NamespacedName::new("default", "other");
    let sick = Answer {
        proxy_healthy: Some(false),
        ..local(503, &web(), 2)
    };
    let nameless = Answer {
        service: None,
        ..local(200, &web(), 2)
    };
    let table = [
        (R::Answer(local(200, &web(), 2)), "pass"),
        (R::Answer(local(200, &web(), 0)), "clean no"),
        (R::Answer(local(503, &web(), 0)), "clean no"),
        (R::Answer(answer(503)), "clean no"),
        (R::Answer(sick), "clean no"),
        (R::Answer(local(200, &other, 2)), "wrong service"),
        (R::Answer(local(503, &other, 0)), "wrong service"),
        (R::Answer(nameless), "rubbish"),
        (R::Answer(answer(200)), "rubbish"),
        (R::Answer(answer(404)), "rubbish"),
        (R::Other("no HTTP".into()), "rubbish"),
        (R::Refused, "gone"),
        (R::Timeout, "path"),
        (R::Unreachable("x".into()), "path"),
    ];
    for (result, expected) in table {
        let verdict = verdict::local(&web(), 32_000, &result);
        assert_eq!(cause(&verdict), expected, "{result:?}");
    }
}

#[test]
fn an_application_says_which_statuses_are_well() {
    let check = |statuses: &[u16]| HttpCheck {
        port: 30_080,
        path: "/ready".into(),
        host: None,
        statuses: statuses.iter().copied().collect(),
        tls: false,
    };
    let read = |statuses: &[u16], status| {
        cause(&verdict::http(
            &check(statuses),
            &ProbeResult::Answer(answer(status)),
        ))
    };
    assert_eq!(read(&[], 204), "pass");
    assert_eq!(read(&[], 302), "pass");
    assert_eq!(read(&[], 503), "application");
    assert_eq!(read(&[200, 429], 429), "pass");
    assert_eq!(read(&[200, 429], 204), "application");
    let refused = verdict::http(&check(&[]), &ProbeResult::Refused);
    assert_eq!(cause(&refused), "application");
}

#[test]
fn settings_out_of_range_are_brought_into_it() {
    let wild = Settings {
        interval: MS(1),
        timeout: MS(0),
        fall: 0,
        rise: 9_999,
        fast: MS(5_000),
        slow: MS(1),
        drain: Duration::MAX,
        slow_start: Duration::MAX,
    }
    .clamped();
    assert_eq!(wild.interval, INTERVAL_FLOOR);
    assert_eq!((wild.fast, wild.slow), (INTERVAL_FLOOR, INTERVAL_FLOOR));
    assert_eq!((wild.fall, wild.rise), (1, THRESHOLD_MAX));
    assert_eq!(wild.timeout, TIMEOUT_FLOOR);
    assert_eq!((wild.drain, wild.slow_start), (TIME_MAX, TIME_MAX));
    assert_eq!(Settings::default().clamped(), Settings::default());
}
