//! How long to wait after a failure.

use std::time::Duration;

/// Doubles from `first` to `last`, each wait drawn between half of it and all of it.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    next: Duration,
    first: Duration,
    last: Duration,
}

impl Backoff {
    /// For a server that does not answer.
    pub(super) fn new() -> Self {
        Self::between(Duration::from_millis(100), Duration::from_secs(5))
    }

    /// For a kind that is not served, or not allowed, yet: the definitions or the rules may come
    /// with the next line of the same `kubectl apply`.
    pub(super) fn short() -> Self {
        Self::between(Duration::from_millis(100), Duration::from_secs(1))
    }

    fn between(first: Duration, last: Duration) -> Self {
        Self {
            next: first,
            first,
            last,
        }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits, and waits longer the next time.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.draw(crate::random::number())).await;
    }

    pub(super) fn draw(&mut self, random: u64) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.last);
        let half = whole / 2;
        let parts = u32::try_from(random % 1024).unwrap_or_default();
        half + half * parts / 1024
    }
}
