//! The end: after a long calm there is one leader, everything that can have an address has one, and nobody is busy.

use super::{CALM, Sim};
use engine::alloc::{Ledger, Options, allocate};
use engine::config;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may be written at the end.
const IDLE: Duration = Duration::from_secs(3);

impl Sim {
    pub(in crate::sim) fn check_end(&mut self) {
        if let Some(wrong) = self.find_unfinished() {
            self.fail(wrong);
            return;
        }
        let writes = self.server.writes;
        self.run_for(IDLE);
        if self.server.writes != writes {
            let more = self.server.writes - writes;
            self.fail(format!("{more} writes though nothing happens"));
        }
    }

    fn find_unfinished(&self) -> Option<String> {
        let calm = self.checks.stable_since.map(|since| self.now - since);
        if calm.is_none_or(|calm| calm < CALM) || !self.checks.verified {
            return Some(format!("no calm at the end: {calm:?}"));
        }
        let leaders = self
            .replicas
            .iter()
            .filter(|replica| replica.process.as_ref().is_some_and(|p| p.leads()))
            .count();
        if leaders != 1 {
            return Some(format!("{leaders} leaders at the end"));
        }
        let truth = &self.server.truth;
        let (pools, _) = config::pools(truth, crate::sim::server::NAMESPACE);
        let allocation = allocate(
            truth,
            &Arc::new(pools),
            &Ledger::default(),
            &Options::default(),
        );
        let open = allocation
            .decisions
            .iter()
            .find(|(_, decision)| decision.write);
        if let Some((name, decision)) = open {
            return Some(format!(
                "{name} is not as it should be at the end: {decision:?}"
            ));
        }
        let conflict = self.checks.books.conflicts.keys().next();
        conflict.map(|address| format!("{address} is on two Services at the end"))
    }
}
