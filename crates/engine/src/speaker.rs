//! The speaker's brain: what this node announces, as a machine.
//!
//! Owns the world as this node sees it, the facts, the election's memory and the queue of
//! its own writes. Turns changes and facts into one [`Desired`] for the wire. Does not
//! touch sockets or the API; with the API gone the world simply stays, and what is
//! announced goes on.
//!
//! ```text
//!   Change, Facts ──► Speaker ──► Desired (to the wire), writes (to the cluster)
//! ```

mod bgp_statuses;
mod conflicts;
mod desired;
mod discovery;
mod forwarding;
mod judged;
mod own;
mod probing;
mod statuses;

#[cfg(test)]
pub(crate) mod tests;

pub use bgp_statuses::BgpStatusMode;
pub use desired::{Desired, MemberKeys};
pub use discovery::Discovery;
pub use probing::Probes;

use crate::config::{self, FrontProfiles, PoolSet};
use crate::elect::{ElectOptions, Elector, Placement};
use crate::facts::{Conflict, Facts};
use crate::forward::ForwardOptions;
use crate::interfaces::{Exclusion, selected};
use crate::name::{Kind, NamespacedName};
use crate::plan::{InterfaceSet, L2Entry, NodePlan};
use crate::problem::{Problem, Severity, reason};
use crate::routes::{Routes, Session};
use crate::world::{Change, Touched, World};
use crate::write::{Outcome, Queue, QueueConfig, Ticket, Write};
use bgp_statuses::BgpStatuses;
use forwarding::Forwarding;
use judged::Judged;
use own::Own;
use probing::Probing;
use statuses::Statuses;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// What a speaker is told once.
#[derive(Clone, Debug)]
pub struct SpeakerConfig {
    /// This node's name.
    pub node: String,
    /// Our namespace.
    pub namespace: String,
    /// `--lb-class`.
    pub lb_class: Option<String>,
    /// `--ignore-exclude-lb`.
    pub ignore_exclude: bool,
    /// How the owner is picked.
    pub placement: Placement,
    /// Whether ServiceBGPStatuses are written.
    pub bgp_statuses: BgpStatusMode,
    /// Where members are found.
    pub discovery: Discovery,
    /// Name of the Secret with the membership key.
    pub secret_name: String,
    /// Bounds of writing.
    pub queue: QueueConfig,
    /// Who takes the packets, and where this machine stands.
    pub forward: ForwardOptions,
    /// Whether the health of nodes is looked at.
    pub probes: Probes,
}

impl SpeakerConfig {
    /// The defaults, without membership.
    pub fn new(node: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            node: node.into(),
            namespace: namespace.into(),
            lb_class: None,
            ignore_exclude: false,
            placement: Placement::Fair,
            bgp_statuses: BgpStatusMode::Auto,
            discovery: Discovery::Off,
            secret_name: "memberlist".into(),
            queue: QueueConfig::default(),
            forward: ForwardOptions::default(),
            probes: Probes::default(),
        }
    }
}

/// The kinds a speaker watches.
pub const KINDS: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::BfdProfile,
    Kind::Community,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::Pod,
    Kind::Secret,
    Kind::ConfigMap,
    Kind::ServiceL2Status,
    Kind::ServiceBgpStatus,
    Kind::BgpSessionState,
    Kind::FrontProfile,
    Kind::ConfigurationState,
];

/// Those without which nothing is planned; the others only feed the membership and the
/// statuses.
const PLANNED_FROM: &[Kind] = &[
    Kind::Namespace,
    Kind::Node,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::Service,
    Kind::EndpointSlice,
    Kind::ConfigMap,
];

/// Those without which no session with a router begins, beside [`PLANNED_FROM`]: a peer
/// whose Secret has not come yet is not a peer without a password (BGP-07, BGP-135).
const ROUTED_FROM: &[Kind] = &[
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::BfdProfile,
    Kind::Community,
    Kind::Secret,
];

/// ConfigMap and key of the exclusion list (compat/metallb.md 2.9).
const EXCLUSION: (&str, &str) = ("metallb-excludel2", "excludel2.yaml");

/// See the module.
pub struct Speaker {
    config: SpeakerConfig,
    world: World,
    facts: Facts,
    elector: Elector,
    routes: Routes,
    /// The sessions as last published; the pointer changes only when they do.
    sessions: Arc<BTreeMap<String, Session>>,
    pools: Arc<PoolSet>,
    profiles: Arc<FrontProfiles>,
    config_problems: Vec<Problem>,
    exclusion: Exclusion,
    exclusion_error: Option<String>,
    own: Own,
    statuses: Statuses,
    bgp_statuses: BgpStatuses,
    forwarding: Forwarding,
    probing: Probing,
    judged: Judged,
    told_conflicts: Arc<BTreeMap<Conflict, u64>>,
    /// The newest plan; published as part of `desired`.
    plan: Arc<NodePlan>,
    desired: Arc<Desired>,
    queue: Queue,
    stale: Stale,
    /// A plan has been made from a complete view.
    planned: bool,
}

/// What has to be made again at the next turn.
#[derive(Clone, Debug)]
struct Stale {
    config: bool,
    interfaces: bool,
    members: bool,
    world: bool,
    statuses: BTreeSet<NamespacedName>,
    session_states: bool,
    configuration_state: bool,
}

impl Speaker {
    /// Nothing known, nothing planned.
    pub fn new(config: SpeakerConfig, seed: u64, now: Instant) -> Self {
        let options = ElectOptions {
            placement: config.placement,
            ignore_exclude: config.ignore_exclude,
            interfaces_known: true,
            lb_class: config.lb_class.clone(),
            outside: config.forward.outside.then(|| config.node.clone()),
        };
        Self {
            queue: Queue::new(config.queue.clone(), seed, now),
            elector: Elector::new(options.clone()),
            routes: Routes::new(config.node.as_str(), options),
            sessions: Arc::default(),
            config,
            world: World::default(),
            facts: Facts::default(),
            pools: Arc::default(),
            profiles: Arc::default(),
            config_problems: Vec::new(),
            exclusion: Exclusion::default(),
            exclusion_error: None,
            own: Own::default(),
            statuses: Statuses::default(),
            bgp_statuses: BgpStatuses::default(),
            forwarding: Forwarding::default(),
            probing: Probing::new(seed),
            judged: Judged::default(),
            told_conflicts: Arc::default(),
            plan: Arc::default(),
            desired: Arc::default(),
            stale: Stale {
                config: true,
                interfaces: true,
                members: true,
                world: true,
                statuses: BTreeSet::new(),
                session_states: false,
                configuration_state: true,
            },
            planned: false,
        }
    }

    /// One change of the world; [`Self::turn`] makes something of it.
    pub fn handle_change(&mut self, change: Change) {
        let touched = self.world.apply(change);
        if touched.listed {
            // A first list completes the view even when it is empty.
            self.stale.world = true;
            self.stale.configuration_state = true;
        }
        self.note(&touched);
    }

    fn note(&mut self, touched: &Touched) {
        self.elector.touch(touched);
        self.routes.touch(touched);
        self.note_fronted(touched);
        let listed = touched.listed;
        match touched.kind {
            Some(
                Kind::IpAddressPool
                | Kind::L2Advertisement
                | Kind::BgpAdvertisement
                | Kind::BgpPeer
                | Kind::BfdProfile
                | Kind::Community
                | Kind::FrontProfile,
            ) => self.stale.config = true,
            Some(Kind::ServiceL2Status) => {
                let services =
                    self.statuses
                        .seen(&self.world, touched, &self.config.node, &mut self.queue);
                self.stale.statuses.extend(services);
                if listed {
                    self.stale.statuses.extend(self.own.services().cloned());
                    self.stale
                        .statuses
                        .extend(self.statuses.services().cloned());
                }
            }
            Some(Kind::ServiceBgpStatus) => {
                let (world, node) = (&self.world, &self.config.node);
                self.bgp_statuses
                    .seen(world, touched, node, &mut self.queue);
            }
            Some(Kind::BgpSessionState) => {
                self.stale.session_states = true;
                self.session_states_seen(touched);
            }
            Some(Kind::ConfigurationState) => {
                self.stale.configuration_state = true;
                self.statuses
                    .state_seen(&self.config, touched, &mut self.queue);
            }
            Some(Kind::Pod) => self.stale.members = true,
            // The membership's key, or a peer's password.
            Some(Kind::Secret) => {
                self.stale.members = true;
                self.stale.config = true;
            }
            None => self.stale.configuration_state = true,
            _ => {}
        }
        self.stale.world |= !touched.names.is_empty();
    }

    /// Everything the node knows of itself and its fellows now.
    pub fn handle_facts(&mut self, facts: Facts) {
        self.stale.interfaces |= self.facts.interfaces != facts.interfaces;
        self.stale.members |= self.facts.members != facts.members;
        self.stale.session_states |= self.facts.sessions != facts.sessions;
        let answered = self.facts.announced != facts.announced;
        self.facts = facts;
        if answered {
            self.note_answered();
        }
    }

    /// The text of the exclusion list's ConfigMap, which is YAML: the shell parses it and
    /// calls [`Self::set_exclusion`]; none when there is none.
    pub fn exclusion_text(&self) -> Option<&str> {
        let (name, key) = EXCLUSION;
        let name = NamespacedName::new(self.config.namespace.as_str(), name);
        let stored = self.world.config_maps.get(&name)?;
        stored.object.data.get(key).map(String::as_str)
    }

    /// The list `announcedInterfacesToExclude`, or why it cannot be read; none for
    /// MetalLB's default. A list that does not parse is told and the old one kept (L2-42).
    pub fn set_exclusion(&mut self, list: Option<Result<Vec<String>, String>>) {
        let parsed = match list {
            None => Ok(Exclusion::default()),
            Some(list) => list.and_then(|patterns| Exclusion::parse(&patterns)),
        };
        let error = match parsed {
            Ok(exclusion) => {
                self.stale.interfaces |= self.exclusion != exclusion;
                self.exclusion = exclusion;
                None
            }
            Err(why) => Some(why),
        };
        self.stale.configuration_state |= self.exclusion_error != error;
        self.exclusion_error = error;
    }

    /// Makes one plan and the writes it asks for out of all that came since the last turn.
    pub fn turn(&mut self, now: Instant) {
        let config = std::mem::take(&mut self.stale.config);
        if config {
            self.read_config();
        }
        self.follow_fronted(config);
        let interfaces = std::mem::take(&mut self.stale.interfaces);
        let members = std::mem::take(&mut self.stale.members);
        let world = std::mem::take(&mut self.stale.world);
        // Any object may have become readable or unreadable.
        self.stale.configuration_state |= world;
        if self.is_complete() && (config || interfaces || members || world) {
            self.plan(interfaces);
        } else {
            // What was not looked at must not be forgotten.
            self.stale.interfaces |= interfaces;
            self.stale.members |= members;
            self.stale.world |= world;
        }
        let changed = config || interfaces || members || world;
        if changed {
            self.publish();
        }
        self.probe(config || members || world, now);
        self.judge(changed);
        self.decide_forward(changed);
        self.tell_conflicts();
        self.want_statuses(now);
        self.want_bgp_statuses(config || world, now);
        if std::mem::take(&mut self.stale.session_states) {
            self.want_session_states(now);
        }
        if std::mem::take(&mut self.stale.configuration_state) {
            self.want_configuration_state(now);
        }
    }

    fn read_config(&mut self) {
        let namespace = &self.config.namespace;
        let (pools, mut problems) = config::pools(&self.world, namespace);
        let (ads, more) = config::l2_advertisements(&self.world, &pools, namespace);
        problems.extend(more);
        let (bgp, more) = config::bgp::bgp(&self.world, &pools, namespace);
        problems.extend(more);
        let (profiles, more) = config::front_profiles(&self.world, &pools, namespace);
        problems.extend(more);
        self.profiles = Arc::new(profiles);
        self.elector.set_profiles(Arc::clone(&self.profiles));
        self.pools = Arc::new(pools);
        self.routes
            .set_config(Arc::clone(&self.pools), Arc::new(bgp));
        self.config_problems = problems;
        self.elector.set_config(Arc::clone(&self.pools), ads);
        self.stale.configuration_state = true;
    }

    /// Steps 1 and 2 in the elector, step 3 here, for what was looked at again.
    fn plan(&mut self, interfaces: bool) {
        self.elector.set_members(&self.facts.members);
        let mut looked_at = self.elector.update(&self.world);
        looked_at.append(&mut self.judged.differing);
        let routed = self.world.epoch(ROUTED_FROM).is_some();
        if !routed {
            // What is not looked at now is looked at whole, later.
            self.routes.forget();
        } else if self.routes.update(&self.world, &self.elector, &looked_at) {
            self.sessions = Arc::new(self.routes.sessions().clone());
        }
        if interfaces || !self.planned {
            looked_at.extend(self.elector.addresses());
            looked_at.extend(self.own.addresses());
        }
        self.planned = true;
        let node = self.config.node.as_str();
        let known = self.facts.interfaces.as_ref();
        let off = self.facts.members.off;
        let reaches = |set: &InterfaceSet| {
            let mut here = known.iter().flat_map(|k| selected(k, &self.exclusion, set));
            !off || here.next().is_some()
        };
        let withdrawn = &self.judged.withdrawn;
        let changed = (self.own).update(&self.elector, node, &looked_at, reaches, withdrawn);
        let replan = interfaces || changed.tenures || !changed.services.is_empty();
        if let Some(known) = known.filter(|_| replan || !self.tenured()) {
            let claims = self.elector.has_claims();
            let plan = self.own.plan(known, &self.exclusion, claims);
            if *self.plan != plan {
                self.plan = Arc::new(plan);
            }
        }
        self.stale.statuses.extend(changed.services);
        for failed in changed.failures {
            let event = statuses::failure_event(&self.world, &self.elector, node, &failed);
            event
                .into_iter()
                .for_each(|event| self.queue.push_event(event));
        }
    }

    /// The plan says how addresses are held exactly when claims are part of the decision.
    fn tenured(&self) -> bool {
        self.plan.tenures.is_some() == self.elector.has_claims()
    }

    /// The value for the wire; the pointer changes only when it does.
    fn publish(&mut self) {
        let desired = Desired {
            plan: Arc::clone(&self.plan),
            sessions: Arc::clone(&self.sessions),
            departure: self.routes.departure(),
            member_peers: discovery::peers(&self.config, &self.world),
            member_keys: discovery::keys(&self.config, &self.world),
            member_record: self.record(),
        };
        if *self.desired != desired {
            self.desired = Arc::new(desired);
        }
    }

    /// Nothing before the interfaces and the exclusion list are known, or the others would
    /// read that this node has none.
    fn record(&self) -> Arc<[u8]> {
        match &self.facts.interfaces {
            Some(known) if self.world.epoch(&[Kind::ConfigMap]).is_some() => {
                discovery::record(known, &self.exclusion, self.probing.word().cloned())
            }
            _ => Arc::from([]),
        }
    }

    /// Every kind has been listed, the interfaces are known and the start rule is met:
    /// plans are made. After a turn that came too late the members are not settled for a
    /// while; the last plan stands meanwhile.
    pub fn is_complete(&self) -> bool {
        self.world.epoch(PLANNED_FROM).is_some()
            && self.facts.interfaces.is_some()
            && self.facts.members.settled
    }

    /// What is missing for a first plan, for people.
    pub fn waits_for(&self) -> Vec<&'static str> {
        let unlisted = |kind: &&Kind| self.world.epoch(&[**kind]).is_none();
        let kinds = PLANNED_FROM.iter().filter(unlisted);
        let mut missing: Vec<&'static str> = kinds.map(|kind| kind.as_str()).collect();
        if self.facts.interfaces.is_none() {
            missing.push("interfaces");
        }
        if !self.facts.members.settled {
            missing.push("members");
        }
        missing
    }

    /// A first plan has been made: the speaker is ready.
    pub fn is_planned(&self) -> bool {
        self.planned
    }

    /// What the wire is to do.
    pub fn desired(&self) -> &Arc<Desired> {
        &self.desired
    }

    /// The world as this node sees it.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The facts as last told.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The exclusion list in use.
    pub fn exclusion(&self) -> &Exclusion {
        &self.exclusion
    }

    /// Every address as all nodes see it, for people.
    pub fn entries(&self) -> Vec<L2Entry> {
        self.elector.entries()
    }

    /// What this node tells its routers, and why not.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// One address.
    pub fn entry(&self, address: IpAddr) -> Option<L2Entry> {
        self.elector.entry(address)
    }

    /// Everything that is wrong, for metrics and people.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.world.problems().cloned().collect();
        problems.extend(self.config_problems.iter().cloned());
        problems.extend(self.exclusion_problem());
        problems.extend(self.elector.problems());
        problems.extend(self.routes.problems());
        problems.extend(self.forward_problems().cloned());
        if let Some(known) = &self.facts.interfaces {
            problems.extend(self.own.problems(
                &self.config.node,
                known,
                &self.exclusion,
                &self.elector,
            ));
        }
        problems
    }

    fn exclusion_problem(&self) -> Option<Problem> {
        let why = self.exclusion_error.as_ref()?;
        let (name, key) = EXCLUSION;
        Some(Problem::new(
            Severity::Error,
            Kind::ConfigMap,
            &NamespacedName::new(self.config.namespace.as_str(), name),
            reason::INVALID_EXCLUSION,
            format!("data[{key:?}]: {why}; the list before stays in use"),
        ))
    }

    /// The next write, if one is due and the bounds allow it; the caller owes
    /// [`Self::handle_outcome`].
    pub fn poll_write(&mut self, now: Instant) -> Option<(Ticket, Write)> {
        self.queue.poll_write(now)
    }

    /// How a write ended.
    pub fn handle_outcome(&mut self, ticket: Ticket, outcome: Outcome, now: Instant) {
        self.queue.handle_outcome(ticket, outcome, now);
    }

    /// What is due is done.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.queue.handle_timeout(now);
        self.stale.statuses.extend(self.statuses.due(now));
    }

    /// When to call [`Self::handle_timeout`], [`Self::turn`], [`Self::poll_write`] and
    /// [`Self::poll_probe`] though nothing happened.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let health = self.health().and_then(|health| health.poll_timeout());
        let timeouts = [
            self.queue.poll_timeout(),
            self.statuses.poll_timeout(),
            health,
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Counters of the writer.
    pub fn write_counters(&self) -> crate::write::Counters {
        self.queue.counters()
    }
}
