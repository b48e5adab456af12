//! What one speaker writes of routers: ServiceBGPStatus with its events, and BGPSessionState.

use super::lan::{base, interface, listing};
use crate::elect::tests::build::*;
use crate::facts::{Facts, MembersView, SessionFact};
use crate::name::NamespacedName;
use crate::speaker::{BgpStatusMode, Speaker, SpeakerConfig};
use crate::world::*;
use crate::write::{Outcome, SessionStateValue, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

struct Told {
    speaker: Speaker,
    now: Instant,
}

fn facts() -> Facts {
    Facts {
        interfaces: Some(BTreeMap::from([(2, interface(1, 2))])),
        members: MembersView {
            off: true,
            settled: true,
            ..MembersView::default()
        },
        ..Facts::default()
    }
}

/// Nodes with one BGPPeer, everything announced to it, and these Services.
fn world(nodes: &[&str], services: &[&str]) -> Build {
    let mut build = Build::bare(nodes);
    build.add(Change::BgpPeer(Delta::Upsert(stored(BgpPeer {
        name: NamespacedName::new(NAMESPACE, "tor"),
        my_asn: 64512,
        peer_asn: Some(64513),
        peer_address: Some("192.0.2.1".into()),
        ..BgpPeer::default()
    }))));
    build.add(Change::BgpAdvertisement(Delta::Upsert(stored(
        BgpAdvertisement {
            name: NamespacedName::new(NAMESPACE, "a"),
            aggregation_length: 32,
            aggregation_length_v6: 128,
            ..BgpAdvertisement::default()
        },
    ))));
    for (at, name) in services.iter().enumerate() {
        build.served(service(name, &[&format!("10.0.0.{}", at + 1)]));
    }
    build
}

impl Told {
    fn new(build: &Build, mode: BgpStatusMode) -> Self {
        let now = base();
        let config = SpeakerConfig {
            bgp_statuses: mode,
            ..SpeakerConfig::new("n1", NAMESPACE)
        };
        let mut told = Self {
            speaker: Speaker::new(config, 1, now),
            now,
        };
        for change in listing(&build.world) {
            told.speaker.handle_change(change);
        }
        told.speaker.handle_facts(facts());
        told.speaker.turn(now);
        told
    }

    fn change(&mut self, change: Change) {
        self.speaker.handle_change(change);
        self.speaker.turn(self.now);
    }

    /// Writes about routers, and events, in words; each is carried out.
    fn writes(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some((ticket, write)) = self.speaker.poll_write(self.now) {
            self.speaker
                .handle_outcome(ticket, Outcome::Done(None), self.now);
            match write {
                Write::BgpStatus {
                    existing,
                    service,
                    peers,
                    ..
                } => words.push(format!(
                    "{} {service} to {}",
                    if existing.is_some() {
                        "patch"
                    } else {
                        "create"
                    },
                    peers.join(",")
                )),
                Write::DeleteBgpStatus(name) => words.push(format!("delete {}", name.name)),
                Write::Event(event) => words.push(format!("{} {}", event.reason, event.message)),
                _ => {}
            }
        }
        words.sort();
        words
    }

    fn session_writes(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        while let Some((ticket, write)) = self.speaker.poll_write(self.now) {
            self.speaker
                .handle_outcome(ticket, Outcome::Done(None), self.now);
            if matches!(write, Write::SessionState(_) | Write::DeleteSessionState(_)) {
                writes.push(write);
            }
        }
        writes
    }
}

fn status(name: &str, node: &str, service: &str, peers: &[&str]) -> Change {
    let service = match service {
        "" => NamespacedName::new("", ""),
        service => NamespacedName::new("default", service),
    };
    Change::BgpStatus(Delta::Upsert(stored(BgpStatus {
        name: NamespacedName::new(NAMESPACE, name),
        node: node.into(),
        service,
        peers: peers.iter().map(ToString::to_string).collect(),
        has_status: true,
    })))
}

const BEGUN: &str = "nodeAssigned announcing from node \"n1\" with protocol \"bgp\"";
const ENDED: &str = "nodeWithdrawn no longer announcing from node \"n1\" with protocol \"bgp\"";

#[test]
fn a_service_is_told_of_once_and_its_object_goes_with_its_announcement() {
    let build = world(&["n1"], &["web"]);
    let mut told = Told::new(&build, BgpStatusMode::Auto);
    assert_eq!(told.writes(), ["create default/web to tor", BEGUN]);
    told.change(status("bgp-1", "n1", "web", &["tor"]));
    // Another node's is nobody's business here.
    told.change(status("bgp-2", "n2", "web", &["other"]));
    assert_eq!(told.writes(), Vec::<String>::new());
    told.change(status("bgp-1", "n1", "web", &["gone"]));
    assert_eq!(told.writes(), ["patch default/web to tor"]);
    let gone = NamespacedName::new(NAMESPACE, "a");
    told.change(Change::BgpAdvertisement(Delta::Delete(gone)));
    assert_eq!(told.writes(), ["delete bgp-1", ENDED]);
}

#[test]
fn after_a_restart_what_is_right_is_neither_written_nor_told_again() {
    let mut build = world(&["n1"], &["web"]);
    build.add(status("bgp-1", "n1", "web", &["tor"]));
    build.add(status("bgp-9", "n1", "former", &["tor"]));
    let mut told = Told::new(&build, BgpStatusMode::Auto);
    assert_eq!(told.writes(), ["delete bgp-9"]);
}

#[test]
fn above_the_bound_one_object_stands_for_the_node() {
    let names: Vec<String> = (0..2_501).map(|n| format!("n{n}")).collect();
    let nodes: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut build = world(&nodes, &["web", "web-2"]);
    build.add(status("bgp-1", "n1", "web", &["tor"]));
    let mut told = Told::new(&build, BgpStatusMode::Auto);
    let written = told.writes();
    let words: Vec<&str> = written.iter().map(|w| w.trim()).collect();
    assert_eq!(words.len(), 2, "{words:?}");
    assert!(words[0].starts_with("create") && words[0].ends_with("to tor"));
    assert_eq!(words[1], "delete bgp-1");
    let mut always = Told::new(&build, BgpStatusMode::Always);
    assert_eq!(always.writes(), ["create default/web-2 to tor", BEGUN]);
    let mut never = Told::new(&build, BgpStatusMode::Never);
    assert_eq!(never.writes(), ["delete bgp-1"]);
}

#[test]
fn a_session_is_written_when_it_changes_and_deleted_with_its_peer() {
    let mut told = Told::new(&world(&["n1"], &[]), BgpStatusMode::Auto);
    let fact = |bgp, last_error: &str| SessionFact {
        neighbor: "192.0.2.1:179".into(),
        bgp,
        bfd: "N/A",
        last_error: last_error.into(),
        ..SessionFact::default()
    };
    let with = |fact: SessionFact| Facts {
        sessions: Arc::new(BTreeMap::from([("tor".to_owned(), fact)])),
        ..facts()
    };
    told.speaker
        .handle_facts(with(fact("Active", "connection refused")));
    told.speaker.turn(told.now);
    let value = match told.session_writes().as_slice() {
        [Write::SessionState(value)] => SessionStateValue::clone(value),
        other => panic!("{other:?}"),
    };
    assert_eq!((value.peer.as_str(), value.bgp.as_str()), ("tor", "Active"));
    assert_eq!(value.last_error, "connection refused");
    let seen = SessionState {
        name: value.name.clone(),
        node: "n1".into(),
        peer: "tor".into(),
        bgp: "Active".into(),
        bfd: "N/A".into(),
        last_error: "connection refused".into(),
    };
    told.change(Change::SessionState(Delta::Upsert(stored(seen))));
    assert_eq!(told.session_writes(), []);
    told.speaker.handle_facts(facts());
    told.speaker.turn(told.now);
    assert_eq!(
        told.session_writes(),
        [Write::DeleteSessionState(value.name)]
    );
}
