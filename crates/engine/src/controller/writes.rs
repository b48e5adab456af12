//! Statuses of Services: what to write, and in which order addresses change hands.
//!
//! An address is written on a Service only when no other one shows it that has to give it
//! up: so two Services never show one address because of the order of our own writes. A
//! Service that waits for one of its addresses shows the others meanwhile, so that two
//! that exchange theirs do not wait for each other.

use super::Controller;
use crate::alloc::{Change as Fate, Decision};
use crate::name::NamespacedName;
use crate::world::{Change, Delta, Service};
use crate::write::{ServiceStatus, Ticket, Write, WriteKey};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

impl Controller {
    /// Names that a change of Services may touch, with the addresses they showed.
    pub(super) fn shown_before(&self, change: &Change) -> Vec<(IpAddr, NamespacedName)> {
        let of = |name: &NamespacedName| {
            let shown = self.world.services.get(name);
            let shown = shown.into_iter().flat_map(|s| s.object.addresses());
            shown.map(|a| (a, name.clone())).collect()
        };
        match change {
            Change::Service(Delta::Upsert(stored)) => of(&stored.object.name),
            Change::Service(Delta::Delete(name)) => of(name),
            Change::Service(Delta::Reset { .. }) => self.shown.iter().cloned().collect(),
            _ => Vec::new(),
        }
    }

    /// Brings the index of shown addresses up to date; who waited for one that is no
    /// longer shown is looked at again.
    pub(super) fn index_shown(
        &mut self,
        before: Vec<(IpAddr, NamespacedName)>,
        touched: &BTreeSet<NamespacedName>,
    ) {
        for (address, name) in before {
            if !touched.contains(&name) {
                continue;
            }
            let now = self.world.services.get(&name);
            let still = now.is_some_and(|s| s.object.addresses().any(|a| a == address));
            if !still {
                self.shown.remove(&(address, name));
                if let Some(waiting) = self.blocked.remove(&address) {
                    self.touched.extend(waiting);
                }
            }
        }
        for name in touched {
            if let Some(stored) = self.world.services.get(name) {
                let shown = stored.object.addresses();
                self.shown.extend(shown.map(|a| (a, name.clone())));
            }
        }
    }

    /// Wants the status of each of these Services as it is decided.
    pub(super) fn want_services(&mut self, names: BTreeSet<NamespacedName>, now: Instant) {
        for name in names {
            let key = WriteKey::Service(name.clone());
            let service = self
                .world
                .services
                .get(&name)
                .map(|s| Arc::clone(&s.object));
            let decision = self
                .allocator
                .as_ref()
                .and_then(|a| a.decision(&name))
                .cloned();
            let (Some(service), Some(decision)) = (service, decision) else {
                self.queue.withdraw(&key);
                self.forget_told(&name);
                continue;
            };
            self.tell_at_once(&name, &decision);
            if !decision.write {
                self.queue.withdraw(&key);
                continue;
            }
            match self.next_status(&service, &decision) {
                Some(status) => self
                    .queue
                    .set_desired(Write::ServiceStatus(Box::new(status)), now),
                None => self.queue.withdraw(&key),
            }
        }
    }

    /// The status to write now: the decided one, or what of it may be shown already; none
    /// when that is what is shown.
    fn next_status(&mut self, service: &Service, decision: &Decision) -> Option<ServiceStatus> {
        let mut addresses = Vec::new();
        for address in &decision.addresses {
            if decision.previous.contains(address) || !self.is_shown_by_another(service, *address) {
                addresses.push(*address);
            } else {
                let waiting = self.blocked.entry(*address).or_default();
                waiting.insert(service.name.clone());
            }
        }
        if addresses != decision.addresses && addresses == decision.previous {
            return None;
        }
        Some(ServiceStatus {
            name: service.name.clone(),
            uid: service.uid.clone(),
            // Filled in when it is sent: the newest version seen.
            version: String::new(),
            pool: decision.pool.clone().filter(|_| !addresses.is_empty()),
            addresses,
            ip_mode: self.config.options.ip_mode,
        })
    }

    /// Another Service shows the address and has to give it up.
    fn is_shown_by_another(&self, service: &Service, address: IpAddr) -> bool {
        let from = (address, NamespacedName::default());
        let mut shown = self.shown.range(from..).take_while(|(a, _)| *a == address);
        shown.any(|(_, other)| {
            let decision = self.allocator.as_ref().and_then(|a| a.decision(other));
            *other != service.name
                && decision.is_some_and(|decision| {
                    decision.change != Fate::Ignored && !decision.addresses.contains(&address)
                })
        })
    }

    /// Puts into a write what is only known when it is sent. False: it is not to be sent,
    /// the object is gone.
    pub(super) fn complete(&mut self, ticket: Ticket, write: &mut Write, now: Instant) -> bool {
        match write {
            Write::ServiceStatus(status) => {
                let Some(stored) = self.world.services.get(&status.name) else {
                    return false;
                };
                if stored.object.uid != status.uid {
                    return false;
                }
                status.version = stored.origin.version.clone();
                let decision = self
                    .allocator
                    .as_ref()
                    .and_then(|a| a.decision(&status.name));
                if let Some(decision) = decision.cloned() {
                    let whole = decision.addresses == status.addresses;
                    self.note_following(ticket, &decision, whole);
                }
                true
            }
            Write::PoolStatus { name, .. } => {
                let until = now + self.config.pool_status_interval;
                self.pool_pause.insert(name.clone(), until);
                true
            }
            _ => true,
        }
    }
}
