//! Which claim counts, and the table against a small model.

use super::*;
use proptest::prelude::*;

fn key() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

// L2-55
#[test]
fn the_higher_term_wins_and_equal_terms_go_by_the_order() {
    // Vectors of L2-82: for 10.0.0.1 the order is node-b, node-a, node-c.
    for (claims, winner) in [
        (&[("node-a", 2), ("node-b", 1)][..], "node-a"),
        (&[("node-a", 1), ("node-b", 1)], "node-b"),
        (&[("node-c", 1), ("node-a", 1)], "node-a"),
        (&[("node-c", 7), ("node-a", 6), ("node-b", 6)], "node-c"),
        (&[("node-c", u64::MAX), ("node-b", 0)], "node-c"),
    ] {
        let best = best(claims.iter().copied(), key()).unwrap();
        assert_eq!(best.0, winner, "{claims:?}");
    }
    assert_eq!(best([], key()), None);
}

#[test]
fn a_claim_does_not_beat_itself() {
    assert!(!beats(("node-a", 3), ("node-a", 3), key()));
}

proptest! {
    /// Exactly one of two different claims wins, whoever asks: so both sides of a healed
    /// partition agree on the loser.
    // L2-55
    #[test]
    fn of_two_nodes_exactly_one_wins(a in 0..3u64, b in 0..3u64, one in "[a-d]{1,2}", other in "[a-d]{1,2}") {
        prop_assume!(one != other);
        let (one, other) = ((one.as_str(), a), (other.as_str(), b));
        prop_assert_ne!(beats(one, other, key()), beats(other, one, key()));
    }

    #[test]
    fn the_winner_does_not_depend_on_the_order_of_asking(mut claims in proptest::collection::btree_map("[a-f]{1,2}", 0..3u64, 1..6)) {
        let forth = best(claims.iter().map(|(n, t)| (n.as_str(), *t)), key()).map(|(n, t)| (n.to_owned(), t));
        let back = best(claims.iter().rev().map(|(n, t)| (n.as_str(), *t)), key()).map(|(n, t)| (n.to_owned(), t));
        prop_assert_eq!(&forth, &back);
        let highest = claims.values().max().copied();
        prop_assert_eq!(forth.map(|(_, term)| term), highest);
        claims.clear();
    }

    /// The table is a map of (address, node) to term, and the difference is the symmetric one.
    #[test]
    fn the_table_is_a_map(steps in proptest::collection::vec((0..6u8, 0..4u8, proptest::option::of(0..3u64), any::<bool>()), 0..60)) {
        let mut tables = [Claims::default(), Claims::default()];
        let mut models = [BTreeMap::new(), BTreeMap::new()];
        for (host, node, term, second) in steps {
            let (address, node) = (IpAddr::from([10, 0, 0, host]), Arc::from(format!("n{node}")));
            let at = usize::from(second);
            tables[at].set(address, &node, term);
            match term {
                Some(term) => models[at].insert((address, node), term),
                None => models[at].remove(&(address, node)),
            };
        }
        for (table, model) in tables.iter().zip(&models) {
            let all: Vec<_> = table
                .iter()
                .flat_map(|(a, claims)| claims.iter().map(move |c| ((a, Arc::clone(&c.node)), c.term)))
                .collect();
            prop_assert_eq!(&all, &model.clone().into_iter().collect::<Vec<_>>());
            for ((address, node), term) in model {
                prop_assert_eq!(table.term(*address, node), Some(*term));
            }
        }
        let of = |model: &BTreeMap<(IpAddr, Arc<str>), u64>, host| -> Vec<_> {
            let address = IpAddr::from([10, 0, 0, host]);
            model.iter().filter(|((a, _), _)| *a == address).map(|((_, n), t)| (n.clone(), *t)).collect()
        };
        let differing: BTreeSet<IpAddr> = (0..6u8)
            .filter(|host| of(&models[0], *host) != of(&models[1], *host))
            .map(|host| IpAddr::from([10, 0, 0, host]))
            .collect();
        prop_assert_eq!(tables[0].differing(&tables[1]), differing);
    }
}
