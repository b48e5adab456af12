//! Who announces follows the health of the nodes. What answers on 10256 here stands in for kube-proxy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tests::fleet::trial::Trial;
use tests::lab::{self, Load, Status};

const NODES: usize = 3;

/// Three failed probes, what the members need to hear of it, and the move; with room for a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

/// New connections a second meanwhile.
const RATE: u32 = 100;

fn holder_is(trial: &mut Trial, what: &str, wanted: impl Fn(usize) -> bool) -> usize {
    lab::eventually(SOON, what, || trial.calm().ok().filter(|n| wanted(*n)))
}

#[test]
fn an_address_leaves_a_node_whose_kube_proxy_is_unwell_and_never_the_last_one() {
    if !lab::ready() {
        return;
    }
    let mut trial = Trial::new(NODES).unwrap();
    let all = SocketAddr::new("::".parse().unwrap(), 10256);
    let start = |n: usize, trial: &Trial| Status::start(&trial.fleet.lab.nodes[n], all).unwrap();
    let mut proxies: Vec<Option<Status>> = (0..NODES).map(|n| Some(start(n, &trial))).collect();
    let load = Load::start(&trial.fleet.lab.client, trial.web(), RATE);
    // Its rules are not up to date.
    let first = trial.calm().unwrap();
    lab::pause(Duration::from_secs(3));
    let at = Instant::now();
    proxies[first].as_ref().unwrap().set(503);
    let second = holder_is(&mut trial, "it leaves who answers 503", |n| n != first);
    println!(
        "503: node-{first} -> node-{second} after {:?}",
        at.elapsed()
    );
    let plan = trial.fleet.admin(second, "/debug/plan").unwrap();
    assert!(plan.contains("Unhealthy"), "{plan}");
    // kube-proxy is gone.
    let at = Instant::now();
    proxies[second] = None;
    let third = holder_is(&mut trial, "it leaves whose kube-proxy is gone", |n| {
        n != first && n != second
    });
    println!(
        "gone: node-{second} -> node-{third} after {:?}",
        at.elapsed()
    );
    // Nobody is left who is well: it stays.
    proxies[third].as_ref().unwrap().set(503);
    lab::pause(Duration::from_secs(6));
    assert_eq!(trial.calm().unwrap(), third, "the last one");
    // One is well again: it takes over, and what it has it keeps when the others return.
    proxies[first].as_ref().unwrap().set(200);
    let back = holder_is(&mut trial, "the one that is well takes it", |n| n == first);
    proxies[second] = Some(start(second, &trial));
    proxies[third].as_ref().unwrap().set(200);
    lab::pause(Duration::from_secs(4));
    assert_eq!(trial.calm().unwrap(), back, "who holds it keeps it");
    let tally = load.finish();
    println!("meanwhile: {tally}");
    assert_eq!(tally.lost, 0, "{}", trial.fleet.logs());
}
