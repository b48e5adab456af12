//! The other objects the controller writes: pool statuses, its ConfigurationState, the
//! membership Secret.

use super::{Controller, PoolReport};
use crate::name::NamespacedName;
use crate::problem::{Problem, Severity};
use crate::world::{Family, PoolStatus};
use crate::write::{ConfigurationStateValue, Write, WriteKey};
use std::collections::BTreeMap;
use std::time::Instant;

/// LIMIT: bytes of `errorSummary`: what a person reads.
const ERROR_SUMMARY_BYTES_MAX: usize = 4096;

impl Controller {
    /// Each pool with its counters, for metrics; empty while it follows.
    pub fn pool_reports(&self) -> Vec<PoolReport> {
        let statuses = self.allocator.iter().flat_map(|a| a.pool_statuses());
        statuses
            .map(|(name, status)| {
                let pool = self.pools.get(name);
                let total = |family: Family| {
                    let capacity = pool.map_or(0, |pool| pool.capacity(family));
                    i64::try_from(capacity).unwrap_or(i64::MAX)
                };
                PoolReport {
                    name: name.to_owned(),
                    status,
                    total_ipv4: total(Family::V4),
                    total_ipv6: total(Family::V6),
                }
            })
            .collect()
    }

    /// Wants each pool's counters, at most once an interval and pool.
    pub(super) fn want_pools(&mut self, now: Instant) {
        for (name, status) in self.pool_differences() {
            if self.pool_pause.get(&name).is_some_and(|until| now < *until) {
                continue;
            }
            self.queue
                .set_desired(Write::PoolStatus { name, status }, now);
        }
        // A pause that is over says nothing.
        self.pool_pause.retain(|_, until| now < *until);
    }

    /// When the next pause ends of a pool whose status is to be written.
    pub(super) fn pools_due(&self) -> Option<Instant> {
        if self.pool_pause.is_empty() {
            return None;
        }
        let differing = self.differing().map(|(name, _)| name);
        differing
            .filter_map(|name| self.pool_pause.get(&name).copied())
            .min()
    }

    /// Pools whose status is not what it should be; for the others nothing is wanted.
    fn pool_differences(&mut self) -> Vec<(NamespacedName, PoolStatus)> {
        let differing: Vec<(NamespacedName, PoolStatus)> = self.differing().collect();
        for pool in self.pools.iter() {
            if !differing.iter().any(|(name, _)| *name == pool.object) {
                self.queue.withdraw(&WriteKey::Pool(pool.object.clone()));
            }
        }
        differing
    }

    fn differing(&self) -> impl Iterator<Item = (NamespacedName, PoolStatus)> + '_ {
        let statuses = self.allocator.iter().flat_map(|a| a.pool_statuses());
        statuses.filter_map(|(name, status)| {
            let object = &self.pools.get(name)?.object;
            let seen = &self.world.pools.get(object)?.object.status;
            (*seen != Some(status)).then(|| (object.clone(), status))
        })
    }

    /// Wants the ConfigurationState `controller` to tell of the configuration.
    pub(super) fn want_configuration_state(&mut self, now: Instant) {
        let value = self.configuration_state();
        let seen = self.world.configuration_states.get(&value.name);
        let right = seen.is_some_and(|stored| {
            stored.object.result == value.result
                && stored.object.error_summary == value.error_summary
        });
        if right {
            let key = WriteKey::ConfigurationState(value.name);
            self.queue.withdraw(&key);
        } else {
            self.queue
                .set_desired(Write::ConfigurationState(value), now);
        }
    }

    fn configuration_state(&self) -> ConfigurationStateValue {
        let problems = self.world.problems().chain(&self.config_problems);
        let error_summary = summary(problems.filter(|p| p.severity == Severity::Error));
        let valid = error_summary.is_empty();
        let labels = [("metallb.io/component-type", "controller")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        ConfigurationStateValue {
            name: NamespacedName::new(self.config.namespace.as_str(), "controller"),
            labels: BTreeMap::from(labels),
            result: if valid { "Valid" } else { "Invalid" },
            error_summary,
            condition: "poolReconcilerValid",
            reason: if valid {
                "Reconciled"
            } else {
                "ConfigurationError"
            },
        }
    }

    /// Wants the membership Secret where there is none. One that exists is never changed.
    pub(super) fn want_secret(&mut self, now: Instant) {
        let Some(secret) = &self.config.secret_name else {
            return;
        };
        let name = NamespacedName::new(self.config.namespace.as_str(), secret.as_str());
        if self.world.secrets.get(&name).is_some() {
            self.queue.withdraw(&WriteKey::Secret(name));
        } else {
            self.queue.set_desired(Write::MembershipSecret(name), now);
        }
    }
}

/// The messages, sorted and joined, cut with the count of what is left out.
fn summary<'a>(problems: impl Iterator<Item = &'a Problem>) -> String {
    let mut lines: Vec<String> = problems
        .map(|p| format!("{} {}: {}", p.kind, p.object, p.message))
        .collect();
    lines.sort();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if out.len() + line.len() > ERROR_SUMMARY_BYTES_MAX {
            out.push_str(&format!("\nand {} more", lines.len() - index));
            return out;
        }
        if index > 0 {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}
