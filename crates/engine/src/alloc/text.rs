//! Texts of events: quoting as Go's `%q` does, and the cut at the length of a note.

use crate::write::EVENT_NOTE_BYTES_MAX;
use std::net::IpAddr;

/// `["192.0.2.1" "2001:db8::1"]`, as Go prints a list of strings with `%q`: scripts parse it.
pub(super) fn quoted_list(addresses: &[IpAddr]) -> String {
    format!("[{}]", quoted(addresses))
}

/// The same without the brackets.
pub(super) fn quoted(addresses: &[IpAddr]) -> String {
    let each: Vec<String> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
    each.join(" ")
}

/// Room for `; and 4294967295 more`.
const TAIL_BYTES_MAX: usize = 24;

/// `head` and then `items`, cut so that the whole fits a note, the count of what is left
/// out last.
pub(super) fn listed(head: &str, items: impl Iterator<Item = String>) -> String {
    joined(head, [": ", "; "], items)
}

/// The same with other separators: before the first item, and between two.
pub(super) fn joined(
    head: &str,
    separators: [&str; 2],
    items: impl Iterator<Item = String>,
) -> String {
    let mut out = cut(head, EVENT_NOTE_BYTES_MAX - TAIL_BYTES_MAX);
    let mut left_out = 0usize;
    let [mut separator, between] = separators;
    for item in items {
        let room = EVENT_NOTE_BYTES_MAX - TAIL_BYTES_MAX;
        if left_out > 0 || out.len() + separator.len() + item.len() > room {
            left_out += 1;
            continue;
        }
        out.push_str(separator);
        out.push_str(&item);
        separator = between;
    }
    if left_out > 0 {
        out.push_str(&format!("; and {left_out} more"));
    }
    out
}

/// At most `max` bytes, at a character's edge.
pub(super) fn cut(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}
