//! Extensions: annotations of `harbinger.dev` on the objects of BGP. Each is optional.

use super::super::{Judge, duration};
use crate::problem::{Severity, reason};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

const PREFIX: &str = "harbinger.dev/";

/// Warns of annotations of ours that this kind does not know: a slip of the pen would
/// otherwise be silent.
pub(super) fn refuse_unknown(
    annotations: &BTreeMap<String, String>,
    known: &[&str],
    judge: &mut Judge<'_>,
) {
    for key in annotations.keys() {
        if let Some(name) = key.strip_prefix(PREFIX)
            && !known.contains(&name)
        {
            let text = format!("metadata.annotations[{key:?}] means nothing on this kind");
            judge.tell(Severity::Warning, reason::UNKNOWN_ANNOTATION, text);
        }
    }
}

/// The annotations of one object, with its judge.
pub(super) struct Extensions<'a, 'j> {
    pub(super) annotations: &'a BTreeMap<String, String>,
    pub(super) judge: &'a mut Judge<'j>,
}

impl<'a> Extensions<'a, '_> {
    /// The value as written; an empty one is none.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.annotations.get(&format!("{PREFIX}{name}"))?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }

    /// Reads a value; one that cannot be read is told and counts as absent.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(text);
        if value.is_none() {
            let key = format!("{PREFIX}{name}");
            let message =
                format!("metadata.annotations[{key:?}]: {text:?} is not {wanted}; it is ignored");
            self.judge.error(reason::INVALID_FIELD, message);
        }
        value
    }

    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let wanted = format!("a number from {} to {}", range.start(), range.end());
        self.read(name, &wanted, |text| {
            text.parse().ok().filter(|value| range.contains(value))
        })
    }

    pub(super) fn flag(&mut self, name: &str) -> bool {
        let read = |text: &str| match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        self.read(name, "true or false", read).unwrap_or_default()
    }

    pub(super) fn seconds(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<Duration> {
        let wanted = format!("a duration from {}s to {}s", range.start(), range.end());
        self.read(name, &wanted, |text| {
            duration::parse(text).filter(|value| range.contains(&value.as_secs()))
        })
    }
}
