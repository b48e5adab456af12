//! One speaker without a wire: what it waits for, what it writes, what it keeps.

use super::lan::{base, interface, listing};
use crate::elect::tests::build::*;
use crate::facts::{Facts, MembersView};
use crate::name::{Kind, NamespacedName};
use crate::problem::reason;
use crate::record;
use crate::selector::Selector;
use crate::speaker::{Discovery, KINDS, Speaker, SpeakerConfig};
use crate::world::*;
use crate::write::{Event, Outcome, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const VIP: &str = "10.0.0.1";

pub(super) fn facts(settled: bool) -> Facts {
    Facts {
        interfaces: Some(BTreeMap::from([(2, interface(1, 2))])),
        members: MembersView {
            off: true,
            settled,
            ..MembersView::default()
        },
        // As soon as it is planned, as far as these tests go.
        announced: BTreeMap::from([(2, BTreeSet::from([VIP.parse().unwrap()]))]),
        ..Facts::default()
    }
}

pub(super) struct Alone {
    pub(super) speaker: Speaker,
    pub(super) now: Instant,
}

impl Alone {
    pub(super) fn new() -> Self {
        Self::with(SpeakerConfig::new("n1", NAMESPACE))
    }

    fn with(config: SpeakerConfig) -> Self {
        let now = base();
        Self {
            speaker: Speaker::new(config, 1, now),
            now,
        }
    }

    /// With all lists and facts.
    pub(super) fn ready(build: &Build) -> Self {
        let mut alone = Self::new();
        for change in listing(&build.world) {
            alone.speaker.handle_change(change);
        }
        alone.speaker.handle_facts(facts(true));
        alone.speaker.turn(alone.now);
        alone
    }

    pub(super) fn change(&mut self, change: Change) -> &mut Self {
        self.speaker.handle_change(change);
        self.speaker.turn(self.now);
        self
    }

    fn answers(&self) -> Vec<String> {
        let answers = self.speaker.desired().plan.answers.values().flatten();
        answers.map(ToString::to_string).collect()
    }

    /// All writes that are due, each with the same outcome.
    pub(super) fn writes(&mut self, outcome: &Outcome) -> Vec<Write> {
        let mut writes = Vec::new();
        while let Some((ticket, write)) = self.speaker.poll_write(self.now) {
            writes.push(write);
            self.speaker
                .handle_outcome(ticket, outcome.clone(), self.now);
        }
        writes
    }

    fn events(&mut self) -> Vec<Event> {
        let writes = self.writes(&Outcome::Done(None));
        let events = writes.into_iter().filter_map(|write| match write {
            Write::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }
}

pub(super) fn one() -> Build {
    let mut build = Build::new(&["n1"]);
    build.served(service("web", &[VIP]));
    build
}

fn kind_of(change: &Change) -> Kind {
    World::default().apply(change.clone()).kind.unwrap()
}

// L2-87
#[test]
fn nothing_is_planned_before_the_view_is_complete() {
    let changes = listing(&one().world);
    let kinds: BTreeSet<Kind> = changes.iter().map(kind_of).collect();
    assert_eq!(kinds, KINDS.iter().copied().collect());
    for missing in changes.iter().map(kind_of) {
        let mut alone = Alone::new();
        alone.speaker.handle_facts(facts(true));
        for change in changes.iter().filter(|change| kind_of(change) != missing) {
            alone.change(change.clone());
        }
        let feeds_no_plan = [
            // Sessions with routers wait for these, answers do not.
            Kind::BgpAdvertisement,
            Kind::BgpPeer,
            Kind::BfdProfile,
            Kind::Community,
            Kind::ServiceBgpStatus,
            Kind::BgpSessionState,
            Kind::FrontProfile,
            Kind::Pod,
            Kind::Secret,
            Kind::ServiceL2Status,
            Kind::ConfigurationState,
        ];
        let planned = feeds_no_plan.contains(&missing);
        assert_eq!(alone.speaker.is_planned(), planned, "without {missing}");
        assert_eq!(alone.answers().is_empty(), !planned, "without {missing}");
        let last = changes
            .iter()
            .find(|change| kind_of(change) == missing)
            .unwrap();
        alone.change(last.clone());
        assert_eq!(alone.answers(), [VIP], "with {missing} at last");
    }
}

// L2-87
#[test]
fn nothing_is_planned_before_interfaces_and_the_start_rule() {
    let mut alone = Alone::new();
    for change in listing(&one().world) {
        alone.change(change);
    }
    assert!(!alone.speaker.is_planned());
    alone.speaker.handle_facts(Facts {
        interfaces: None,
        ..facts(true)
    });
    alone.speaker.turn(alone.now);
    assert!(!alone.speaker.is_planned());
    alone.speaker.handle_facts(facts(false));
    alone.speaker.turn(alone.now);
    assert!(!alone.speaker.is_planned() && alone.answers().is_empty());
    alone.speaker.handle_facts(facts(true));
    alone.speaker.turn(alone.now);
    assert_eq!(alone.answers(), [VIP]);

    // A late turn unsettles the members: the plan stands, the wire is silent by itself.
    alone.speaker.handle_facts(facts(false));
    alone.change(Change::Service(Delta::Delete(NamespacedName::new(
        "default", "web",
    ))));
    assert_eq!(alone.answers(), [VIP]);
    alone.speaker.handle_facts(facts(true));
    alone.speaker.turn(alone.now);
    assert!(
        alone.answers().is_empty(),
        "what came meanwhile is not forgotten"
    );
}

#[test]
fn the_plan_is_the_same_value_while_nothing_changes() {
    let mut alone = Alone::ready(&one());
    let before = alone.speaker.desired().clone();
    let mut heartbeat = stored(node("n1", ""));
    heartbeat.origin.version = "2".into();
    alone.change(Change::Node(Delta::Upsert(heartbeat)));
    alone.speaker.handle_facts(facts(true));
    alone.speaker.turn(alone.now);
    assert!(std::sync::Arc::ptr_eq(&before, alone.speaker.desired()));
}

// L2-89
#[test]
fn an_assigned_service_costs_one_status_and_one_event() {
    let mut alone = Alone::ready(&one());
    let writes = alone.writes(&Outcome::Done(None));
    let l2: Vec<&Write> = writes
        .iter()
        .filter(|w| matches!(w, Write::L2Status { .. }))
        .collect();
    assert_eq!(
        l2,
        [&Write::L2Status {
            existing: None,
            node: "n1".into(),
            service: NamespacedName::new("default", "web"),
            interfaces: Vec::new(),
        }]
    );
    let events: Vec<&Event> = writes
        .iter()
        .filter_map(|w| match w {
            Write::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason, "nodeAssigned");
    assert_eq!(
        events[0].message,
        "announcing from node \"n1\" with protocol \"layer2\""
    );
    assert_eq!(
        (events[0].warning, events[0].uid.as_str()),
        (false, "uid-web")
    );
    assert!(
        matches!(writes.last(), Some(Write::Event(_))),
        "events after statuses"
    );
    // Before the watch shows it, nothing is written twice.
    let mut relabelled = service("web", &[VIP]);
    relabelled.labels = labels("a=b");
    alone.change(Change::Service(Delta::Upsert(stored(relabelled))));
    assert!(alone.writes(&Outcome::Done(None)).is_empty());
}

pub(super) fn status(name: &str, node: &str, interfaces: &[&str]) -> L2Status {
    L2Status {
        name: NamespacedName::new(NAMESPACE, name),
        node: node.into(),
        service: NamespacedName::new("default", "web"),
        interfaces: interfaces.iter().map(|i| (*i).to_owned()).collect(),
        has_status: true,
    }
}

// L2-89
#[test]
fn a_restart_tells_and_writes_nothing_again() {
    let mut build = one();
    build.add(Change::L2Status(Delta::Upsert(stored(status(
        "l2-a",
        "n1",
        &[],
    )))));
    let state = ConfigurationState {
        name: NamespacedName::new(NAMESPACE, "speaker-n1"),
        result: "Valid".into(),
        error_summary: String::new(),
    };
    build.add(Change::ConfigurationState(Delta::Upsert(stored(state))));
    assert!(Alone::ready(&build).writes(&Outcome::Done(None)).is_empty());
}

// L2-89
#[test]
fn the_owner_deletes_what_others_left_and_a_loser_its_own() {
    let mut build = one();
    for (name, node) in [("l2-a", "n1"), ("l2-b", "n2"), ("l2-c", "n1")] {
        build.add(Change::L2Status(Delta::Upsert(stored(status(
            name,
            node,
            &[],
        )))));
    }
    let deletions = |writes: Vec<Write>| -> Vec<String> {
        let names = writes.into_iter().filter_map(|w| match w {
            Write::DeleteL2Status(name) => Some(name.name.to_string()),
            Write::L2Status { .. } => Some("written".into()),
            _ => None,
        });
        names.collect()
    };
    let mut alone = Alone::ready(&build);
    assert_eq!(
        deletions(alone.writes(&Outcome::Done(None))),
        ["l2-c", "l2-b"]
    );

    // It loses: its own goes, the winner's stays.
    build.node(node(
        "n1",
        "node.kubernetes.io/exclude-from-external-load-balancers=",
    ));
    let mut alone = Alone::ready(&build);
    assert_eq!(
        deletions(alone.writes(&Outcome::Done(None))),
        ["l2-a", "l2-c"]
    );

    // Other interfaces, or a status that was dropped: the object is patched.
    let mut build = one();
    let mut dropped = status("l2-a", "n1", &[]);
    dropped.has_status = false;
    build.add(Change::L2Status(Delta::Upsert(stored(dropped))));
    let writes = Alone::ready(&build).writes(&Outcome::Done(None));
    let existing = writes.iter().find_map(|w| match w {
        Write::L2Status { existing, .. } => existing.clone(),
        _ => None,
    });
    assert_eq!(existing.unwrap().name, "l2-a");
}

// L2-89
#[test]
fn the_status_names_the_interfaces_of_the_advertisements() {
    let mut build = Build::bare(&["n1"]);
    let mut ad = advertisement("a");
    ad.interfaces = vec!["eth0".into(), "eth7".into()];
    build.advertisement(ad).served(service("web", &[VIP]));
    let mut alone = Alone::ready(&build);
    let writes = alone.writes(&Outcome::Done(None));
    assert!(writes.iter().any(
        |w| matches!(w, Write::L2Status { interfaces, .. } if *interfaces == ["eth0", "eth7"])
    ));
    assert_eq!(alone.answers(), [VIP]);
}

#[test]
fn without_the_api_all_goes_on() {
    let mut alone = Alone::ready(&one());
    for _ in 0..20 {
        alone.writes(&Outcome::Unavailable("connection refused".into()));
        alone.now += Duration::from_secs(60);
        alone.speaker.handle_timeout(alone.now);
        alone.speaker.turn(alone.now);
        assert_eq!(alone.answers(), [VIP]);
    }
    let mut later = Vec::new();
    for _ in 0..3 {
        later.extend(alone.writes(&Outcome::Done(None)));
        alone.now += Duration::from_secs(60);
    }
    assert!(
        later.iter().any(|w| matches!(w, Write::L2Status { .. })),
        "written when it is back"
    );
}

// L2-44
#[test]
fn that_nobody_has_the_interface_is_told_once() {
    let mut build = Build::bare(&["n1"]);
    let mut ad = advertisement("a");
    ad.interfaces = vec!["eth7".into()];
    build.advertisement(ad).served(service("web", &[VIP]));
    let mut alone = Alone::new();
    for change in listing(&build.world) {
        alone.speaker.handle_change(change);
    }
    let mut known = facts(true);
    known.members.off = false;
    let record = crate::facts::MemberRecord {
        interfaces: BTreeMap::from([("eth0".to_owned(), [2, 0, 0, 0, 0, 1])]),
        ..Default::default()
    };
    known.members.alive.insert("n1".into(), record);
    alone.speaker.handle_facts(known);
    alone.speaker.turn(alone.now);
    let events = alone.events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].reason, events[0].warning),
        ("announceFailed", true)
    );
    assert!(events[0].message.contains("\"eth7\"") && events[0].message.contains("\"n1\""));
    let mut relabelled = service("web", &[VIP]);
    relabelled.labels = labels("a=b");
    alone.change(Change::Service(Delta::Upsert(stored(relabelled))));
    assert!(alone.events().is_empty());
    let reasons: Vec<&str> = alone.speaker.problems().iter().map(|p| p.reason).collect();
    assert_eq!(reasons, [reason::UNKNOWN_INTERFACE]);
}

// L2-43
#[test]
fn without_membership_the_elected_node_says_that_it_lacks_the_interface() {
    let mut build = Build::bare(&["n1"]);
    let mut ad = advertisement("a");
    ad.interfaces = vec!["eth7".into()];
    build.advertisement(ad).served(service("web", &[VIP]));
    let mut alone = Alone::ready(&build);
    assert!(alone.answers().is_empty());
    let writes = alone.writes(&Outcome::Done(None));
    assert!(!writes.iter().any(|w| matches!(w, Write::L2Status { .. })));
    let told = writes.iter().filter(|w| matches!(w, Write::Event(e) if e.reason == "announceFailed" && e.message.contains("\"n1\"")));
    assert_eq!(told.count(), 1);
    let mut known = facts(true);
    known
        .interfaces
        .as_mut()
        .unwrap()
        .insert(9, interface(1, 9));
    alone.speaker.handle_facts(known);
    alone.speaker.turn(alone.now);
    assert_eq!(alone.answers(), [VIP], "eth7 came");
    assert_eq!(alone.events().len(), 1);
}

fn state(writes: &[Write]) -> Option<(String, String)> {
    writes.iter().find_map(|write| match write {
        Write::ConfigurationState(value) => {
            assert_eq!(value.name.name, "speaker-n1");
            assert_eq!(value.condition, "configReconcilerValid");
            Some((value.result.to_owned(), value.error_summary.clone()))
        }
        _ => None,
    })
}

#[test]
fn the_configuration_state_follows_the_configuration() {
    let mut alone = Alone::ready(&one());
    assert_eq!(
        state(&alone.writes(&Outcome::Done(None))),
        Some(("Valid".into(), String::new()))
    );
    let mut bad = advertisement("bad");
    bad.node_selectors = vec![crate::selector::LabelSelector {
        match_labels: BTreeMap::new(),
        match_expressions: vec![crate::selector::Requirement {
            key: "a".into(),
            operator: "Sometimes".into(),
            values: Vec::new(),
        }],
    }];
    alone.change(Change::L2Advertisement(Delta::Upsert(stored(bad))));
    let (result, summary) = state(&alone.writes(&Outcome::Done(None))).unwrap();
    assert_eq!(result, "Invalid");
    assert!(
        summary.contains("bad") && summary.contains("Sometimes"),
        "{summary}"
    );
    assert_eq!(alone.answers(), [VIP], "the good one works on");
}

// L2-42
#[test]
fn a_bad_exclusion_list_is_told_and_the_old_one_kept() {
    let mut alone = Alone::ready(&one());
    let plan = alone.speaker.desired().plan.clone();
    alone.speaker.set_exclusion(Some(Ok(vec!["^eth0$".into()])));
    alone.speaker.turn(alone.now);
    assert!(alone.speaker.desired().plan.answers.is_empty());
    assert_eq!(
        record::decode(&alone.speaker.desired().member_record)
            .unwrap()
            .interfaces
            .len(),
        0
    );
    for bad in [
        Ok(vec!["(".to_owned()]),
        Err("line 3: not a list".to_owned()),
    ] {
        alone.speaker.set_exclusion(Some(bad));
        alone.speaker.turn(alone.now);
        assert!(alone.speaker.desired().plan.answers.is_empty());
        let problems = alone.speaker.problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].reason, reason::INVALID_EXCLUSION);
    }
    assert_eq!(
        state(&alone.writes(&Outcome::Done(None))).unwrap().0,
        "Invalid"
    );
    alone.speaker.set_exclusion(None);
    alone.speaker.turn(alone.now);
    assert_eq!(alone.speaker.desired().plan, plan);
    assert!(alone.speaker.problems().is_empty());
}

#[test]
fn the_text_of_the_exclusion_list_is_found() {
    let mut alone = Alone::ready(&one());
    assert_eq!(alone.speaker.exclusion_text(), None);
    let map = ConfigMap {
        name: NamespacedName::new(NAMESPACE, "metallb-excludel2"),
        data: labels("excludel2.yaml=announcedInterfacesToExclude: []"),
    };
    alone.change(Change::ConfigMap(Delta::Upsert(stored(map))));
    assert_eq!(
        alone.speaker.exclusion_text(),
        Some("announcedInterfacesToExclude: []")
    );
}

#[test]
fn members_are_the_labelled_pods_and_the_key_is_the_secrets() {
    let mut config = SpeakerConfig::new("n1", NAMESPACE);
    config.discovery = Discovery::Pods {
        selector: Selector::parse(&selector("app=metallb")).unwrap(),
        port: 7946,
        ipv6: false,
    };
    let mut alone = Alone::with(config);
    alone.speaker.turn(alone.now);
    assert_eq!(alone.speaker.desired().member_peers, None);
    let ips =
        |texts: &[&str]| -> Vec<IpAddr> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    let pod = |name: &str, namespace: &str, with: &str, addresses: &[&str]| {
        stored(Pod {
            name: NamespacedName::new(namespace, name),
            labels: labels(with),
            ips: ips(addresses),
            ..Pod::default()
        })
    };
    let objects = vec![
        pod("a", NAMESPACE, "app=metallb", &["fd00::1", "172.16.0.1"]),
        pod("b", NAMESPACE, "app=metallb", &["172.16.0.2"]),
        pod("c", NAMESPACE, "app=other", &["172.16.0.3"]),
        pod("d", "elsewhere", "app=metallb", &["172.16.0.4"]),
        pod("e", NAMESPACE, "app=metallb", &[]),
    ];
    alone.change(Change::Pod(Delta::Reset { objects, epoch: 0 }));
    let peers: Vec<String> = alone
        .speaker
        .desired()
        .member_peers
        .iter()
        .flatten()
        .map(SocketAddr::to_string)
        .collect();
    assert_eq!(peers, ["172.16.0.1:7946", "172.16.0.2:7946"]);

    assert!(alone.speaker.desired().member_keys.0.is_empty());
    let secret = Secret {
        name: NamespacedName::new(NAMESPACE, "memberlist"),
        kind: "Opaque".into(),
        data: BTreeMap::from([("secretkey".to_owned(), b"hush".to_vec())]),
    };
    alone.change(Change::Secret(Delta::Upsert(stored(secret))));
    assert_eq!(alone.speaker.desired().member_keys.0, [b"hush".to_vec()]);
    let shown = format!("{:?}", alone.speaker.desired());
    assert!(
        !shown.contains("hush") && !shown.contains("104"),
        "secrets are never printed"
    );
}

// L2-48
#[test]
fn an_address_on_an_interface_of_the_host_is_a_problem() {
    let mut alone = Alone::ready(&one());
    let mut known = facts(true);
    let own = known.interfaces.as_mut().unwrap().get_mut(&2).unwrap();
    own.addresses = vec!["10.0.0.1/24".parse().unwrap()];
    alone.speaker.handle_facts(known);
    alone.speaker.turn(alone.now);
    let problems = alone.speaker.problems();
    assert_eq!(problems[0].reason, reason::VIP_ON_INTERFACE);
    assert!(problems[0].message.contains("eth0") && problems[0].message.contains("n1"));
}
