//! The API server is gone, and holders die, are paused and are stopped; a speaker that starts then waits.
//! Times are printed, never judged.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::cluster_lab::ClusterLab;
use tests::fleet;
use tests::lab::{self, Capture, Frame, Load, client};

tests::enter_lab_at_start!();

/// Long enough for a loaded machine; every wait ends at its event.
const SOON: Duration = Duration::from_secs(30);
const NODES: usize = 3;
const RATE: u32 = 200;
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\n\
    spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";

struct Story {
    cluster: ClusterLab,
    wire: Capture,
    address: IpAddr,
}

impl Story {
    fn new() -> Self {
        let mut cluster = ClusterLab::new(NODES, "nftables").unwrap();
        cluster.start_controller("controller-a").unwrap();
        for n in 0..NODES {
            cluster.pod("web", n).unwrap();
            cluster.start_speaker(n).unwrap();
        }
        let wire = Capture::start(&cluster.lab.client, "eth0").unwrap();
        cluster
            .apply(&fleet::pool(&["192.0.2.200-192.0.2.219"]))
            .unwrap();
        cluster.apply(SERVICE).unwrap();
        let address = cluster.address_of("web", SOON);
        let story = Self {
            cluster,
            wire,
            address,
        };
        lab::eventually(SOON, "the client is answered", || {
            let at = SocketAddr::new(address, 80);
            client::http_get(&story.cluster.lab.client, at, Duration::from_millis(500)).ok()
        });
        story
    }

    fn mac(&self, node: usize) -> [u8; 6] {
        self.cluster.lab.nodes[node].mac("eth0").unwrap()
    }

    /// Who announced it last.
    fn holder(&self) -> usize {
        let mine = |f: &Frame| f.gratuitous(self.address);
        let newest = self.wire.frames().into_iter().rfind(mine).unwrap();
        (0..NODES)
            .find(|n| self.mac(*n) == newest.source())
            .unwrap()
    }

    /// The first frame by another node.
    fn next(&self, holder: usize, since: Instant) -> Duration {
        let mac = self.mac(holder);
        let other = |f: &Frame| f.gratuitous(self.address) && f.source() != mac;
        let frame = self.wire.wait_after(since, SOON, other);
        frame.expect("another one announces it").at - since
    }

    fn claims_of(&self, node: usize, since: Instant) -> usize {
        let mac = self.mac(node);
        self.wire
            .count(|f| f.at >= since && f.source() == mac && f.announces(self.address))
    }
}

#[test]
fn holders_are_followed_without_the_api_server_and_a_speaker_that_starts_then_waits() {
    if !lab::ready() {
        return;
    }
    let mut story = Story::new();
    // All of them have heard of each other.
    lab::pause(Duration::from_secs(2));
    let first = story.holder();
    story.cluster.plane.stop_apiserver();
    let load = Load::start(
        &story.cluster.lab.client,
        SocketAddr::new(story.address, 80),
        RATE,
    );

    let stopped = Instant::now();
    story
        .cluster
        .speaker(first)
        .unwrap()
        .signal(Signal::SIGSTOP);
    let time = story.next(first, stopped);
    println!(
        "paused: node-{first}, next frame after {time:?}; {}",
        load.since(stopped)
    );
    let goes_on = Instant::now();
    story
        .cluster
        .speaker(first)
        .unwrap()
        .signal(Signal::SIGCONT);
    story
        .cluster
        .speaker(first)
        .unwrap()
        .wait_for_log(SOON, "\"resumed\"");
    assert_eq!(story.claims_of(first, stopped), 0);

    // Everybody has heard of everybody again.
    lab::pause(Duration::from_secs(2).saturating_sub(goes_on.elapsed()));
    let second = story.holder();
    assert_ne!(first, second);
    let told = Instant::now();
    let status = story.cluster.speaker(second).unwrap().stop_within(SOON);
    assert!(status.success(), "{status}");
    let time = story.next(second, told);
    let tally = load.since(told);
    println!("stopped: node-{second}, next frame after {time:?}; {tally}");
    assert_eq!(tally.lost, 0);

    let third = story.holder();
    let started = Instant::now();
    story.cluster.start_speaker(second).unwrap();
    let says = "before it has read the cluster once";
    story
        .cluster
        .speaker(second)
        .unwrap()
        .wait_for_log(SOON, says);
    let killed = Instant::now();
    story.cluster.speaker(third).unwrap().kill();
    let time = story.next(third, killed);
    println!(
        "killed: node-{third}, next frame after {time:?}; {}",
        load.since(killed)
    );
    let fourth = story.holder();
    assert!(
        ![second, third].contains(&fourth),
        "one that knows nothing serves nothing"
    );
    assert_eq!(story.claims_of(second, started), 0);

    story.cluster.plane.start_apiserver().unwrap();
    let back = Instant::now();
    lab::eventually(SOON, "the one that waited is ready", || {
        let at = SocketAddr::from(([127, 0, 0, 1], fleet::ADMIN_PORT));
        client::http_get_path(&story.cluster.lab.nodes[second], at, "/readyz", SOON).ok()
    });
    println!(
        "the API server is back; node-{second} is ready after {:?}",
        back.elapsed()
    );
    lab::pause(Duration::from_secs(1));
    assert_eq!(story.claims_of(second, started), 0, "and takes nothing");
    assert_eq!(story.holder(), fourth);
    println!("all the while {}", load.finish());
}
