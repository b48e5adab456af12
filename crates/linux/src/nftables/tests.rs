//! Framing: lengths, padding, sequence numbers and the flag that asks for an answer.

use super::*;

#[test]
fn attributes_are_padded_and_nested_ones_count_their_content() {
    let mut a = Attributes::new();
    a.text(1, "abc").nest(4, |a| {
        a.octets(1, &[7]);
        a.number(2, 258);
    });
    let mut seen = Vec::new();
    attributes(&a.0, |kind, value| seen.push((kind, value.to_vec())));
    assert_eq!(seen[0], (1, b"abc\0".to_vec()));
    assert_eq!((seen[1].0, seen[1].1.len()), (4, 16));
    let mut inner = Vec::new();
    attributes(&seen[1].1, |kind, value| inner.push((kind, value.to_vec())));
    assert_eq!(inner, [(1, vec![7]), (2, vec![0, 0, 1, 2])]);
    assert_eq!(text(&seen[0].1), Some("abc"));
}

#[test]
fn only_the_last_message_of_a_batch_asks_for_an_answer() {
    let mut batch = Batch::new();
    batch.add(message::NEWTABLE, 2, true, |a| {
        a.text(1, "t");
    });
    batch.add(message::DELTABLE, 2, false, |a| {
        a.text(1, "t");
    });
    assert_eq!(batch.messages(), 2);
    let bytes = batch.close();
    let headers: Vec<_> = Messages(&bytes).map(|(h, _)| h).collect();
    let asks = |i: usize| i32::from(headers[i].flags) & libc::NLM_F_ACK != 0;
    assert_eq!(
        headers.iter().map(|h| h.sequence).collect::<Vec<_>>(),
        [0, 1, 2, 0]
    );
    assert_eq!(
        (asks(0), asks(1), asks(2), asks(3)),
        (false, false, true, false)
    );
    assert_eq!(headers[2].kind, 0x0a02);
}

#[test]
fn only_changes_of_the_named_table_touch_it() {
    let mut a = Attributes::new();
    a.text(1, "harbinger").text(3, "pre");
    assert!(touches(&a.0, "harbinger"));
    assert!(!touches(&a.0, "kube-proxy"));
    assert!(!touches(&[], "harbinger"));
}
