//! What is shared, and what is forgotten.

use super::{TEXTS_MIN, Texts};
use crate::name::Text;

#[test]
fn equal_texts_become_one() {
    let mut texts = Texts::default();
    let (mut one, mut other) = (Text::from("default"), Text::from("default"));
    texts.share(&mut one);
    texts.share(&mut other);
    assert!(std::ptr::eq(one.as_str(), other.as_str()));
}

#[test]
fn what_no_object_has_any_more_is_forgotten() {
    let mut texts = Texts::default();
    let mut kept = Text::from("kept");
    texts.share(&mut kept);
    for number in 0..3 * TEXTS_MIN {
        texts.share(&mut Text::from(number.to_string()));
    }
    assert!(texts.known.len() <= TEXTS_MIN);
    let mut again = Text::from("kept");
    texts.share(&mut again);
    assert!(std::ptr::eq(kept.as_str(), again.as_str()));
}
