//! Which of two identities wins.

use super::*;

fn identity(rank: u64, boot: BootId) -> Identity {
    Identity::new(
        "node".into(),
        SocketAddr::from(([10, 0, 0, 1], 7946)),
        boot,
        rank,
    )
}

#[test]
fn a_later_boot_starts_with_a_higher_rank() {
    let (old, new) = (
        BootId::new(1_700_000_000_000, [9; 10]),
        BootId::new(1_700_000_000_001, [0; 10]),
    );
    assert_eq!(old.first_rank(), 1_700_000_000_000);
    assert!(identity(new.first_rank(), new).outranks(&identity(old.first_rank(), old)));
}

#[test]
fn exactly_one_of_two_wins() {
    let ids = [
        identity(1, BootId::new(1, [1; 10])),
        identity(1, BootId::new(1, [2; 10])),
        identity(2, BootId::new(1, [1; 10])),
        identity(u64::MAX, BootId::new(0, [0; 10])),
    ];
    for (left, right) in ids
        .iter()
        .flat_map(|left| ids.iter().map(move |right| (left, right)))
    {
        assert_eq!(
            left == right,
            !left.outranks(right) && !right.outranks(left)
        );
        assert!(!(left.outranks(right) && right.outranks(left)));
    }
}

#[test]
fn raising_wins_over_both_ranks_and_ends_at_the_top() {
    let mine = identity(5, BootId::new(1, [1; 10]));
    assert_eq!(mine.raised_over(0).rank, 6);
    assert_eq!(mine.raised_over(9).rank, 10);
    assert_eq!(mine.raised_over(u64::MAX).rank, u64::MAX);
}

#[test]
fn prints_a_boot_as_hexadecimal() {
    assert_eq!(
        BootId::new(0x0102_0304_0506, [0xab; 10]).to_string(),
        "010203040506abababababababababab"
    );
}
