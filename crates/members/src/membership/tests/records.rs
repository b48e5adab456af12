//! Records: to everybody, under loss, to newcomers, around a broken path.

use std::time::Duration;

use super::net::{Net, ms};
use crate::{Event, MAX_RECORD_BYTES, RecordError};

#[test]
fn a_change_reaches_every_member_under_loss() {
    for loss in [0, 20, 50] {
        let mut net = Net::formed(20, 20 + loss as u64, loss);
        net.run(Duration::from_secs(1));
        let since = net.now;
        let record = vec![7; MAX_RECORD_BYTES];
        net.with(3, |machine, now| machine.set_record(record.clone(), now))
            .expect("the longest allowed");
        let all = |net: &Net| {
            (0..20)
                .filter(|index| *index != 3)
                .all(|index| *net.machine(index).members()["node-3"].record == *record)
        };
        assert!(net.run_until(ms(2_000), all), "{loss} of 1000 lost");
        println!(
            "{loss} of 1000 lost: a changed record is everywhere after {:?}",
            net.now - since
        );
        let told = net.events_since(0, since);
        assert_eq!(
            told.iter()
                .filter(|event| **event == Event::RecordChanged("node-3".into()))
                .count(),
            1
        );
    }
}

// A node that leaves says so in its record first, keeps taking part, and goes when its addresses are elsewhere.
#[test]
fn leaving_in_two_steps_is_known_in_one_trip_and_is_no_death() {
    let mut net = Net::formed(6, 65, 0);
    net.run(Duration::from_secs(1));
    let since = net.now;
    net.with(2, |machine, now| {
        machine.set_record(b"leaving".to_vec(), now)
    })
    .expect("short");
    net.run(Duration::from_secs(2));
    let others = [0, 1, 3, 4, 5];
    for other in others {
        let told = net.told(other, since, &Event::RecordChanged("node-2".into()));
        assert!(
            told.is_some_and(|told| told <= ms(2)),
            "node-{other}: {told:?}"
        );
        assert_eq!(*net.machine(other).members()["node-2"].record, *b"leaving");
    }
    net.with(2, |machine, now| machine.leave(now));
    net.run(ms(2));
    for other in others {
        let events = net.events_since(other, since);
        assert!(
            events.ends_with(&[Event::Left("node-2".into())]),
            "{events:?}"
        );
    }
}

#[test]
fn a_newcomer_gets_every_record_under_loss() {
    for loss in [0, 20, 50] {
        let mut net = Net::new(30, 40 + loss as u64);
        net.loss_per_mille = loss;
        (0..29).for_each(|index| net.boot(index));
        assert!(net.run_until(Duration::from_secs(5), Net::everybody_has_records));
        net.run(Duration::from_secs(1));
        let since = net.now;
        net.boot(29);
        assert!(
            net.run_until(Duration::from_secs(3), Net::everybody_has_records),
            "{loss} of 1000 lost"
        );
        println!(
            "{loss} of 1000 lost: a newcomer among 30 has and is known with all records after {:?}",
            net.now - since
        );
    }
}

#[test]
fn comparison_goes_around_a_broken_path() {
    let mut net = Net::formed(6, 60, 0);
    net.run(Duration::from_secs(1));
    net.cut.extend([(0, 5), (5, 0)]);
    net.with(0, |machine, now| {
        machine.set_record(b"changed".to_vec(), now)
    })
    .expect("short");
    let there = |net: &Net| {
        net.machine(5)
            .members()
            .get("node-0")
            .is_some_and(|member| *member.record == *b"changed")
    };
    assert!(net.run_until(Duration::from_secs(10), there));
}

#[test]
fn frequent_changes_are_sent_together() {
    let mut net = Net::formed(5, 61, 0);
    net.run(Duration::from_secs(2));
    net.sent.fill(0);
    for round in 0..100_u32 {
        net.with(0, |machine, now| {
            machine.set_record(round.to_be_bytes().to_vec(), now)
        })
        .expect("short");
        net.run(ms(10));
    }
    net.run(ms(500));
    assert_eq!(
        *net.machine(1).members()["node-0"].record,
        99_u32.to_be_bytes()
    );
    assert!(
        net.sent[0] < 160,
        "{} datagrams for 100 changes in a second to 4 members",
        net.sent[0]
    );
}

#[test]
fn a_record_that_is_too_long_is_refused_and_the_old_one_stays() {
    let mut net = Net::formed(2, 62, 0);
    assert!(net.run_until(ms(500), Net::everybody_has_records));
    let refused = net.with(0, |machine, now| {
        machine.set_record(vec![0; MAX_RECORD_BYTES + 1], now)
    });
    assert_eq!(
        refused,
        Err(RecordError {
            bytes: MAX_RECORD_BYTES + 1
        })
    );
    net.run(Duration::from_secs(2));
    assert!(net.everybody_has_records());
}

#[test]
fn the_same_record_again_costs_nothing() {
    let mut net = Net::formed(2, 63, 0);
    net.run(Duration::from_secs(2));
    let since = net.now;
    net.with(0, |machine, now| {
        machine.set_record(b"record of node-0".to_vec(), now)
    })
    .expect("short");
    net.run(Duration::from_secs(2));
    assert_eq!(net.events_since(1, since), []);
}

#[test]
fn the_longest_names_and_records_fit() {
    let mut net = Net::new(4, 64);
    for node in &mut net.nodes {
        node.name = format!("{:x<253}", node.name);
    }
    (0..4).for_each(|index| net.boot(index));
    assert!(net.run_until(ms(2_000), Net::everybody_has_records));
    for index in 0..4 {
        net.with(index, |machine, now| {
            machine.set_record(vec![index as u8; MAX_RECORD_BYTES], now)
        })
        .expect("allowed");
    }
    let all = |net: &Net| {
        (0..4).all(|index| {
            net.machine(index)
                .members()
                .values()
                .all(|member| member.record.len() == MAX_RECORD_BYTES)
        })
    };
    assert!(net.run_until(ms(1_000), all));
    net.kill(0);
    net.run(Duration::from_secs(2));
    assert!((1..4).all(|index| net.machine(index).members().len() == 2));
}
