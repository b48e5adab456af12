//! What the speaker writes: ServiceL2Status, its events, its ConfigurationState.
//!
//! The owner writes its own and deletes the others'; who is not the owner deletes its own
//! (compat/metallb.md 2.7). Per assigned Service that is one status and one event.

use super::{Speaker, SpeakerConfig};
use crate::compact::{Few, tighten};
use crate::elect::Elector;
use crate::name::{Kind, NamespacedName};
use crate::plan::{Announcement, Refusal};
use crate::problem::{Problem, Severity};
use crate::world::{L2Status, Touched, World};
use crate::write::{ConfigurationStateValue, EVENT_NOTE_BYTES_MAX, Event, Queue, Write, WriteKey};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// LIMIT: bytes of a joined error summary; an object of etcd may have 1.5 MB, people read less.
const SUMMARY_BYTES_MAX: usize = 16 * 1024;

/// After another node's object was deleted, how long until it is again, should it come back; doubled each time.
const CLEAN_AFTER: Duration = Duration::from_secs(10);
/// The longest of these.
const CLEAN_AFTER_MAX: Duration = Duration::from_secs(600);

/// LIMIT: deletions that are remembered before those that are long over are forgotten.
const CLEANED_MAX: usize = 1_024;

/// Deletions of other nodes' objects, each once and then ever more seldom: two speakers that cannot hear each other
/// both announce, and would delete and write without end.
#[derive(Clone, Debug, Default)]
struct Cleaning {
    /// When the object of a node for a Service was deleted last, and how long it then has.
    last: BTreeMap<(NamespacedName, String), (Instant, Duration)>,
    /// Services to be looked at again.
    again: BTreeSet<(Instant, NamespacedName)>,
}

impl Cleaning {
    fn may(&mut self, service: &NamespacedName, node: &str, now: Instant) -> bool {
        let key = (service.clone(), node.to_owned());
        let wait = match self.last.get(&key) {
            Some((at, wait)) if now < *at + *wait => {
                self.again.insert((*at + *wait, service.clone()));
                return false;
            }
            // It stayed away for long enough to count as new.
            Some((at, wait)) if now >= *at + *wait * 3 => CLEAN_AFTER,
            Some((_, wait)) => (*wait * 2).min(CLEAN_AFTER_MAX),
            None => CLEAN_AFTER,
        };
        self.last.insert(key, (now, wait));
        true
    }

    fn due(&mut self, now: Instant) -> Vec<NamespacedName> {
        let mut due = Vec::new();
        while self.again.first().is_some_and(|(at, _)| *at <= now) {
            due.extend(self.again.pop_first().map(|(_, service)| service));
        }
        due
    }

    /// What is long over is forgotten.
    fn forget(&mut self, now: Instant) {
        self.last.retain(|_, (at, wait)| now < *at + *wait * 3);
    }
}

/// ServiceL2Statuses as the watch shows them, by Service.
#[derive(Clone, Debug, Default)]
pub(super) struct Statuses {
    /// Those of one Service by name.
    by_service: BTreeMap<NamespacedName, Few<Arc<L2Status>>>,
    service_of: BTreeMap<NamespacedName, NamespacedName>,
    /// Services whose `nodeAssigned` is told, or was before this process began.
    told: BTreeSet<NamespacedName>,
    /// Services whose `nodeAssigned` is told as soon as one of their addresses is answered.
    waiting: BTreeSet<NamespacedName>,
    cleaning: Cleaning,
}

impl Statuses {
    /// Takes in what the watch shows; returns the Services concerned.
    pub(super) fn seen(
        &mut self,
        world: &World,
        touched: &Touched,
        node: &str,
        queue: &mut Queue,
    ) -> BTreeSet<NamespacedName> {
        let mut services = BTreeSet::new();
        for name in &touched.names {
            if let Some(service) = self.service_of.remove(name) {
                if let Some(objects) = self.by_service.get_mut(&service) {
                    objects.retain(|object| object.name != *name);
                    if objects.is_empty() {
                        self.by_service.remove(&service);
                    }
                }
                services.insert(service);
            }
            let Some(stored) = world.l2_statuses.get(name) else {
                queue.seen(&WriteKey::DeleteL2Status(name.clone()));
                continue;
            };
            let object = &stored.object;
            let service = object.service.clone();
            if object.node == node && object.has_status {
                queue.seen(&WriteKey::L2Status(service.clone()));
            }
            let objects = self.by_service.entry(service.clone()).or_default();
            objects.push(Arc::clone(object));
            objects.sort_by(|a, b| a.name.cmp(&b.name));
            self.service_of.insert(name.clone(), service.clone());
            services.insert(service);
        }
        if touched.listed {
            tighten(&mut self.by_service);
            tighten(&mut self.service_of);
        }
        services
    }

    pub(super) fn state_seen(&self, config: &SpeakerConfig, touched: &Touched, queue: &mut Queue) {
        let name = state_name(config);
        if touched.names.contains(&name) {
            queue.seen(&WriteKey::ConfigurationState(name));
        }
    }

    /// When a Service is to be looked at again though nothing happened.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.cleaning.again.first().map(|(at, _)| *at)
    }

    /// The Services whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Vec<NamespacedName> {
        self.cleaning.due(now)
    }

    /// Services that have any.
    pub(super) fn services(&self) -> impl Iterator<Item = &NamespacedName> + '_ {
        self.by_service.keys()
    }
}

impl Speaker {
    /// Wants the statuses of the Services that changed. Nothing before the statuses there
    /// are have been listed: what they say is not said again.
    pub(super) fn want_statuses(&mut self, now: Instant) {
        if !self.planned || self.world.epoch(&[Kind::ServiceL2Status]).is_none() {
            return;
        }
        for service in std::mem::take(&mut self.stale.statuses) {
            self.want_status(&service, now);
        }
        if self.statuses.cleaning.last.len() > CLEANED_MAX {
            self.statuses.cleaning.forget(now);
        }
    }

    /// What the wire answers has changed: Services that wait for their first answer are looked at.
    pub(super) fn note_answered(&mut self) {
        let answered = |service: &&NamespacedName| self.is_answered(service);
        let answered = self.statuses.waiting.iter().filter(answered).cloned();
        let answered: Vec<NamespacedName> = answered.collect();
        self.stale.statuses.extend(answered);
    }

    /// An address of the Service is really answered here.
    fn is_answered(&self, service: &NamespacedName) -> bool {
        let addresses = self.own.addresses_of(service);
        addresses.into_iter().flatten().any(|address| {
            let mut sets = self.facts.announced.values();
            sets.any(|set| set.contains(address))
        })
    }

    fn want_status(&mut self, service: &NamespacedName, now: Instant) {
        let objects = self.statuses.by_service.get(service);
        let ours = |object: &&Arc<L2Status>| object.name.namespace == self.config.namespace;
        let objects: Vec<Arc<L2Status>> = objects
            .into_iter()
            .flat_map(Few::iter)
            .filter(ours)
            .cloned()
            .collect();
        let (mine, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| object.node == self.config.node);
        let key = WriteKey::L2Status(service.clone());
        let Some(interfaces) = self.own.interfaces(service) else {
            self.statuses.told.remove(service);
            self.statuses.waiting.remove(service);
            self.queue.withdraw(&key);
            for object in mine {
                self.delete(object.name.clone(), now);
            }
            return;
        };
        let interfaces = interfaces.names();
        let says = |object: &Arc<L2Status>| object.has_status && object.interfaces == interfaces;
        self.tell_assigned(service, mine.iter().any(|object| object.has_status));
        let waits = self.statuses.waiting.contains(service);
        let mut mine = mine.into_iter();
        let first = mine.next();
        if first.as_ref().is_some_and(says) {
            self.queue.withdraw(&key);
        } else if !waits {
            let write = Write::L2Status {
                existing: first.map(|object| object.name.clone()),
                node: self.config.node.clone(),
                service: service.clone(),
                interfaces,
            };
            self.queue.set_desired(write, now);
        }
        for object in mine {
            self.delete(object.name.clone(), now);
        }
        for object in others {
            if self.statuses.cleaning.may(service, &object.node, now) {
                self.delete(object.name.clone(), now);
            }
        }
    }

    /// Tells that this node has been assigned a Service, once it answers for an address of it: one that is held back
    /// because a stranger has it is not, and who has asked for a move (`harbinger move`) takes the status for its end.
    /// What was said before this process began is not said again.
    fn tell_assigned(&mut self, service: &NamespacedName, said: bool) {
        if self.statuses.told.contains(service) {
            return;
        }
        if said && !self.statuses.waiting.contains(service) {
            self.statuses.told.insert(service.clone());
        } else if self.is_answered(service) {
            self.statuses.waiting.remove(service);
            self.statuses.told.insert(service.clone());
            let event = self.assigned_event(service);
            event
                .into_iter()
                .for_each(|event| self.queue.push_event(event));
        } else {
            self.statuses.waiting.insert(service.clone());
        }
    }

    fn delete(&mut self, name: NamespacedName, now: Instant) {
        self.queue.set_desired(Write::DeleteL2Status(name), now);
    }

    /// The text is parsed by users: node and protocol quoted (compat/metallb.md 2.11).
    fn assigned_event(&self, service: &NamespacedName) -> Option<Event> {
        let node = &self.config.node;
        let text = format!("announcing from node {node:?} with protocol \"layer2\"");
        event(&self.world, service, false, "nodeAssigned", text)
    }

    /// Wants the ConfigurationState of this speaker to tell of the configuration.
    pub(super) fn want_configuration_state(&mut self, now: Instant) {
        let read_from = [
            Kind::IpAddressPool,
            Kind::L2Advertisement,
            Kind::BgpAdvertisement,
            Kind::BgpPeer,
            Kind::BfdProfile,
            Kind::Community,
            Kind::Secret,
            Kind::ConfigurationState,
        ];
        if self.world.epoch(&read_from).is_none() {
            return;
        }
        let value = self.configuration_state();
        let seen = self.world.configuration_states.get(&value.name);
        let right = seen.is_some_and(|stored| {
            stored.object.result == value.result
                && stored.object.error_summary == value.error_summary
        });
        if right {
            self.queue
                .withdraw(&WriteKey::ConfigurationState(value.name));
        } else {
            self.queue
                .set_desired(Write::ConfigurationState(value), now);
        }
    }

    fn configuration_state(&self) -> ConfigurationStateValue {
        let problems = self.world.problems().chain(&self.config_problems).cloned();
        let errors: BTreeSet<Problem> = problems
            .chain(self.exclusion_problem())
            .filter(|problem| problem.severity == Severity::Error)
            .filter(|problem| problem.kind != Kind::Service.as_str())
            .collect();
        let texts = errors
            .iter()
            .map(|problem| format!("{} {}: {}", problem.kind, problem.object, problem.message));
        let error_summary = joined(texts, "\n", SUMMARY_BYTES_MAX);
        let valid = errors.is_empty();
        let labels = [
            ("metallb.io/component-type", "speaker"),
            ("metallb.io/node-name", self.config.node.as_str()),
        ];
        ConfigurationStateValue {
            name: state_name(&self.config),
            labels: labels
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            result: if valid { "Valid" } else { "Invalid" },
            error_summary,
            condition: "configReconcilerValid",
            reason: if valid {
                "Reconciled"
            } else {
                "ConfigurationError"
            },
        }
    }
}

fn state_name(config: &SpeakerConfig) -> NamespacedName {
    NamespacedName::new(
        config.namespace.as_str(),
        format!("speaker-{}", config.node),
    )
}

/// Nobody can announce an address for want of interfaces (L2-44): told once, on its first
/// Service, with the interfaces wanted and the nodes asked.
pub(super) fn failure_event(
    world: &World,
    elector: &Elector,
    node: &str,
    (address, wanted): &(IpAddr, Announcement),
) -> Option<Event> {
    let refusals = elector.entry(*address)?.refusals;
    let mut nodes: Vec<String> = refusals
        .iter()
        .filter(|(_, why)| **why == Refusal::NoUsableInterface)
        .map(|(node, _)| format!("{node:?}"))
        .collect();
    if nodes.is_empty() {
        nodes.push(format!("{node:?}"));
    }
    let names = wanted.interfaces.names();
    let want = match names.as_slice() {
        [] => "no usable interface".to_owned(),
        names => format!("none of the interfaces {names:?} usable"),
    };
    let start = format!(
        "nobody announces {:?} with protocol \"layer2\": {want} on nodes ",
        address.to_string()
    );
    let room = EVENT_NOTE_BYTES_MAX.saturating_sub(start.len());
    let text = format!("{start}{}", joined(nodes.into_iter(), ", ", room));
    event(
        world,
        wanted.services.first()?,
        true,
        "announceFailed",
        text,
    )
}

pub(super) fn event(
    world: &World,
    service: &NamespacedName,
    warning: bool,
    reason: &'static str,
    message: String,
) -> Option<Event> {
    let stored = world.services.get(service)?;
    Some(Event {
        service: service.clone(),
        uid: stored.object.uid.clone(),
        warning,
        reason,
        message,
    })
}

/// Joins texts in at most `bytes`, the count of those left out last.
fn joined(texts: impl Iterator<Item = String>, between: &str, bytes: usize) -> String {
    /// ` and 18446744073709551615 more`
    const TAIL: usize = 30;
    let texts: Vec<String> = texts.collect();
    let mut out = String::new();
    for (at, text) in texts.iter().enumerate() {
        let last = at + 1 == texts.len();
        let reserve = if last { 0 } else { TAIL };
        if out.len() + between.len() + text.len() + reserve > bytes {
            out.push_str(&format!(" and {} more", texts.len() - at));
            break;
        }
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(text);
    }
    out
}
