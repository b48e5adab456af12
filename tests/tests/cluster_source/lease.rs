//! The election by a Lease.

use super::*;

async fn leader(leadership: &mut watch::Receiver<Leadership>) -> Leadership {
    let wait = leadership.wait_for(|now| matches!(now, Leadership::Leader { .. }));
    let seen = tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("a leader in time");
    seen.expect("the campaign lives").clone()
}

fn campaign(client: &Client, identity: &str) -> Campaign {
    let lease = KubeConfig {
        lease_name: "story".to_owned(),
        ..config(Role::Controller)
    };
    KubeSource::new(client.clone(), lease).campaign(identity)
}

#[test]
fn a_released_lease_is_taken_at_once_and_a_dead_one_when_it_ends() {
    shared().block_on(async |client| {
        let first = campaign(&client, "first");
        let Leadership::Leader { epoch, until } = leader(&mut first.leadership()).await else {
            unreachable!("a leader")
        };
        assert_eq!(epoch, 1);
        assert!(until.expect("a Lease ends") <= Instant::now() + Duration::from_secs(2));
        let second = campaign(&client, "second");
        let mut follower = second.leadership();
        let known = Leadership::Follower {
            holder: Some("first".to_owned()),
        };
        let waited = tokio::time::timeout(PATIENCE, follower.wait_for(|now| *now == known)).await;
        assert!(waited.is_ok(), "the holder is known");
        drop(waited);
        let begun = Instant::now();
        first.release().await;
        leader(&mut follower).await;
        let released = begun.elapsed();

        let third = campaign(&client, "third");
        let mut standby = third.leadership();
        let known = Leadership::Follower {
            holder: Some("second".to_owned()),
        };
        let waited = tokio::time::timeout(PATIENCE, standby.wait_for(|now| *now == known)).await;
        assert!(waited.is_ok(), "the new holder is known");
        drop(waited);
        let begun = Instant::now();
        drop(second);
        leader(&mut standby).await;
        let killed = begun.elapsed();
        println!("lease of 2 s: taken {released:?} after a release, {killed:?} after a kill");
        assert!(
            released < Duration::from_millis(1_500),
            "not at once: {released:?}"
        );
        assert!(
            killed > Duration::from_secs(1),
            "taken from the living: {killed:?}"
        );
        assert!(killed <= Duration::from_secs(3), "{killed:?}");
        third.release().await;
    });
}
