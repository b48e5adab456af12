//! The end of one part is the end of all, and no error is lost.

use anyhow::anyhow;

use super::{Errors, Stop, part};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn a_part_that_ends_unasked_stops_the_others_and_is_an_error() {
    block_on(async {
        let stop = Stop::default();
        let error = part(stop.clone(), "the brain", async { Ok(()) })
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("the brain ended"));
        stop.wait().await;
    });
}

#[test]
fn a_part_that_ends_when_asked_is_no_error() {
    block_on(async {
        let stop = Stop::default();
        let waiting = stop.clone();
        stop.request();
        let run = async move {
            waiting.wait().await;
            Ok(())
        };
        assert!(part(stop, "the brain", run).await.is_ok());
    });
}

#[test]
fn every_error_is_told() {
    let mut errors = Errors::default();
    errors.note("wire", Err(anyhow!("socket")));
    errors.note("brain", Ok(()));
    errors.note("admin", Err(anyhow!("port")));
    let text = errors.finish().unwrap_err().to_string();
    assert_eq!(text, "wire: socket\nadmin: port");
}
