//! A world of a given size, for measuring: 10,000 Services × 200 nodes is the target's.
//!
//! Owns the shape of that world. Used by `make bench` and tests, never by a role.

use crate::name::NamespacedName;
use crate::world::{
    Change, Delta, Endpoint, EndpointSlice, Ingress, IpAddressPool, L2Advertisement, Node, Origin,
    Service, Stored, World,
};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Nodes `node-0` …, one pool of 10.0.0.0/8 and one advertisement of it in `namespace`,
/// and Services `default/service-0` … with an address and three endpoints each.
pub fn world(services: u32, nodes: u32, namespace: &str) -> World {
    let mut world = World::default();
    let pool = IpAddressPool {
        name: NamespacedName::new(namespace, "pool"),
        addresses: vec!["10.0.0.0/8".into()],
        auto_assign: true,
        ..IpAddressPool::default()
    };
    let advertisement = L2Advertisement {
        name: NamespacedName::new(namespace, "all"),
        ..L2Advertisement::default()
    };
    let node = |index| Node {
        name: NamespacedName::new("", format!("node-{index}")),
        ..Node::default()
    };
    world.apply(Change::Pool(reset(vec![pool])));
    world.apply(Change::L2Advertisement(reset(vec![advertisement])));
    world.apply(Change::Node(reset((0..nodes).map(node).collect())));
    world.apply(Change::Service(reset((0..services).map(service).collect())));
    let slices = (0..services)
        .map(|index| slice(index, nodes, true))
        .collect();
    world.apply(Change::EndpointSlice(reset(slices)));
    world
}

/// One endpoint of one Service ready or not: the change whose cost is measured.
pub fn endpoint_change(index: u32, nodes: u32, ready: bool) -> Change {
    Change::EndpointSlice(Delta::Upsert(stored(slice(index, nodes, ready))))
}

fn service(index: u32) -> Service {
    Service {
        name: NamespacedName::new("default", format!("service-{index}")),
        uid: format!("uid-{index}"),
        created: Some(i64::from(index)),
        load_balancer: true,
        ingress: vec![Ingress {
            ip: Some(address(index)),
            hostname: None,
            ip_mode: Some("VIP".into()),
        }],
        ..Service::default()
    }
}

/// 10.1.0.0 upwards.
fn address(index: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a01_0000 | (index & 0x00ff_ffff)))
}

fn slice(index: u32, nodes: u32, first_ready: bool) -> EndpointSlice {
    let endpoint = |at: u32| Endpoint {
        ready: Some(at > 0 || first_ready),
        serving: None,
        node: Some(format!("node-{}", (index + at) % nodes.max(1)).into()),
    };
    EndpointSlice {
        name: NamespacedName::new("default", format!("service-{index}-x")),
        service: format!("service-{index}").into(),
        endpoints: (0..3).map(endpoint).collect(),
    }
}

fn stored<T>(object: T) -> Stored<T> {
    Stored {
        object: Arc::new(object),
        origin: Origin::default(),
    }
}

fn reset<T>(objects: Vec<T>) -> Delta<T> {
    Delta::Reset {
        objects: objects.into_iter().map(stored).collect(),
        epoch: 0,
    }
}
