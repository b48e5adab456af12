//! The shape of a line, and what is taken for a level.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

use super::{Json, Level, LogControl};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(sink: &Sink) -> Vec<Value> {
    let bytes = sink.0.lock().unwrap().clone();
    String::from_utf8(bytes)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_carries_the_keys_of_metallb_and_the_fields() {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = tracing_subscriber::registry().with(
        tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || writer.clone()),
    );
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(event = "started", count = 3, level = "x", "hello \"you\"");
    });
    let line = lines(&sink).remove(0);
    assert_eq!(line["level"], "info");
    assert_eq!(line["msg"], "hello \"you\"");
    assert_eq!(line["event"], "started");
    assert_eq!(line["count"], 3);
    assert_eq!(line["field_level"], "x");
    assert!(line["caller"].as_str().unwrap().starts_with("tests.rs:"));
    assert!(line["ts"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_level_is_changed_while_running() {
    let sink = Sink::default();
    let writer = sink.clone();
    let (control, layer) = LogControl::detached();
    let subscriber = tracing_subscriber::registry().with(layer).with(
        tracing_subscriber::fmt::layer()
            .event_format(Json)
            .with_writer(move || writer.clone()),
    );
    tracing::subscriber::with_default(subscriber, || {
        tracing::debug!("not heard");
        control.set(&"debug".parse().unwrap()).unwrap();
        tracing::debug!("heard");
        control.set(&"none".parse().unwrap()).unwrap();
        tracing::error!("not heard either");
    });
    let heard: Vec<_> = lines(&sink).iter().map(|l| l["msg"].clone()).collect();
    assert_eq!(heard, ["heard"]);
}

#[test]
fn levels_of_metallb_and_directives_are_taken_and_nothing_else() {
    for good in [
        "all",
        "debug",
        "info",
        "warn",
        "error",
        "none",
        "info,harbinger=debug",
    ] {
        assert!(good.parse::<Level>().is_ok(), "{good}");
    }
    for bad in ["", "loud", "=,=[", &"a=info,".repeat(100)] {
        assert!(bad.parse::<Level>().is_err(), "{bad}");
    }
}
