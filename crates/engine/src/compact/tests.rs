//! The list against a vector.

use super::Few;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_is_a_vector_in_less_room(steps in prop::collection::vec((any::<bool>(), 0u8..4), 0..20)) {
        let (mut few, mut all) = (Few::default(), Vec::new());
        for (push, value) in steps {
            match push {
                true => {
                    few.push(value);
                    all.push(value);
                }
                false => {
                    few.retain(|kept| *kept != value);
                    all.retain(|kept| *kept != value);
                }
            }
            prop_assert_eq!(few.as_slice(), all.as_slice());
            prop_assert_eq!(few.is_empty(), all.is_empty());
            prop_assert_eq!(&few, &Few::from(all.clone()), "one value has one form");
        }
    }
}

#[test]
fn the_plain_case_takes_two_words() {
    assert_eq!(size_of::<Few<std::sync::Arc<u8>>>(), 16);
}
