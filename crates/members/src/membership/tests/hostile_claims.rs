//! Claims from a member that is wrong, mad or bad: bounded, counted, and the good ones are not harmed.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::net::{Net, ms};
use crate::claims::wire::Part;
use crate::claims::{MAX_CLAIMS, bucket_of, key_of};
use crate::message::{BookState, Message};
use crate::{BootId, Claim, DropReason};

/// Hands node 0 a message as if the member at `from` had sealed it.
fn say(net: &mut Net, from: usize, message: Message) {
    let boot = net.machine(from).foca.identity().boot;
    net.with(0, |machine, now| {
        machine.handle_claims_message(boot, message, now);
    });
}

fn boot_of(net: &Net, index: usize) -> BootId {
    net.machine(index).foca.identity().boot
}

/// Claims of an owner on all of these, a bucket in each message.
fn flood(owner: BootId, keys: impl Iterator<Item = u128>) -> Vec<Message> {
    let mut buckets: BTreeMap<u8, Vec<(u128, u64)>> = BTreeMap::new();
    for key in keys {
        buckets.entry(bucket_of(key)).or_default().push((key, 1));
    }
    let state = BookState {
        boot: owner,
        version: 9,
        digest: 0,
    };
    let messages = buckets.into_iter().map(|(bucket, claims)| Message::Claims {
        state,
        more: true,
        parts: vec![Part {
            bucket,
            version: 9,
            after: None,
            last: true,
            claims,
        }],
    });
    messages.collect()
}

#[test]
fn more_claims_than_a_node_may_have_are_not_kept() {
    let mut net = Net::formed(3, 500, 0);
    let owner = boot_of(&net, 1);
    for message in flood(owner, (0..40_000).map(|number| number * 7)) {
        say(&mut net, 1, message);
    }
    assert_eq!(net.machine(0).claims_of("node-1").count(), MAX_CLAIMS);
    assert!(net.machine(0).counters().dropped(DropReason::Full) > 0);
    // The good ones still come in.
    net.with(2, |machine, now| {
        machine.set_claim([10, 1, 1, 1].into(), Some(Claim { term: 3 }), now)
    });
    net.run(ms(5));
    assert_eq!(net.machine(0).claims_of("node-2").count(), 1);
    // What the mad one said ends with its process.
    net.kill(1);
    net.boot(1);
    assert!(net.run_until(Duration::from_secs(5), |net| {
        net.machine(0).claims_of("node-1").count() == 0 && net.everybody_has_records()
    }));
}

#[test]
fn nobody_can_speak_of_our_own_claims_or_of_strangers() {
    let mut net = Net::formed(3, 501, 0);
    let (own, stranger) = (boot_of(&net, 0), BootId::from_bytes([9; 16]));
    let before = net.machine(0).counters().dropped(DropReason::NotForUs);
    for owner in [own, stranger] {
        for message in flood(owner, 0..10) {
            say(&mut net, 1, message);
        }
    }
    assert_eq!(net.machine(0).claims_of("node-0").count(), 0);
    assert!(net.machine(0).counters().dropped(DropReason::NotForUs) > before);
    let unknown = net.machine(0).counters().dropped(DropReason::UnknownSender);
    net.with(0, |machine, now| {
        for message in flood(stranger, 0..10) {
            machine.handle_claims_message(stranger, message, now);
        }
    });
    assert!(net.machine(0).counters().dropped(DropReason::UnknownSender) > unknown);
}

#[test]
fn a_flood_of_questions_and_pulls_is_answered_within_the_pace() {
    let mut net = Net::formed(3, 502, 0);
    net.with(0, |machine, now| {
        for number in 0..10_000_u32 {
            machine.set_claim(
                (0x0a80_0000 + number).to_be_bytes().into(),
                Some(Claim { term: 1 }),
                now,
            );
        }
    });
    net.run(Duration::from_secs(3));
    let own = boot_of(&net, 0);
    let before = net.machine(0).counters().sent_bytes;
    for round in 0..5_000_u32 {
        say(
            &mut net,
            1,
            Message::Pull {
                boot: own,
                digests: BTreeMap::new(),
            },
        );
        say(
            &mut net,
            1,
            Message::Have {
                question: round + 1,
                answers: 0,
                states: Vec::new(),
            },
        );
        net.run(Duration::from_micros(200));
    }
    let sent = net.machine(0).counters().sent_bytes - before;
    println!("{sent} bytes in a second of 5,000 pulls and 5,000 questions");
    assert!(sent <= 65_536 + 8_000, "{sent}");
    // The other member is not kept waiting.
    net.with(0, |machine, now| {
        machine.set_claim([10, 1, 1, 1].into(), Some(Claim { term: 3 }), now)
    });
    net.run(ms(3));
    let there = net.machine(2).claims_on([10, 1, 1, 1].into()).count();
    assert_eq!(there, 1);
}

#[test]
fn a_state_that_never_comes_true_starts_no_endless_exchange() {
    let mut net = Net::formed(3, 503, 0);
    net.run(Duration::from_secs(2));
    let owner = boot_of(&net, 1);
    net.sent.fill(0);
    let state = BookState {
        boot: owner,
        version: u64::MAX,
        digest: 77,
    };
    say(
        &mut net,
        2,
        Message::Have {
            question: 0,
            answers: 0,
            states: vec![state; 30],
        },
    );
    net.run(Duration::from_secs(1));
    assert!(net.sent[0] < 60, "{} datagrams in a second", net.sent[0]);
    net.with(1, |machine, now| {
        machine.set_claim([10, 1, 1, 1].into(), Some(Claim { term: 3 }), now)
    });
    net.run(ms(3));
    assert_eq!(net.machine(0).claims_of("node-1").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_can_be_read_reads_the_same_again(kind in 16_u8..19, rest in proptest::collection::vec(any::<u8>(), 0..1_200)) {
        let mut bytes = vec![kind];
        bytes.extend(rest);
        if let Some(message) = Message::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }
}

#[test]
fn messages_about_claims_read_as_they_were_written() {
    let (boot, key) = (BootId::from_bytes([3; 16]), key_of([10, 0, 0, 1].into()));
    let state = BookState {
        boot,
        version: 70_000,
        digest: 5,
    };
    let messages = [
        Message::Have {
            question: 1,
            answers: 2,
            states: vec![state; 13],
        },
        Message::Have {
            question: 0,
            answers: 0,
            states: Vec::new(),
        },
        Message::Pull {
            boot,
            digests: (0..=255)
                .map(|bucket| (bucket, u32::from(bucket) + 7))
                .collect(),
        },
        Message::Pull {
            boot,
            digests: BTreeMap::from([(255, 1)]),
        },
        Message::Claims {
            state,
            more: false,
            parts: vec![
                Part {
                    bucket: bucket_of(key),
                    version: 69_999,
                    after: None,
                    last: true,
                    claims: vec![(key, 4)],
                },
                Part {
                    bucket: 0,
                    version: 1,
                    after: Some(99),
                    last: true,
                    claims: Vec::new(),
                },
            ],
        },
    ];
    for message in messages {
        let bytes = message.encode();
        assert!(
            bytes.len() <= crate::message::MAX_CLAIMS_PAYLOAD_BYTES,
            "{} bytes",
            bytes.len()
        );
        assert_eq!(Message::decode(&bytes), Some(message));
        for length in 1..bytes.len() {
            // Cut anywhere it is refused, or is a shorter list.
            if let Some(shorter) = Message::decode(&bytes[..length]) {
                assert_eq!(shorter.encode(), bytes[..length]);
            }
        }
    }
}
