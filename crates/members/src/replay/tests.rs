//! The window against a set of everything seen.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn takes_each_counter_once_in_any_order_within_the_window() {
    let mut window = Window::default();
    for counter in [1, 3, 2, 200, 73, 74, 199] {
        assert!(window.is_fresh(counter), "{counter}");
        window.mark(counter);
        assert!(!window.is_fresh(counter), "{counter} again");
    }
    assert!(!window.is_fresh(72), "too old to tell");
    assert!(!window.is_fresh(0), "never used");
}

#[test]
fn holds_at_the_end_of_the_counter() {
    let mut window = Window::default();
    window.mark(u64::MAX);
    assert!(!window.is_fresh(u64::MAX));
    assert!(window.is_fresh(u64::MAX - 127));
    assert!(!window.is_fresh(u64::MAX - 128));
}

proptest! {
    #[test]
    fn agrees_with_a_set(counters in prop::collection::vec(1_u64..600, 0..300)) {
        let mut window = Window::default();
        let mut seen = BTreeSet::new();
        for counter in counters {
            let highest = seen.last().copied().unwrap_or(0);
            let expected = !seen.contains(&counter) && counter + WINDOW > highest;
            prop_assert_eq!(window.is_fresh(counter), expected, "{} after {:?}", counter, seen);
            if expected {
                window.mark(counter);
                seen.insert(counter);
            }
        }
    }
}
