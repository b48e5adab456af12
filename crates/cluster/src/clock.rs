//! The wall clock, read here and nowhere else: conditions, events and the Lease carry it.

use k8s_openapi::jiff::Timestamp;

/// Now, as metav1.MicroTime writes it.
pub(crate) fn now_text() -> String {
    format!("{:.6}", Timestamp::now())
}

/// Now, as metav1.Time writes it.
pub(crate) fn now_seconds_text() -> String {
    format!("{:.0}", Timestamp::now())
}
