//! Nodes that speak to a router on their LAN.

use std::net::IpAddr;

use tests::fleet::{self, Fleet};
use tests::lab::Topology;

/// The router: the client of the usual lab.
pub(crate) const ROUTER: &str = "192.0.2.100";
/// Its other address.
pub(crate) const ROUTER_V6: &str = "2001:db8:2::100";
/// The pool, not on the LAN: only BGP leads there.
pub(crate) const POOL: [&str; 2] = ["203.0.113.0/24", "2001:db8:113::/120"];
/// The first address of it as a route.
pub(crate) const FIRST: &str = "203.0.113.0/32";
/// The same of the other family.
pub(crate) const FIRST_V6: &str = "2001:db8:113::/128";
/// Our system, and the router's.
pub(crate) const OURS: u32 = 64512;
pub(crate) const THEIRS: u32 = 64513;

/// `nodes` nodes with a pool that is told to routers, and these peers.
pub(crate) fn fleet(nodes: usize, peers: &str) -> Fleet {
    let fleet = Fleet::new(nodes).unwrap();
    let addresses: Vec<String> = POOL.iter().map(|a| format!("\"{a}\"")).collect();
    let pool = format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n\
         metadata: {{name: far, namespace: metallb-system}}\nspec: {{addresses: [{}]}}\n---\n\
         apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\n\
         metadata: {{name: far, namespace: metallb-system}}\n\
         spec: {{communities: [\"{OURS}:7\"], localPref: 150}}\n",
        addresses.join(", ")
    );
    fleet.write("pool.yaml", &pool).unwrap();
    fleet.write("peers.yaml", peers).unwrap();
    fleet
}

/// One peer; `more` are further fields of its spec.
pub(crate) fn peer(name: &str, address: &str, more: &str) -> String {
    format!(
        "---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {{name: {name}, namespace: metallb-system}}\n\
         spec: {{myASN: {OURS}, peerASN: {THEIRS}, peerAddress: \"{address}\"{more}}}\n"
    )
}

/// A Service that every node can serve.
pub(crate) fn service(name: &str, dual: bool, nodes: usize) -> String {
    fleet::service(name, dual, nodes)
}

pub(crate) fn node(n: usize) -> IpAddr {
    Topology::node_ipv4(n).parse().unwrap()
}

pub(crate) fn node_v6(n: usize) -> IpAddr {
    Topology::node_ipv6(n).parse().unwrap()
}

/// FRR with these nodes as neighbours; `more` are lines for each, with {} for its address.
pub(crate) fn frr(nodes: usize, more: &[&str]) -> String {
    let mut text = format!(
        "router bgp {THEIRS}\n bgp router-id {ROUTER}\n no bgp ebgp-requires-policy\n bgp bestpath as-path multipath-relax\n"
    );
    for n in 0..nodes {
        let address = node(n);
        text += &format!(" neighbor {address} remote-as {OURS}\n");
        for line in more {
            text += &format!(" {}\n", line.replace("{}", &address.to_string()));
        }
    }
    text + "exit\n"
}

/// BIRD with these nodes as neighbours; `more` goes into each protocol.
pub(crate) fn bird(nodes: usize, more: &str) -> String {
    let mut text = format!(
        "router id {ROUTER};\nprotocol device {{}}\n\
         protocol bfd {{ interface \"*\" {{ interval 100 ms; multiplier 3; }}; }}\n"
    );
    for n in 0..nodes {
        text += &format!(
            "protocol bgp node{n} {{ local {ROUTER} as {THEIRS}; neighbor {} as {OURS}; {more} \
             ipv4 {{ import all; export none; }}; }}\n",
            node(n)
        );
    }
    text
}

/// GoBGP with these nodes as neighbours.
pub(crate) fn gobgp(nodes: usize) -> String {
    let mut text = format!("[global.config]\n  as = {THEIRS}\n  router-id = \"{ROUTER}\"\n");
    for n in 0..nodes {
        text += &format!(
            "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{}\"\n    peer-as = {OURS}\n",
            node(n)
        );
    }
    text
}
