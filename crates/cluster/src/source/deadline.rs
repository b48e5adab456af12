//! By when a write must have ended, as the writer knows it while the write is on its way.
//!
//! A lease is renewed while writes under it wait for a busy server: they need not be given up for that. What
//! belongs to a leadership that has ended keeps the last deadline of that leadership.

use std::time::Instant;
use tokio::sync::watch;

/// See the module.
#[derive(Clone, Debug)]
pub struct Deadline(Option<watch::Receiver<Instant>>);

impl Deadline {
    /// Whenever.
    pub const NONE: Self = Self(None);

    /// By the newest instant told; when the sender is gone, by the last.
    pub fn moving(by: watch::Receiver<Instant>) -> Self {
        Self(Some(by))
    }

    /// By then.
    pub fn at(by: Instant) -> Self {
        Self(Some(watch::channel(by).1))
    }

    /// It is over already.
    pub fn is_over(&self) -> bool {
        let by = self.0.as_ref().map(|by| *by.borrow());
        by.is_some_and(|by| by <= Instant::now())
    }

    /// Returns when it is over.
    pub async fn over(&mut self) {
        let Some(by) = &mut self.0 else {
            return std::future::pending().await;
        };
        loop {
            let last = *by.borrow_and_update();
            tokio::select! {
                () = tokio::time::sleep_until(last.into()) => return,
                moved = by.changed() => if moved.is_err() {
                    return tokio::time::sleep_until(last.into()).await;
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
