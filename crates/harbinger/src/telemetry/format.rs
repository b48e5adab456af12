//! One event as one JSON object with MetalLB's keys.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The formatter: `{"level":"info","ts":"…","caller":"file.rs:12","msg":"…", fields…}`.
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        writeln!(writer, "{}", line(&time, event))
    }
}

fn line(time: &str, event: &Event<'_>) -> Value {
    let metadata = event.metadata();
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut object = Map::new();
    let level = metadata.level().as_str().to_ascii_lowercase();
    object.insert("level".to_owned(), Value::String(level));
    object.insert("ts".to_owned(), Value::String(time.to_owned()));
    let file = metadata.file().unwrap_or_else(|| metadata.target());
    let file = file.rsplit('/').next().unwrap_or(file);
    let caller = match metadata.line() {
        Some(line) => format!("{file}:{line}"),
        None => file.to_owned(),
    };
    object.insert("caller".to_owned(), Value::String(caller));
    object.insert("msg".to_owned(), Value::String(fields.message));
    object.extend(fields.rest);
    Value::Object(object)
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        // The four keys of every line are not to be overwritten by a field of the same name.
        let name = match field.name() {
            name @ ("level" | "ts" | "caller" | "msg") => format!("field_{name}"),
            name => name.to_owned(),
        };
        self.rest.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message.clear();
            let _infallible = write!(self.message, "{value:?}");
        } else {
            self.put(field, Value::String(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, Value::String(value.to_owned()));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}
