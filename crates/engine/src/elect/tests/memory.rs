//! The memory is a cache of a pure function, and one change costs one change.

use super::build::*;
use crate::config;
use crate::elect::{ElectOptions, Elector, Placement, big};
use crate::facts::MembersView;
use crate::world::{Change, Delta, Service, TrafficPolicy, World};
use proptest::prelude::*;
use std::sync::Arc;

/// One thing that happens to the world.
#[derive(Clone, Debug)]
enum Step {
    Service {
        at: u8,
        first: u8,
        second: Option<u8>,
        local: bool,
        shared: bool,
    },
    NoService(u8),
    Slice {
        at: u8,
        node: u8,
        ready: bool,
    },
    NoSlice(u8),
    Node {
        at: u8,
        excluded: bool,
        rack: bool,
    },
    NoNode(u8),
    Advertisement {
        at: u8,
        rack: bool,
        weight: u8,
    },
    NoAdvertisement(u8),
    Member {
        at: u8,
        alive: bool,
    },
    Claim {
        first: u8,
        node: u8,
        term: Option<u64>,
    },
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8u8, 0..6u8, proptest::option::of(0..6u8), any::<bool>(), any::<bool>())
            .prop_map(|(at, first, second, local, shared)| Step::Service { at, first, second, local, shared }),
        1 => (0..8u8).prop_map(Step::NoService),
        6 => (0..8u8, 0..4u8, any::<bool>()).prop_map(|(at, node, ready)| Step::Slice { at, node, ready }),
        1 => (0..8u8).prop_map(Step::NoSlice),
        2 => (0..4u8, any::<bool>(), any::<bool>()).prop_map(|(at, excluded, rack)| Step::Node { at, excluded, rack }),
        1 => (0..4u8).prop_map(Step::NoNode),
        2 => (0..2u8, any::<bool>(), 0..3u8).prop_map(|(at, rack, weight)| Step::Advertisement { at, rack, weight }),
        1 => (0..2u8).prop_map(Step::NoAdvertisement),
        2 => (0..4u8, any::<bool>()).prop_map(|(at, alive)| Step::Member { at, alive }),
        6 => (0..6u8, 0..5u8, proptest::option::of(0..3u64)).prop_map(|(first, node, term)| Step::Claim { first, node, term }),
        1 => Just(Step::Forget),
    ]
}

fn changed_service(at: u8, first: u8, second: Option<u8>, is_local: bool, shared: bool) -> Service {
    let mut addresses = vec![format!("10.0.0.{first}")];
    addresses.extend(second.map(|second| format!("fc00::{second}")));
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let name = format!("s{at}");
    let mut service = if shared {
        sharing(&name, &addresses, 80 + u16::from(at))
    } else {
        service(&name, &addresses)
    };
    service.created = Some(i64::from(at % 3));
    if is_local {
        service.external_policy = TrafficPolicy::Local;
    }
    service
}

fn change(step: Step) -> Option<Change> {
    let node_name = |at: u8| format!("n{at}");
    Some(match step {
        Step::Service {
            at,
            first,
            second,
            local,
            shared,
        } => Change::Service(Delta::Upsert(stored(changed_service(
            at, first, second, local, shared,
        )))),
        Step::NoService(at) => Change::Service(Delta::Delete(service(&format!("s{at}"), &[]).name)),
        Step::Slice { at, node, ready } => Change::EndpointSlice(Delta::Upsert(stored(slice(
            &format!("s{at}"),
            vec![endpoint(Some(ready), None, &node_name(node))],
        )))),
        Step::NoSlice(at) => {
            Change::EndpointSlice(Delta::Delete(slice(&format!("s{at}"), Vec::new()).name))
        }
        Step::Node { at, excluded, rack } => {
            let mut with = labels(if rack { "rack=a" } else { "" });
            if excluded {
                with.insert(
                    "node.kubernetes.io/exclude-from-external-load-balancers".into(),
                    String::new(),
                );
            }
            let mut changed = node(&node_name(at), "");
            changed.labels = with;
            Change::Node(Delta::Upsert(stored(changed)))
        }
        Step::NoNode(at) => Change::Node(Delta::Delete(node(&node_name(at), "").name)),
        Step::Advertisement { at, rack, weight } => {
            let mut changed = advertisement(&format!("a{at}"));
            if rack {
                changed.node_selectors = vec![selector("rack=a")];
            }
            changed.preferred_nodes = vec![(i64::from(weight) + 1, selector("rack=a"))];
            Change::L2Advertisement(Delta::Upsert(stored(changed)))
        }
        Step::NoAdvertisement(at) => {
            Change::L2Advertisement(Delta::Delete(advertisement(&format!("a{at}")).name))
        }
        Step::Member { .. } | Step::Claim { .. } | Step::Forget => return None,
    })
}

fn same_plan(steps: Vec<Step>, placement: Placement) -> Result<(), TestCaseError> {
    let mut build = Build::new(&["n0", "n1", "n2", "n3"]);
    build.options.placement = placement;
    let mut elector = Elector::new(build.options.clone());
    for (at, step) in steps.into_iter().enumerate() {
        match &step {
            Step::Member { at, alive: true } => {
                build
                    .members
                    .alive
                    .insert(format!("n{at}"), Default::default());
            }
            Step::Member { at, alive: false } => {
                build.members.alive.remove(&format!("n{at}"));
            }
            Step::Claim { first, node, term } => {
                let family = if *term == Some(2) {
                    "fc00::"
                } else {
                    "10.0.0."
                };
                build.claim(&format!("{family}{first}"), &format!("n{node}"), *term);
            }
            Step::Forget => elector.forget(),
            _ => {}
        }
        if let Some(change) = change(step) {
            let touched = build.world.apply(change);
            elector.touch(&touched);
        }
        // Several changes are taken at once, as the brain does.
        if at % 3 == 0 {
            continue;
        }
        let (pools, ads) = build.config();
        elector.set_config(Arc::clone(&pools), ads);
        elector.set_members(&build.members);
        elector.update(&build.world);
        let (fresh, problems) = build.elect();
        prop_assert_eq!(elector.entries(), fresh);
        prop_assert_eq!(elector.problems(), problems);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_is_remembered_changes_no_answer(steps in proptest::collection::vec(step(), 1..60)) {
        same_plan(steps, Placement::MetalLb)?;
    }

    #[test]
    fn nor_under_the_bounded_share(steps in proptest::collection::vec(step(), 1..40)) {
        same_plan(steps, Placement::Fair)?;
    }

    // L2-84
    #[test]
    fn addresses_of_one_service_have_one_owner(steps in proptest::collection::vec(step(), 1..60)) {
        let mut build = Build::new(&["n0", "n1", "n2", "n3"]);
        for change in steps.into_iter().filter_map(change) {
            build.world.apply(change);
        }
        let elector = build.elector();
        for stored in build.world.services.iter() {
            let mut owners: Vec<_> = stored
                .object
                .addresses()
                .filter(|address| elector.keepers(*address).iter().any(|k| k.name == stored.object.name))
                .map(|address| elector.owner(address))
                .collect();
            owners.dedup();
            prop_assert!(owners.len() <= 1, "{owners:?}");
        }
    }
}

fn alive(nodes: u32) -> MembersView {
    MembersView {
        settled: true,
        alive: (0..nodes)
            .map(|at| (format!("node-{at}"), Default::default()))
            .collect(),
        ..MembersView::default()
    }
}

fn ready(world: &World, nodes: u32) -> Elector {
    let (pools, _) = config::pools(world, NAMESPACE);
    let (ads, _) = config::l2_advertisements(world, &pools, NAMESPACE);
    let mut elector = Elector::new(metallb());
    elector.set_config(Arc::new(pools), ads);
    elector.set_members(&alive(nodes));
    elector.update(world);
    elector
}

#[test]
fn one_change_looks_at_one_address() {
    let mut world = big::world(300, 20, NAMESPACE);
    let mut elector = ready(&world, 20);
    assert_eq!(elector.entries().len(), 300);
    assert!(elector.update(&world).is_empty(), "nothing changed");
    let touched = world.apply(big::endpoint_change(7, 20, false));
    elector.touch(&touched);
    assert!(
        elector.update(&world).is_empty(),
        "two endpoints are left: nothing to decide"
    );

    let mut moved = (*world
        .services
        .get(&service("service-7", &[]).name)
        .unwrap()
        .object)
        .clone();
    moved.external_policy = TrafficPolicy::Local;
    let touched = world.apply(Change::Service(Delta::Upsert(stored(moved))));
    elector.touch(&touched);
    assert_eq!(elector.update(&world).len(), 1);
    let touched = world.apply(big::endpoint_change(7, 20, true));
    elector.touch(&touched);
    assert_eq!(elector.update(&world).len(), 1);
}

#[test]
fn a_death_moves_only_what_the_dead_held() {
    let world = big::world(200, 5, NAMESPACE);
    let mut elector = ready(&world, 5);
    let before: Vec<_> = elector.entries();
    let mut members = alive(5);
    members.alive.remove("node-3");
    elector.set_members(&members);
    elector.update(&world);
    for (old, new) in before.iter().zip(elector.entries()) {
        if old.owner.as_deref() == Some("node-3") {
            assert_eq!(new.owner.as_ref(), old.candidates.get(1));
        } else {
            assert_eq!(new.owner, old.owner);
        }
    }
    let (pools, ads) = (elector_config(&world).0, elector_config(&world).1);
    let fresh = entries(&world, &pools, &ads, &members, &metallb()).0;
    assert_eq!(fresh, elector.entries());
}

/// Without the share, where one more address may move another that nobody holds yet.
fn metallb() -> ElectOptions {
    ElectOptions {
        placement: Placement::MetalLb,
        ..ElectOptions::default()
    }
}

fn elector_config(world: &World) -> (config::PoolSet, Vec<Arc<config::Advertisement>>) {
    let (pools, _) = config::pools(world, NAMESPACE);
    let (ads, _) = config::l2_advertisements(world, &pools, NAMESPACE);
    (pools, ads)
}

#[test]
fn labels_of_a_namespace_can_change_who_keeps_an_address() {
    let mut build = Build::new(&["n1"]);
    let mut pinned = pool("p", &["10.0.0.0/8"]);
    pinned.service_allocation = Some(crate::world::ServiceAllocation {
        namespace_selectors: vec![selector("team=a")],
        ..Default::default()
    });
    build.add(Change::Pool(Delta::Upsert(stored(pinned))));
    let namespace = |name: &str, with: &str| {
        Change::Namespace(Delta::Upsert(stored(crate::world::Namespace {
            name: crate::name::NamespacedName::new("", name),
            labels: labels(with),
        })))
    };
    build
        .add(namespace("default", "team=a"))
        .add(namespace("other", ""));
    let mut older = service("web", &["10.0.0.1"]);
    older.created = Some(1);
    older.name.namespace = "other".into();
    build.service(older).service(service("web", &["10.0.0.1"]));

    let mut elector = build.elector();
    let keeper = |elector: &Elector| {
        elector.entries()[0]
            .services
            .iter()
            .map(|name| name.namespace.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(keeper(&elector), ["default"], "the other may not have it");
    let touched = build.world.apply(namespace("other", "team=a"));
    elector.touch(&touched);
    assert_eq!(elector.update(&build.world).len(), 1);
    assert_eq!(keeper(&elector), ["other"], "it may now, and is older");
    assert_eq!(elector.entries(), build.elect().0);
}
