//! Planning: one endpoint change among many Services, by the engine alone, and `harbinger plan` as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use engine::elect::big;
use engine::facts::{Facts, Interface, MembersView};
use engine::speaker::{Speaker, SpeakerConfig};
use engine::world::{Change, Delta, Object, Store, World};

use super::{Bench, Figure, Samples, say};
use crate::fleet;

const NAMESPACE: &str = "metallb-system";
const SERVICES: u32 = 10_000;
const NODES: u32 = 200;
/// Changes measured.
const CHANGES: u32 = 1_000;
const CHANGE_TARGET_MS: f64 = 2.0;

/// Size of the input of `harbinger plan`.
const PLAN_SERVICES: u32 = 2_000;
const PLAN_NODES: u32 = 100;
const PLAN_RUNS: usize = 20;
const PLAN_TARGET_MS: f64 = 1_000.0;

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    Ok(vec![endpoint_change()?, command()?])
}

/// From the change's arrival at the speaker to the plan that its wire would get.
fn endpoint_change() -> Result<Figure> {
    let now = Instant::now();
    let mut speaker = Speaker::new(SpeakerConfig::new("node-0", NAMESPACE), 1, now);
    for change in listing(&big::world(SERVICES, NODES, NAMESPACE)) {
        speaker.handle_change(change);
    }
    speaker.handle_facts(facts());
    speaker.turn(now);
    ensure!(speaker.is_planned(), "the speaker has no plan");
    let entries = speaker.entries().len();
    ensure!(entries == SERVICES as usize, "{entries} addresses planned");
    drain(&mut speaker, now);
    let mut samples = Samples::default();
    for n in 0..CHANGES {
        // A stride that is no divisor: all over the world.
        let index = (n / 2 * 7919) % SERVICES;
        let change = big::endpoint_change(index, NODES, n % 2 == 1);
        let begun = Instant::now();
        speaker.handle_change(change);
        speaker.turn(now);
        std::hint::black_box(speaker.desired());
        samples.push(begun.elapsed().as_secs_f64() * 1e3);
        drain(&mut speaker, now);
    }
    let (median, worst) = (samples.p50(), samples.p99());
    let met = worst <= CHANGE_TARGET_MS;
    say(&format!(
        "endpoint change: p50 {median:.3} ms, p99 {worst:.3} ms"
    ));
    Ok(Figure::new(
        "one endpoint change, 10,000 Services x 200 nodes -> new plan",
        "ms",
        samples,
    )
    .target("<= 2 ms (p99)", met)
    .how("engine::speaker in this process: handle_change + turn"))
}

/// Its writes are not what is measured.
fn drain(speaker: &mut Speaker, now: Instant) {
    while let Some((ticket, _write)) = speaker.poll_write(now) {
        speaker.handle_outcome(ticket, engine::write::Outcome::Done(None), now);
    }
}

fn facts() -> Facts {
    let interface = Interface {
        index: 2,
        name: "eth0".to_owned(),
        mac: Some([2, 0, 0, 0, 0, 1]),
        ethernet: true,
        up: true,
        carrier: true,
        broadcast: true,
        ..Interface::default()
    };
    Facts {
        interfaces: Some(BTreeMap::from([(2, interface)])),
        members: MembersView {
            off: true,
            settled: true,
            ..MembersView::default()
        },
        ..Facts::default()
    }
}

/// The first list of every kind.
fn listing(world: &World) -> Vec<Change> {
    fn reset<T: Object + PartialEq + Clone>(store: &Store<T>) -> Delta<T> {
        Delta::Reset {
            objects: store.iter().cloned().collect(),
            epoch: 1,
        }
    }
    vec![
        Change::Namespace(reset(&world.namespaces)),
        Change::Node(reset(&world.nodes)),
        Change::Pool(reset(&world.pools)),
        Change::L2Advertisement(reset(&world.l2_advertisements)),
        Change::Service(reset(&world.services)),
        Change::EndpointSlice(reset(&world.endpoint_slices)),
        Change::Pod(reset(&world.pods)),
        Change::Secret(reset(&world.secrets)),
        Change::ConfigMap(reset(&world.config_maps)),
        Change::L2Status(reset(&world.l2_statuses)),
        Change::BgpStatus(reset(&world.bgp_statuses)),
        Change::SessionState(reset(&world.session_states)),
        Change::ConfigurationState(reset(&world.configuration_states)),
    ]
}

/// `harbinger plan` on files, from start to exit.
fn command() -> Result<Figure> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("all.yaml"), manifests())?;
    let mut samples = Samples::default();
    for _ in 0..PLAN_RUNS {
        let begun = Instant::now();
        let output = Command::new(fleet::binary()?)
            .args(["plan", "-o", "json"])
            .arg(folder.path())
            .stderr(Stdio::inherit())
            .output()?;
        samples.push(begun.elapsed().as_secs_f64() * 1e3);
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let announced = answer["l2"].as_array().map_or(0, Vec::len);
        ensure!(
            announced == PLAN_SERVICES as usize,
            "the plan announces {announced} addresses: {}",
            output.status
        );
    }
    let met = samples.worst() <= PLAN_TARGET_MS;
    Ok(
        Figure::new("harbinger plan, 2,000 Services x 100 nodes", "ms", samples)
            .target("< 1 s", met)
            .how("the process as a whole, JSON"),
    )
}

fn manifests() -> String {
    let mut text = fleet::pool(&["10.1.0.0/16"]);
    for n in 0..PLAN_NODES {
        let _infallible = write!(
            text,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: node-{n}}}\nstatus:\n  addresses:\n  \
             - {{type: InternalIP, address: 10.0.0.{n}}}\n"
        );
    }
    for n in 0..PLAN_SERVICES {
        let nodes: Vec<String> = (0..3)
            .map(|at| format!("node-{}", (n + at) % PLAN_NODES))
            .collect();
        let _infallible = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata:\n  name: service-{n}\n  namespace: default\n  annotations:\n    \
             harbinger.dev/endpoints: {}\nspec:\n  type: LoadBalancer\n  ports:\n  - {{name: http, port: 80}}\n",
            nodes.join(",")
        );
    }
    text
}
