//! The API server of the virtual LAN: it keeps what is written and shows it.

use crate::elect::tests::build::{NAMESPACE, stored};
use crate::name::NamespacedName;
use crate::world::*;
use crate::write::{Event, Outcome, Write};
use std::collections::BTreeMap;

/// What the API server has and was asked.
#[derive(Default)]
pub(crate) struct Api {
    pub(crate) statuses: BTreeMap<NamespacedName, L2Status>,
    pub(crate) events: Vec<Event>,
    pub(crate) writes: Vec<Write>,
    pub(crate) down: bool,
    created: u32,
}

impl Api {
    pub(super) fn carry_out(&mut self, write: Write) -> (Outcome, Option<Change>) {
        if self.down {
            return (Outcome::Unavailable("connection refused".into()), None);
        }
        self.writes.push(write.clone());
        let change = match write {
            Write::L2Status {
                existing,
                node,
                service,
                interfaces,
            } => {
                self.created += 1;
                let new = NamespacedName::new(NAMESPACE, format!("l2-{}", self.created));
                let name = existing.unwrap_or(new);
                let status = L2Status {
                    name: name.clone(),
                    node: node.into(),
                    service,
                    interfaces,
                    has_status: true,
                };
                self.statuses.insert(name, status.clone());
                Some(Change::L2Status(Delta::Upsert(stored(status))))
            }
            Write::DeleteL2Status(name) => {
                self.statuses.remove(&name);
                Some(Change::L2Status(Delta::Delete(name)))
            }
            Write::Event(event) => {
                self.events.push(event);
                None
            }
            Write::ConfigurationState(value) => {
                let state = ConfigurationState {
                    name: value.name,
                    result: value.result.into(),
                    error_summary: value.error_summary,
                };
                Some(Change::ConfigurationState(Delta::Upsert(stored(state))))
            }
            Write::BgpStatus { .. }
            | Write::DeleteBgpStatus(_)
            | Write::SessionState(_)
            | Write::DeleteSessionState(_) => panic!("no session here: {write:?}"),
            Write::ServiceStatus(_) | Write::PoolStatus { .. } | Write::MembershipSecret(_) => {
                panic!("a speaker writes no {write:?}")
            }
        };
        (Outcome::Done(None), change)
    }
}
