//! The sessions of every node, as the contract writes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::config;
use engine::config::PoolSet;
use engine::elect::{ElectOptions, Elector};
use engine::facts::MembersView;
use engine::name::NamespacedName;
use engine::plan::Refusal;
use engine::problem::Problem;
use engine::routes::{Routes, Session};
use engine::world::World;

/// One session of one node.
#[derive(Clone, Debug)]
pub struct NodeSession {
    /// The node.
    pub node: String,
    /// With whom, and what is told.
    pub session: Session,
    /// Services that hold an address and are not told, by name.
    pub refusals: Vec<(NamespacedName, Refusal)>,
}

/// Every session that exists on a live node, by node and peer, and what is wrong with
/// what they are made from. `elector` has been updated for this world.
pub(super) fn sessions(
    world: &World,
    pools: &Arc<PoolSet>,
    elector: &Elector,
    members: &MembersView,
    options: &ElectOptions,
    namespace: &str,
) -> (Vec<NodeSession>, Vec<Problem>) {
    let (config, mut problems) = config::bgp::bgp(world, pools, namespace);
    let config = Arc::new(config);
    let mut sessions = Vec::new();
    for node in world.nodes.iter().map(|stored| &stored.object.name.name) {
        let alive = members.off || members.alive.contains_key(node.as_str());
        if !alive || config.peers.is_empty() {
            continue;
        }
        let mut routes = Routes::new(node.as_str(), options.clone());
        routes.set_config(Arc::clone(pools), Arc::clone(&config));
        routes.update(world, elector, &BTreeSet::new());
        for (peer, session) in routes.sessions() {
            let refusals = routes.refusals(peer);
            sessions.push(NodeSession {
                node: node.to_string(),
                session: session.clone(),
                refusals: refusals.map(|(name, why)| (name.clone(), why)).collect(),
            });
        }
        problems.extend(routes.problems());
    }
    (sessions, problems)
}
