//! The simulation's seeds: a hundred of them, those that ever failed, and the bugs that must be found.
//!
//! `make sim SEED= COUNT=` runs others. A seed that fails is printed with its last lines and how to run it alone; it is then
//! added to `tests/src/sim/seeds.txt` and always runs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::sim::{Planted, Report, Settings, explain, failover, run, run_and_tell};

/// Seeds that always run.
const SEEDS: u64 = 100;
/// By so many a planted bug is found (the issue asks for 1,000).
const PLANTED_MAX: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Seeds that find something that is not mended yet: they run, and are told.
fn open() -> BTreeSet<u64> {
    let lines = include_str!("../src/sim/seeds.txt").lines();
    let open = lines.filter(|line| line.contains(" open: "));
    open.filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect()
}

/// The seeds of this run: those that are asked for, or the usual ones and those that ever failed.
fn seeds() -> Vec<u64> {
    if let Some(first) = number("SIM_SEED") {
        return (first..first + number("SIM_COUNT").unwrap_or(1)).collect();
    }
    let kept = include_str!("../src/sim/seeds.txt").lines();
    let kept = kept
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let seed = line.split_whitespace().next().expect("a seed");
            seed.parse().expect("a number")
        });
    let first = 0..number("SIM_COUNT").unwrap_or(SEEDS);
    first
        .chain(kept)
        .collect::<BTreeSet<u64>>()
        .into_iter()
        .collect()
}

/// Does it for each seed, on as many threads as there are processors.
fn each<T: Send>(seeds: &[u64], act: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(seed) = seeds.get(at) else {
                            return done;
                        };
                        done.push((at, act(*seed)));
                    }
                })
            })
            .collect();
        let done = workers.into_iter().flat_map(|w| w.join().expect("a run"));
        done.collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, value)| value).collect()
}

// L2-88
#[test]
fn every_seed_holds() {
    let seeds = seeds();
    let reports = each(&seeds, |seed| run_and_tell(seed, &Settings::default()));
    let simulated: f64 = reports.iter().map(|r| r.simulated.as_secs_f64()).sum();
    let calms: u64 = reports.iter().map(|r| r.figures.calms).sum();
    let doubles = reports.iter().map(|r| r.figures.longest_double).max();
    let asked: u64 = reports.iter().map(|r| r.figures.requests.0).sum();
    println!(
        "{} seeds, {simulated:.0} simulated seconds, {calms} calms, {asked} requests, longest double {doubles:?}",
        seeds.len()
    );
    let open = open();
    let told = |report: &&Report| number("SIM_SEED").is_none() && open.contains(&report.seed);
    for report in reports.iter().filter(told) {
        let what = report
            .failure
            .as_deref()
            .unwrap_or("found nothing: close it");
        println!("open seed {}: {what}", report.seed);
    }
    let failed: Vec<&Report> = reports
        .iter()
        .filter(|report| report.failure.is_some() && !told(report))
        .collect();
    if let Some(first) = failed.first() {
        let numbers: Vec<u64> = failed.iter().map(|report| report.seed).collect();
        panic!("{}\nfailed: {numbers:?}", explain(first));
    }
    if number("SIM_SEED").is_none() {
        assert!(
            calms > 3 * seeds.len() as u64,
            "the checkers have had something to check"
        );
    }
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    let seeds: Vec<u64> = (0..6).collect();
    let hash = |seed| run(seed, &Settings::default()).hash;
    let once = each(&seeds, hash);
    let again = each(&seeds, hash);
    assert_eq!(once, again);
    let different: BTreeSet<u64> = once.iter().copied().collect();
    assert_eq!(different.len(), seeds.len(), "another seed is another run");
}

/// The first seed that a bug is found by, and what was said. A seed that fails by itself finds nothing.
fn found(planted: Planted, seeds: std::ops::Range<u64>) -> (u64, String) {
    let all = seeds.clone();
    for seed in seeds {
        let settings = Settings {
            planted: Some(planted),
            ..Settings::default()
        };
        let report = run_and_tell(seed, &settings);
        if let Some(failure) = report.failure
            && run(seed, &Settings::default()).failure.is_none()
        {
            return (seed, failure);
        }
    }
    panic!("{planted:?} is not found by the seeds {all:?}");
}

fn all_found(planted: &[(Planted, std::ops::Range<u64>)]) {
    let numbers: Vec<u64> = (0..planted.len() as u64).collect();
    let all = each(&numbers, |number| {
        let (planted, seeds) = planted[number as usize].clone();
        (planted, found(planted, seeds))
    });
    for (planted, (seed, failure)) in all {
        println!("{planted:?}: by seed {seed}: {failure}");
    }
}

/// The short form: bugs that few seeds find.
#[test]
fn planted_bugs_are_found() {
    all_found(&[
        (Planted::AnswersAfterRelease, 0..20),
        (Planted::NoRelease, 0..20),
        (Planted::Blind, 0..30),
    ]);
}

/// The long form.
#[test]
#[ignore = "minutes: make soak"]
fn each_planted_bug_is_found_within_a_thousand_seeds() {
    let every = Planted::ALL.map(|planted| (planted, 0..PLANTED_MAX));
    all_found(&every);
}

// L2-86
#[test]
fn the_next_holder_speaks_within_a_second() {
    for (nodes, seeds) in [(3, 30), (5, 20), (20, 6)] {
        let seeds: Vec<u64> = (0..seeds).collect();
        let mut times: Vec<_> = each(&seeds, |seed| {
            let failover =
                failover(seed, nodes, 20).expect("somebody takes over within five seconds");
            failover.worst
        });
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{nodes} nodes, 2 % loss: median {median:?}, worst {worst:?} of {}",
            times.len()
        );
        assert!(worst.as_secs_f64() <= 1.0, "{nodes} nodes: {times:?}");
    }
}
