//! The election against a store with faults.

use super::{
    Election, Leadership, LeaseAction, LeaseConfig, LeaseError, LeaseRecord, WRITE_MARGIN,
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn base() -> Instant {
    // The one reading of the clock that a test needs to have an Instant at all.
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

/// The API server: one Lease, versions, and requests on their way.
#[derive(Default)]
struct Store {
    record: LeaseRecord,
    version: u64,
}

impl Store {
    fn read(&self) -> LeaseRecord {
        self.record.clone()
    }

    fn write(&mut self, record: LeaseRecord) -> Result<LeaseRecord, LeaseError> {
        if record.version != self.record.version {
            return Err(LeaseError::Conflict);
        }
        self.version += 1;
        self.record = LeaseRecord {
            version: Some(self.version.to_string()),
            renewed: format!("t{}", self.version),
            ..record
        };
        Ok(self.record.clone())
    }
}

enum Answer {
    Read(Result<LeaseRecord, LeaseError>),
    Write(Result<LeaseRecord, LeaseError>),
}

/// A request: applied at one time, answered at another.
struct Request {
    apply: Instant,
    action: Option<LeaseAction>,
    answer: Instant,
    result: Option<Answer>,
    lost: bool,
}

struct Replica {
    election: Election,
    request: Option<Request>,
    alive: bool,
    /// A write it may have sent can arrive until then.
    busy_until: Option<Instant>,
    epoch: u64,
}

/// Delay to the server, delay back, and whether the answer is lost, in tenths.
type Fault = (u64, u64, u8);

struct Bench {
    store: Store,
    replicas: Vec<Replica>,
    now: Instant,
    faults: Vec<Fault>,
    next_fault: usize,
    /// Two replicas could write at one time.
    overlap: bool,
}

impl Bench {
    fn new(count: usize, faults: Vec<Fault>) -> Self {
        let now = base();
        let replica = |n: usize| Replica {
            election: Election::new(
                format!("replica-{n}"),
                LeaseConfig::default(),
                n as u64,
                now,
            ),
            request: None,
            alive: true,
            busy_until: None,
            epoch: 0,
        };
        Self {
            store: Store::default(),
            replicas: (0..count).map(replica).collect(),
            now,
            faults,
            next_fault: 0,
            overlap: false,
        }
    }

    fn fault(&mut self) -> Fault {
        let fault = self
            .faults
            .get(self.next_fault % self.faults.len().max(1))
            .copied()
            .unwrap_or((1, 1, 9));
        self.next_fault += 1;
        fault
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += MS * 5;
        }
    }

    fn step(&mut self) {
        let now = self.now;
        for n in 0..self.replicas.len() {
            let Some(request) = &mut self.replicas[n].request else {
                continue;
            };
            if request.apply <= now
                && let Some(action) = request.action.take()
            {
                request.result = Some(match action {
                    LeaseAction::Read => Answer::Read(Ok(self.store.read())),
                    LeaseAction::Write(record) => Answer::Write(self.store.write(record)),
                });
            }
        }
        for n in 0..self.replicas.len() {
            let fault = self.fault();
            let replica = &mut self.replicas[n];
            let answered = replica.request.take_if(|request| request.answer <= now);
            if let Some(request) = answered
                && replica.alive
            {
                let lost = || Err(LeaseError::Unavailable("lost".to_owned()));
                let election = &mut replica.election;
                match request.result {
                    Some(Answer::Read(_)) if request.lost => election.handle_read(lost(), now),
                    Some(Answer::Read(result)) => election.handle_read(result, now),
                    Some(Answer::Write(_)) if request.lost => election.handle_write(lost(), now),
                    Some(Answer::Write(result)) => election.handle_write(result, now),
                    None => {}
                }
            }
            if !replica.alive {
                continue;
            }
            if replica.request.is_none()
                && let Some(action) = replica.election.poll_action(now)
            {
                let apply = now + MS * u32::try_from(fault.0).unwrap_or(0);
                let answer = apply + MS * u32::try_from(fault.1).unwrap_or(0);
                replica.request = Some(Request {
                    apply,
                    action: Some(action),
                    answer,
                    result: None,
                    lost: fault.2 < 2,
                });
            }
            replica.election.handle_timeout(now);
            if let Leadership::Leader {
                epoch,
                until: Some(until),
            } = replica.election.leadership()
                && let Some(end) = until.checked_sub(WRITE_MARGIN)
                && now < end
            {
                replica.busy_until = Some(end);
                replica.epoch = epoch;
                self.overlap |=
                    self.replicas.iter().enumerate().any(|(other, r)| {
                        other != n && r.busy_until.is_some_and(|until| now < until)
                    });
            }
        }
    }

    fn leaders(&self) -> Vec<usize> {
        let leads =
            |r: &Replica| r.alive && matches!(r.election.leadership(), Leadership::Leader { .. });
        (0..self.replicas.len())
            .filter(|n| leads(&self.replicas[*n]))
            .collect()
    }

    fn time_to_leader(&mut self) -> Duration {
        let start = self.now;
        while self.leaders().is_empty() {
            self.step();
            self.now += MS * 5;
            assert!(self.now - start < Duration::from_secs(60), "nobody leads");
        }
        self.now - start
    }
}

#[test]
fn the_first_one_leads_at_once() {
    let mut bench = Bench::new(1, vec![]);
    assert!(bench.time_to_leader() <= MS * 50);
    assert!(matches!(
        bench.replicas[0].election.leadership(),
        Leadership::Leader {
            epoch: 1,
            until: Some(_)
        }
    ));
}

#[test]
fn one_of_three_leads_and_goes_on() {
    let mut bench = Bench::new(3, vec![]);
    bench.time_to_leader();
    let leader = bench.leaders();
    bench.run(Duration::from_secs(30));
    assert_eq!(bench.leaders(), leader);
    assert_eq!(
        bench.replicas[leader[0]].epoch, 1,
        "one leadership all along"
    );
    let follower = (leader[0] + 1) % 3;
    let name = format!("replica-{}", leader[0]);
    assert_eq!(
        bench.replicas[follower].election.leadership(),
        Leadership::Follower { holder: Some(name) }
    );
    assert!(
        bench.store.version < 80,
        "renewals at their pace: {}",
        bench.store.version
    );
}

#[test]
fn a_standby_takes_over_within_three_seconds_of_a_kill() {
    for run in 0..40u32 {
        let mut bench = Bench::new(2, vec![(1, 3, 9)]);
        bench.time_to_leader();
        bench.run(Duration::from_secs(3) + MS * 37 * run);
        let leader = bench.leaders()[0];
        bench.replicas[leader].alive = false;
        let time = bench.time_to_leader();
        assert!(time <= Duration::from_secs(3), "run {run}: {time:?}");
        assert!(
            time >= Duration::from_secs(1),
            "run {run}: not before the lease can have ended: {time:?}"
        );
    }
}

#[test]
fn a_standby_takes_over_at_once_after_a_release() {
    let mut bench = Bench::new(2, vec![]);
    bench.time_to_leader();
    bench.run(Duration::from_secs(2));
    let leader = bench.leaders()[0];
    let now = bench.now;
    bench.replicas[leader].election.release(now);
    assert!(
        matches!(
            bench.replicas[leader].election.leadership(),
            Leadership::Follower { .. }
        ),
        "it stops acting first"
    );
    assert!(bench.replicas[leader].election.is_releasing());
    let time = bench.time_to_leader();
    assert!(time <= Duration::from_millis(200), "{time:?}");
    assert_ne!(bench.leaders(), [leader]);
}

#[test]
fn a_cut_off_leader_ends_before_the_next_begins() {
    let mut bench = Bench::new(2, vec![]);
    bench.time_to_leader();
    bench.run(Duration::from_secs(2));
    let leader = bench.leaders()[0];
    // Its requests never arrive any more.
    let far = bench.now + Duration::from_secs(3600);
    bench.replicas[leader].request = Some(Request {
        apply: far,
        action: None,
        answer: far,
        result: None,
        lost: true,
    });
    bench.run(Duration::from_secs(5));
    assert_eq!(bench.leaders(), [1 - leader]);
    assert!(!bench.overlap);
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    for (delay, expected) in [
        (0, Some(2000)),
        (1200, Some(2000)),
        (2000, None),
        (9000, None),
    ] {
        let sent = base();
        let mut election = Election::new("a".to_owned(), LeaseConfig::default(), 1, sent);
        assert_eq!(election.poll_action(sent), Some(LeaseAction::Read));
        election.handle_read(Ok(LeaseRecord::default()), sent);
        let Some(LeaseAction::Write(record)) = election.poll_action(sent) else {
            panic!("the lease is free");
        };
        let now = sent + MS * delay;
        let record = LeaseRecord {
            version: Some("1".to_owned()),
            ..record
        };
        election.handle_write(Ok(record), now);
        let until = match election.leadership() {
            Leadership::Leader { until, .. } => until,
            Leadership::Follower { .. } => None,
        };
        assert_eq!(
            until,
            expected.map(|ms| sent + MS * ms),
            "answered after {delay} ms"
        );
    }
}

#[test]
fn a_lost_answer_to_a_renewal_does_not_end_the_lease() {
    let mut bench = Bench::new(
        1,
        vec![(1, 1, 9), (1, 1, 9), (1, 1, 0), (1, 1, 9), (1, 1, 9)],
    );
    bench.time_to_leader();
    bench.run(Duration::from_secs(20));
    assert_eq!(bench.replicas[0].epoch, 1);
}

#[test]
fn a_new_leadership_has_a_higher_epoch() {
    let mut bench = Bench::new(1, vec![]);
    bench.time_to_leader();
    bench.run(Duration::from_secs(1));
    let now = bench.now;
    let far = now + Duration::from_secs(4);
    bench.replicas[0].request = Some(Request {
        apply: far,
        action: None,
        answer: far,
        result: Some(Answer::Write(Err(LeaseError::Conflict))),
        lost: false,
    });
    bench.run(Duration::from_secs(3));
    assert!(bench.leaders().is_empty());
    bench.run(Duration::from_secs(3));
    assert!(matches!(
        bench.replicas[0].election.leadership(),
        Leadership::Leader { epoch: 2, .. }
    ));
}

#[test]
fn a_lease_of_another_product_is_waited_for_as_long_as_it_says() {
    let mut bench = Bench::new(1, vec![]);
    bench.store.record = LeaseRecord {
        version: Some("x".to_owned()),
        holder: "other".to_owned(),
        duration: Duration::from_secs(15),
        transitions: 4,
        renewed: "t".to_owned(),
    };
    let time = bench.time_to_leader();
    assert!(
        time >= Duration::from_secs(15) && time < Duration::from_secs(16),
        "{time:?}"
    );
    assert_eq!(bench.store.record.transitions, 5);
}

fn faults() -> impl Strategy<Value = Vec<Fault>> {
    let delay = prop_oneof![3 => 0..20u64, 1 => 0..1500u64];
    proptest::collection::vec((delay.clone(), delay, 0..10u8), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_windows_of_two_leaders_never_overlap(faults in faults(), kills in proptest::collection::vec((0..3usize, 0..5000u32), 0..4)) {
        let mut bench = Bench::new(3, faults);
        for (n, ms) in kills {
            bench.run(Duration::from_millis(2000) + MS * ms);
            let now = bench.now;
            match ms % 3 {
                // A process that stops in good order, one that is frozen, one that comes back.
                0 if bench.replicas[n].alive => {
                    // Its caller has waited for the writes in flight.
                    bench.replicas[n].busy_until = None;
                    bench.replicas[n].election.release(now);
                }
                1 => bench.replicas[n].alive = false,
                _ => bench.replicas[n].alive = true,
            }
        }
        bench.run(Duration::from_secs(6));
        prop_assert!(!bench.overlap);
    }
}
