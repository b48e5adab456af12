//! The hops between the address and the node: advertisements, candidates, who answers.

use std::net::IpAddr;

use engine::plan::{InterfaceSet, L2Entry, Refusal};
use engine::world::{Service, World};

use super::{Hop, Origin};
use crate::plan::Plan;

/// Refusals told one by one; more are counted.
const REFUSALS_SHOWN_MAX: usize = 20;

pub(super) fn hops(
    world: &World,
    plan: &Plan,
    service: &Service,
    addresses: &[IpAddr],
    origin: Origin,
) -> Vec<Hop> {
    let mut hops = Vec::new();
    for address in addresses {
        let entry = plan.l2.iter().find(|entry| entry.address == *address);
        let Some(entry) = entry else {
            hops.push(no_entry(world, *address));
            continue;
        };
        hops.push(advertisement(world, entry));
        hops.push(announcer(world, service, entry, origin));
    }
    hops
}

fn no_entry(world: &World, address: IpAddr) -> Hop {
    let (evidence, mend) = if world.l2_advertisements.is_empty() {
        (
            "there is no L2Advertisement, so nobody answers for it".to_owned(),
            "create an L2Advertisement; one with an empty spec is for every pool",
        )
    } else {
        (
            "it is not announced".to_owned(),
            "look at the problems of `harbinger plan`",
        )
    };
    Hop::broken(
        "advertisement",
        vec![format!("{address}: {evidence}")],
        mend,
    )
}

fn advertisement(world: &World, entry: &L2Entry) -> Hop {
    const HOP: &str = "advertisement";
    let names: Vec<&str> = world
        .l2_advertisements
        .iter()
        .map(|stored| stored.object.name.name.as_str())
        .collect();
    let nobody = entry.candidates.is_empty()
        && !entry.refusals.is_empty()
        && entry
            .refusals
            .values()
            .all(|refusal| *refusal == Refusal::NoMatchingAdvertisement);
    if nobody {
        let evidence = format!(
            "{}: none of {} selects its pool, this Service and a node",
            entry.address,
            names.join(", ")
        );
        return Hop::broken(
            HOP,
            vec![evidence],
            "name its pool in spec.ipAddressPools of an L2Advertisement, or widen its selectors",
        );
    }
    let interfaces = match &entry.interfaces {
        InterfaceSet::All => "every usable interface".to_owned(),
        InterfaceSet::Named(names) if names.is_empty() => "no interface".to_owned(),
        InterfaceSet::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    Hop::ok(
        HOP,
        vec![format!("{} is advertised on {interfaces}", entry.address)],
    )
}

fn announcer(world: &World, service: &Service, entry: &L2Entry, origin: Origin) -> Hop {
    const HOP: &str = "announcer";
    let mut evidence = Vec::new();
    match &entry.owner {
        Some(owner) => evidence.push(format!("node {owner} answers for {}", entry.address)),
        None => evidence.push(format!("no node may answer for {}", entry.address)),
    }
    for claim in &entry.claims {
        let node = &claim.node;
        evidence.push(match entry.owner.as_deref() == Some(&**node) {
            true => format!("{node} holds it, and keeps it as long as it lives and may"),
            false => format!("{node} says that it holds it, and gives it up"),
        });
    }
    let next: Vec<&str> = entry
        .candidates
        .iter()
        .filter(|node| Some(*node) != entry.owner.as_ref())
        .map(String::as_str)
        .collect();
    if !next.is_empty() {
        evidence.push(format!("after it: {}", next.join(", ")));
    }
    for (node, refusal) in entry.refusals.iter().take(REFUSALS_SHOWN_MAX) {
        evidence.push(format!(
            "{node} refuses: {} ({})",
            refusal.as_str(),
            words(*refusal)
        ));
    }
    if let Some(more) = entry
        .refusals
        .len()
        .checked_sub(REFUSALS_SHOWN_MAX)
        .filter(|n| *n > 0)
    {
        evidence.push(format!("and {more} more nodes refuse"));
    }
    evidence.extend(statuses(world, service, entry, origin));
    if entry.owner.is_some() {
        return Hop::ok(HOP, evidence);
    }
    Hop::broken(HOP, evidence, mend(world, entry))
}

/// What the speakers say they do.
fn statuses(world: &World, service: &Service, entry: &L2Entry, origin: Origin) -> Vec<String> {
    if origin == Origin::Manifests {
        return Vec::new();
    }
    let nodes: Vec<&str> = world
        .l2_statuses
        .iter()
        .filter(|stored| stored.object.service == service.name)
        .map(|stored| stored.object.node.as_str())
        .collect();
    let says = match (nodes.as_slice(), &entry.owner) {
        ([], _) => "no speaker says that it announces it".to_owned(),
        ([one], Some(owner)) if one == owner => {
            format!("the speaker of {one} says that it announces it")
        }
        (some, _) => format!(
            "the speakers of {} say that they announce it (from here every node counts as alive)",
            some.join(", ")
        ),
    };
    vec![says]
}

fn mend(world: &World, entry: &L2Entry) -> String {
    if world.nodes.is_empty() {
        return "there is no Node among the objects".to_owned();
    }
    // The refusal most nodes share is the one to begin with.
    let mut counts = std::collections::BTreeMap::new();
    for refusal in entry.refusals.values() {
        *counts.entry(*refusal).or_insert(0_usize) += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    match most.map(|(refusal, _)| refusal) {
        Some(Refusal::NoEndpoints) => "make one of its Pods ready; see the hop endpoints",
        Some(Refusal::NoLocalEndpoints) => {
            "with externalTrafficPolicy: Local only nodes with a ready Pod answer; run one on a node that may, or use Cluster"
        }
        Some(Refusal::NodeNetworkUnavailable) => "mend the nodes' network (condition NetworkUnavailable)",
        Some(Refusal::NodeLabeledExcludeBalancers) => {
            "remove the label node.kubernetes.io/exclude-from-external-load-balancers, or run the speakers with --ignore-exclude-lb"
        }
        Some(Refusal::NoMatchingAdvertisement) => {
            "widen nodeSelectors or serviceSelectors of the L2Advertisement"
        }
        Some(Refusal::SharedIpWithServiceSelector) => {
            "a shared address cannot be advertised with serviceSelectors; remove one of the two"
        }
        Some(Refusal::NotAlive) => "start the speakers; see --members",
        Some(Refusal::NoUsableInterface) => {
            "name interfaces in the L2Advertisement that the nodes have, or bring them up"
        }
        Some(Refusal::Maintenance) => {
            "take the annotation harbinger.dev/maintenance off the nodes"
        }
        Some(Refusal::Unhealthy) => {
            "look at `harbinger health`: no node's kube-proxy is well, and the Service's panic policy is withdraw"
        }
        Some(Refusal::Leaving | Refusal::Isolated) => {
            "look at the speakers' log: they stop, or reach neither the others nor their gateway"
        }
        Some(Refusal::SharedServiceElsewhere) => {
            "the Services on this address have no node in common; give them Pods on one, or use externalTrafficPolicy: Cluster"
        }
        Some(Refusal::NotOwner | Refusal::ConflictingAdvertisements) | None => {
            "look at the problems of `harbinger plan`"
        }
    }
    .to_owned()
}

fn words(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotOwner => "another node is first",
        Refusal::NoMatchingAdvertisement => "no L2Advertisement selects it for this Service",
        Refusal::NoEndpoints => "no endpoint anywhere can serve",
        Refusal::NoLocalEndpoints => "policy Local and no ready endpoint on it",
        Refusal::NodeNetworkUnavailable => "its network is unavailable",
        Refusal::NodeLabeledExcludeBalancers => "its label excludes it from load balancers",
        Refusal::SharedIpWithServiceSelector => "a shared address under serviceSelectors",
        Refusal::ConflictingAdvertisements => "two advertisements disagree",
        Refusal::NotAlive => "it is not alive",
        Refusal::NoUsableInterface => "none of its interfaces is selected and usable",
        Refusal::Leaving => "its speaker is about to stop",
        Refusal::Isolated => "it is cut off from most speakers and from its gateway",
        Refusal::Maintenance => "its annotation harbinger.dev/maintenance says so",
        Refusal::Unhealthy => {
            "its health says that it is to get no new connections (`harbinger health`), or it is being removed"
        }
        Refusal::SharedServiceElsewhere => "another Service on the same address refuses it",
    }
}
