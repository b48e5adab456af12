//! Which events are sent, and that none is sent twice.

use super::Controller;
use crate::alloc::{Decision, Note};
use crate::name::NamespacedName;
use crate::write::{Event, Outcome, Settled, Ticket, Write};
use std::collections::BTreeMap;

/// What was told of each Service. Bounded by the Services there are and the requests in
/// flight.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The complaint that stands, by Service: (uid, note).
    complaints: BTreeMap<NamespacedName, (String, Note)>,
    /// Events that follow a status in flight.
    following: BTreeMap<Ticket, (String, Vec<Note>)>,
}

impl Controller {
    /// Tells at once what follows no write: a Service that waits, or one that keeps what it
    /// has and lacks something.
    pub(super) fn tell_at_once(&mut self, name: &NamespacedName, decision: &Decision) {
        if decision.reason.is_none() {
            self.told.complaints.remove(name);
        }
        if decision.write {
            return;
        }
        for note in &decision.events {
            self.tell(name, &decision.uid, note);
        }
    }

    pub(super) fn forget_told(&mut self, name: &NamespacedName) {
        self.told.complaints.remove(name);
    }

    /// The events of a status that is being written, to be told when it is. One that is
    /// written on the way (not `whole`) only tells what is taken away.
    pub(super) fn note_following(&mut self, ticket: Ticket, decision: &Decision, whole: bool) {
        let now = |note: &&Note| whole || note.reason == "ClearAssignment";
        let notes: Vec<Note> = decision.events.iter().filter(now).cloned().collect();
        if !notes.is_empty() {
            let following = (decision.uid.clone(), notes);
            self.told.following.insert(ticket, following);
        }
    }

    pub(super) fn tell_written(&mut self, ticket: Ticket, settled: &Settled) {
        let Some((uid, notes)) = self.told.following.remove(&ticket) else {
            return;
        };
        if let (Write::ServiceStatus(status), Outcome::Done(_)) = (&settled.write, &settled.outcome)
        {
            for note in &notes {
                self.tell(&status.name, &uid, note);
            }
        }
    }

    fn tell(&mut self, name: &NamespacedName, uid: &str, note: &Note) {
        // What tells of a change is told once per change; a complaint stands until it ends.
        let stands = !matches!(
            note.reason,
            "IPAllocated" | "ClearAssignment" | "deprecatedAnnotation"
        );
        if stands {
            let known = (uid.to_owned(), note.clone());
            if self.told.complaints.get(name) == Some(&known) {
                return;
            }
            self.told.complaints.insert(name.clone(), known);
        }
        self.queue.push_event(Event {
            service: name.clone(),
            uid: uid.to_owned(),
            warning: note.warning,
            reason: note.reason,
            message: note.message.clone(),
        });
    }
}
