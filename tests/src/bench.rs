//! The figures: what `make bench` measures, each beside its reference in the same run.
//!
//! Owns the list of rows, what they share while they run, and the order: what needs few Services comes before
//! what needs ten thousand. Deliberately without assertions: a missed target is a line that says so.

mod arp;
mod audit;
mod bare;
mod bgp_decode;
mod cluster;
mod failover;
mod figure;
mod idle;
mod members;
mod memory;
mod pending;
mod plan;
mod process;
mod restart;
mod share;
mod sim;
mod size;
mod start;
mod status;
mod takeover;
mod writes;

use anyhow::{Context, Result, bail};

pub use figure::{Figure, Samples, csv, table};

use cluster::Cluster;

/// A measurement that can be asked for by name.
struct Row {
    name: &'static str,
    run: fn(&mut Bench) -> Result<Vec<Figure>>,
}

/// In the order they are run.
const ROWS: &[Row] = &[
    Row {
        name: "size",
        run: size::run,
    },
    Row {
        name: "plan",
        run: plan::run,
    },
    Row {
        name: "bgp-decode",
        run: bgp_decode::run,
    },
    Row {
        name: "sim",
        run: sim::run,
    },
    Row {
        name: "arp",
        run: arp::run,
    },
    Row {
        name: "share",
        run: share::run,
    },
    Row {
        name: "members",
        run: members::run,
    },
    Row {
        name: "failover",
        run: failover::killed,
    },
    Row {
        name: "frozen",
        run: failover::frozen,
    },
    Row {
        name: "link",
        run: failover::link,
    },
    Row {
        name: "planned",
        run: failover::planned,
    },
    Row {
        name: "heal",
        run: failover::healed,
    },
    Row {
        name: "return",
        run: failover::returning,
    },
    Row {
        name: "status",
        run: status::run,
    },
    Row {
        name: "memory-1",
        run: memory::one,
    },
    Row {
        name: "writes",
        run: writes::run,
    },
    Row {
        name: "start-1000",
        run: start::thousand,
    },
    Row {
        name: "takeover-1000",
        run: takeover::thousand,
    },
    Row {
        name: "idle",
        run: idle::run,
    },
    Row {
        name: "pending",
        run: pending::run,
    },
    Row {
        name: "restart",
        run: restart::run,
    },
    Row {
        name: "start-10000",
        run: start::ten_thousand,
    },
    Row {
        name: "takeover-10000",
        run: takeover::ten_thousand,
    },
];

/// The names of all rows, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// What rows share: one cluster that only grows.
#[derive(Default)]
pub struct Bench {
    cluster: Option<Cluster>,
}

impl Bench {
    /// Measures one row by name.
    ///
    /// # Errors
    /// No such row, or it could not be measured; a missed target is no error.
    pub fn run(&mut self, name: &str) -> Result<Vec<Figure>> {
        let row = ROWS.iter().find(|row| row.name == name);
        let Some(row) = row else {
            let all: Vec<&str> = names().collect();
            bail!("no row {name}; there are {}", all.join(", "));
        };
        let load = process::load();
        let measured = (row.run)(self).with_context(|| format!("row {name}"));
        if measured.is_err() {
            // Whatever it left behind would be measured by the next one.
            self.cluster = None;
        }
        let mut figures = measured?;
        for figure in &mut figures {
            figure.row = row.name;
            figure.load = load;
        }
        Ok(figures)
    }

    /// The cluster with `services` Services at most so far; a fuller one is left for a new one.
    fn cluster(&mut self, services: usize) -> Result<&mut Cluster> {
        if self
            .cluster
            .as_ref()
            .is_some_and(|c| c.services() > services)
        {
            self.cluster = None;
        }
        if self.cluster.is_none() {
            self.cluster = Some(Cluster::start()?);
        }
        self.cluster.as_mut().context("made above")
    }
}

/// How many runs: all of them, or with `QUICK=1` in the environment a fifth, for a look.
fn runs(all: usize) -> usize {
    let quick = std::env::var_os("QUICK").is_some_and(|it| !it.is_empty());
    if quick { all.div_ceil(5) } else { all }
}

/// A line about what goes on, apart from the table.
fn say(text: &str) {
    eprintln!("    {text}");
}
