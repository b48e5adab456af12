//! What the speaker writes about its Services when others disagree, or when it does not answer yet.

use super::alone::{Alone, facts, one, status};
use crate::elect::tests::build::stored;
use crate::facts::Facts;
use crate::world::{Change, Delta};
use crate::write::{Outcome, Write};
use std::time::Duration;

fn deletions(writes: &[Write]) -> usize {
    let deletions = writes
        .iter()
        .filter(|w| matches!(w, Write::DeleteL2Status(_)));
    deletions.count()
}

/// A speaker that is to announce a Service, and whose wire does not answer for it yet.
fn unanswered() -> Alone {
    let silent = Facts {
        announced: Default::default(),
        ..facts(true)
    };
    let mut late = Alone::new();
    for change in super::lan::listing(&one().world) {
        late.speaker.handle_change(change);
    }
    late.speaker.handle_facts(silent);
    late.speaker.turn(late.now);
    late
}

/// Two that cannot hear each other both announce a Service.
// L2-89
#[test]
fn what_another_writes_again_and_again_is_deleted_ever_more_seldom() {
    let mut alone = Alone::ready(&one());
    alone.writes(&Outcome::Done(None));
    let start = alone.now;
    let mut deleted = Vec::new();
    let hour = Duration::from_secs(3_600);
    while alone.now < start + hour {
        let name = format!("l2-{}", deleted.len());
        let theirs = status(&name, "n2", &[]);
        alone.change(Change::L2Status(Delta::Upsert(stored(theirs.clone()))));
        // Nothing happens until its time has come.
        while deletions(&alone.writes(&Outcome::Done(None))) == 0 {
            let due = alone.speaker.poll_timeout();
            let due = due.expect("it is to be deleted once");
            assert!(due > alone.now, "it turns on the spot");
            alone.now = due;
            alone.speaker.handle_timeout(alone.now);
            alone.speaker.turn(alone.now);
        }
        deleted.push(alone.now - start);
        alone.change(Change::L2Status(Delta::Delete(theirs.name)));
    }
    assert!((5..=12).contains(&deleted.len()), "{deleted:?}");
    assert_eq!(deleted[0], Duration::ZERO, "the first at once");
    assert!(deleted[1] >= Duration::from_secs(10));
}

// L2-52, L2-89
#[test]
fn a_service_is_assigned_when_it_is_answered() {
    let mut late = unanswered();
    let of_service = |write: &Write| !matches!(write, Write::ConfigurationState(_));
    let early = late.writes(&Outcome::Done(None));
    assert!(!early.iter().any(of_service), "{early:?}");
    late.speaker.handle_facts(facts(true));
    late.speaker.turn(late.now);
    let writes = late.writes(&Outcome::Done(None));
    assert!(
        matches!(&writes[..], [Write::L2Status { .. }, Write::Event(_)]),
        "{writes:?}"
    );
}

/// Its own status is of an earlier time, and it was not said yet that it is assigned.
// L2-52, L2-89
#[test]
fn a_status_that_is_there_is_no_answer() {
    let mut late = unanswered();
    let events = |writes: Vec<Write>| {
        let events = writes.into_iter().filter(|w| matches!(w, Write::Event(_)));
        events.count()
    };
    assert_eq!(events(late.writes(&Outcome::Done(None))), 0);
    late.change(Change::L2Status(Delta::Upsert(stored(status(
        "l2-a",
        "n1",
        &[],
    )))));
    assert_eq!(events(late.writes(&Outcome::Done(None))), 0);
    late.speaker.handle_facts(facts(true));
    late.speaker.turn(late.now);
    assert_eq!(events(late.writes(&Outcome::Done(None))), 1);
}
