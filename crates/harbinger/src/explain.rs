//! `explain svc`: the way of a client's packet, hop by hop, with the evidence that the objects give.
//!
//! Owns the order of the hops and the words. Every judgement is the engine's: the same decisions that the
//! controller and the speakers make are asked for one Service. It grows with what there is to walk through.

mod announce;
mod front;
mod text;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;

use engine::alloc::{Change, Decision};
use engine::name::NamespacedName;
use engine::world::{Service, World};
use serde::Serialize;

use crate::plan::Plan;

pub use front::Seen;

/// How a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The packet gets past it.
    Ok,
    /// It ends here.
    Broken,
    /// The objects do not tell.
    Unknown,
}

/// One hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// `service`, `address`, `advertisement`, `announcer`, `front`, `node port`, `endpoints`.
    pub hop: &'static str,
    /// How it is.
    pub state: State,
    /// What the objects say, a line each.
    pub evidence: Vec<String>,
    /// What to do, when it is broken.
    pub mend: Option<String>,
}

impl Hop {
    fn ok(hop: &'static str, evidence: Vec<String>) -> Self {
        Self {
            hop,
            state: State::Ok,
            evidence,
            mend: None,
        }
    }

    fn broken(hop: &'static str, evidence: Vec<String>, mend: impl Into<String>) -> Self {
        Self {
            hop,
            state: State::Broken,
            evidence,
            mend: Some(mend.into()),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// `harbinger.dev/explain/v1`.
    pub api_version: &'static str,
    /// The Service.
    pub service: String,
    /// From the client on.
    pub hops: Vec<Hop>,
    /// The first hop that is broken.
    pub broken: Option<&'static str>,
}

impl Explanation {
    /// For a person.
    pub fn text(&self) -> String {
        text::text(self)
    }
}

/// Where the objects are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Manifests: what is planned counts as done.
    Manifests,
    /// A live cluster: what is planned and not in a status is not done.
    Cluster,
}

/// Walks the path of one Service; none when there is no such Service. `world` is as it was read, `plan` what
/// was made of it, `seen` what the speaker on this host says.
pub fn explain(
    world: &World,
    plan: &Plan,
    name: &NamespacedName,
    origin: Origin,
    seen: &Seen,
) -> Option<Explanation> {
    let before = &world.services.get(name)?.object;
    let service = &plan.world.services.get(name)?.object;
    let decision = plan.decisions.get(name)?;
    let mut hops = vec![kind(before, decision)];
    if hops.iter().all(|hop| hop.state == State::Ok) {
        hops.push(address(world, decision, origin));
        let addresses = shown(decision, origin);
        if !addresses.is_empty() {
            hops.extend(announce::hops(world, plan, service, &addresses, origin));
        }
        hops.push(front::hop(world, plan, service, seen));
        hops.push(node_port(service));
        hops.push(endpoints(world, service));
    }
    let broken = hops
        .iter()
        .find(|hop| hop.state == State::Broken)
        .map(|hop| hop.hop);
    Some(Explanation {
        api_version: "harbinger.dev/explain/v1",
        service: name.to_string(),
        hops,
        broken,
    })
}

/// The addresses a client can know.
fn shown(decision: &Decision, origin: Origin) -> Vec<IpAddr> {
    match origin {
        Origin::Manifests => decision.addresses.clone(),
        Origin::Cluster => decision.previous.clone(),
    }
}

fn kind(service: &Service, decision: &Decision) -> Hop {
    const HOP: &str = "service";
    if !service.load_balancer {
        return Hop::broken(
            HOP,
            vec!["its type is not LoadBalancer".to_owned()],
            "set spec.type: LoadBalancer",
        );
    }
    if decision.change == Change::Ignored {
        let class = service.class.as_deref();
        return Hop::broken(
            HOP,
            vec![match class {
                Some(class) => format!("its loadBalancerClass is {class:?}, which is not ours"),
                None => "it has no loadBalancerClass, and we serve one class only".to_owned(),
            }],
            "set spec.loadBalancerClass to the class of --lb-class (it can only be set at creation), or ask with --lb-class",
        );
    }
    let mut evidence = vec!["it is of type LoadBalancer and of our class".to_owned()];
    if service.deleting {
        evidence.push("it is being deleted".to_owned());
    }
    Hop::ok(HOP, evidence)
}

fn address(world: &World, decision: &Decision, origin: Origin) -> Hop {
    const HOP: &str = "address";
    let mut evidence = Vec::new();
    if !decision.previous.is_empty() {
        evidence.push(format!("its status shows {}", list(&decision.previous)));
    }
    if let Some(message) = &decision.message {
        evidence.push(message.clone());
    }
    let pool = decision.pool.as_deref().unwrap_or("none");
    match decision.change {
        Change::Kept => {
            evidence.push(format!("which is of pool {pool:?} and may be kept"));
            Hop::ok(HOP, evidence)
        }
        Change::Pending | Change::Cleared | Change::None | Change::Ignored => {
            evidence.insert(0, "no address can be given".to_owned());
            Hop::broken(HOP, evidence, mend_address(world))
        }
        Change::Assigned | Change::Added | Change::Reassigned => {
            evidence.push(format!(
                "{} of pool {pool:?} is what it should have",
                list(&decision.addresses)
            ));
            match origin {
                Origin::Manifests => Hop::ok(HOP, evidence),
                Origin::Cluster => Hop::broken(
                    HOP,
                    evidence,
                    "the status is not written: is a controller running and leading? (`kubectl -n metallb-system get pods,lease`)",
                ),
            }
        }
    }
}

fn mend_address(world: &World) -> String {
    if world.pools.is_empty() {
        "create an IPAddressPool".to_owned()
    } else {
        "make one of the pools fit: each line above says why it refuses".to_owned()
    }
}

fn node_port(service: &Service) -> Hop {
    const HOP: &str = "node port";
    if service.ports.is_empty() {
        return Hop::broken(HOP, vec!["it has no port".to_owned()], "add spec.ports");
    }
    let evidence = service.ports.iter().map(|port| {
        let to = port.node_port.map_or_else(
            || "no NodePort".to_owned(),
            |node| format!("NodePort {node}"),
        );
        format!("{} {}: {to}", port.protocol.as_str(), port.port)
    });
    Hop {
        hop: HOP,
        state: State::Unknown,
        evidence: evidence
            .chain(["kube-proxy's rules on the node are not among the objects".to_owned()])
            .collect(),
        mend: None,
    }
}

fn endpoints(world: &World, service: &Service) -> Hop {
    const HOP: &str = "endpoints";
    let slices = world.endpoint_slices.iter().filter(|stored| {
        let slice = &stored.object;
        slice.service == service.name.name && slice.name.namespace == service.name.namespace
    });
    let (mut serving, mut other) = (0_usize, 0_usize);
    let mut nodes = BTreeSet::new();
    for endpoint in slices.flat_map(|stored| stored.object.endpoints.iter()) {
        if endpoint.can_serve() {
            serving += 1;
            nodes.extend(endpoint.node.clone());
        } else {
            other += 1;
        }
    }
    if serving == 0 {
        let evidence = format!("no endpoint can serve; {other} are not ready");
        let mend = if other == 0 {
            "check that spec.selector matches the labels of running Pods"
        } else {
            "look at the Pods' readiness probes (`kubectl describe pod`)"
        };
        return Hop::broken(HOP, vec![evidence], mend);
    }
    let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    let mut evidence = vec![format!("{serving} can serve, on {}", nodes.join(", "))];
    if other > 0 {
        evidence.push(format!("{other} are not ready"));
    }
    Hop::ok(HOP, evidence)
}

fn list(addresses: &[IpAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(" and ")
}
