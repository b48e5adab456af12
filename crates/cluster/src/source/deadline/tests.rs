//! Deadlines that move, in tokio's paused time.

use super::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// How long it takes to be over.
async fn lasts(mut deadline: Deadline) -> Duration {
    let begun = tokio::time::Instant::now();
    deadline.over().await;
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_write_outlasts_the_deadline_it_was_sent_with_when_that_moves() {
    let now = tokio::time::Instant::now().into_std();
    let (lease, by) = watch::channel(now + SECOND);
    let renewed = async {
        tokio::time::sleep(SECOND / 2).await;
        lease.send_replace(now + 2 * SECOND);
        tokio::time::sleep(5 * SECOND).await;
    };
    let (took, ()) = tokio::join!(lasts(Deadline::moving(by)), renewed);
    assert!(took >= 2 * SECOND && took < 3 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_deadline_stays_when_the_leadership_has_ended() {
    let now = tokio::time::Instant::now().into_std();
    let (lease, by) = watch::channel(now + SECOND);
    drop(lease);
    let took = lasts(Deadline::moving(by)).await;
    assert!(took >= SECOND && took < 2 * SECOND, "{took:?}");
    let took = lasts(Deadline::at(now + 3 * SECOND)).await;
    assert!(took >= SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn none_is_never_over() {
    assert!(!Deadline::NONE.is_over());
    let never = tokio::time::timeout(1_000 * SECOND, lasts(Deadline::NONE));
    assert!(never.await.is_err());
    assert!(Deadline::at(Instant::now()).is_over());
}
