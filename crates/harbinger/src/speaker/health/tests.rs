//! The page and its words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::health::{Health, HealthDesired, NodeWanted, ProbeResult};
use engine::world::Family;

use super::{Shown, shown, words};

fn machine(now: Instant) -> Health {
    let node = |last: u8| NodeWanted {
        addresses: BTreeMap::from([(Family::V4, [10, 0, 0, last].into())]),
        ..NodeWanted::default()
    };
    let mut health = Health::new(1, now);
    let desired = HealthDesired {
        nodes: BTreeMap::from([("a".to_owned(), node(1)), ("b".to_owned(), node(2))]),
        ..HealthDesired::default()
    };
    health.set_desired(Arc::new(desired), now);
    let mut at = now;
    for _ in 0..4 {
        while let Some(probe) = health.poll_probe(at) {
            let first = probe.target.ip() == std::net::IpAddr::from([10, 0, 0, 1]);
            let result = if first {
                ProbeResult::Refused
            } else {
                ProbeResult::Timeout
            };
            health.handle_result(probe.id, &result, at);
        }
        at += Duration::from_secs(1);
    }
    health
}

#[test]
fn the_page_comes_back_as_it_went_and_says_why() {
    let now = Instant::now();
    let health = machine(now);
    let page = shown(Some(&health), "a", now + Duration::from_secs(4));
    let text = serde_json::to_string(&page).expect("JSON");
    assert_eq!(
        serde_json::from_str::<Shown>(&text).expect("the same"),
        page
    );
    assert_eq!(page.nodes[0].state, "healthy");
    assert_eq!(page.nodes[1].state, "unhealthy");
    let words = words::text(&page, None);
    assert!(words.contains("no answer in time"), "{words}");
    assert!(words.contains("its kernel answers"), "{words}");
    let alone = words::text(&page, Some("b"));
    assert!(!alone.contains("10.0.0.1"), "{alone}");
    assert!(
        alone.contains("unknown") && alone.contains("AGO"),
        "{alone}"
    );
}

#[test]
fn whoever_probes_nothing_says_so() {
    let page = shown(None, "a", Instant::now());
    assert!(words::text(&page, None).contains("probes nothing"));
}
