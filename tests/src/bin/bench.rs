//! `make bench`: measures the rows named on the command line, or all of them, prints the table and keeps it as
//! CSV under `bench/`. Exit status 0 also when a target is missed: it tells, it does not judge a build.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tests::bench::{Bench, Figure, csv, names, table};
use tests::lab;

fn main() -> Result<()> {
    lab::enter()?;
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if asked.iter().any(|name| name == "--list") {
        names().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let rows: Vec<String> = if asked.is_empty() {
        names().map(str::to_owned).collect()
    } else {
        asked
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench");
    let mut bench = Bench::default();
    let mut all: Vec<Figure> = Vec::new();
    let mut failed = Vec::new();
    for row in &rows {
        eprintln!("{row} ...");
        let begun = Instant::now();
        match bench.run(row) {
            Ok(figures) => {
                let path = folder.join(format!("{row}.csv"));
                std::fs::write(&path, csv(&figures))
                    .with_context(|| format!("cannot write {}", path.display()))?;
                eprint!("{}", table(&figures));
                all.extend(figures);
            }
            Err(error) => {
                eprintln!("    not measured: {error:#}");
                failed.push(row.as_str());
            }
        }
        eprintln!("    {:.1} s\n", begun.elapsed().as_secs_f64());
    }
    drop(bench);
    println!("{}", table(&all));
    let missed = all.iter().filter(|figure| !figure.met).count();
    println!("{} figures, {missed} missed", all.len());
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
