//! The main job, end to end, for a person to watch: three nodes on a LAN, a client, a web server behind each node,
//! and Services from a folder of manifests. No cluster, no root where unprivileged namespaces are allowed.
//!
//! It shows and measures; it asserts only that each act came to its end.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::fleet::{self, Fleet, V4, V6, station, trial};
use tests::lab::{self, Capture, Frame, Load, client};

const NODES: usize = 3;
/// Longest a person should wait for any one act.
const ACT: Duration = Duration::from_secs(20);
/// A client that gets no answer in this time tries again.
const TRY: Duration = Duration::from_millis(250);
/// New connections a second during a move.
const RATE: u32 = 200;
/// Before a move, and after a pause: so that something is seen.
const BEFORE: Duration = Duration::from_millis(500);
/// Between two looks, and two rounds of questions.
const PAUSE: Duration = Duration::from_millis(20);
/// One that takes back what it had would do so at once.
const WATCH: Duration = Duration::from_secs(2);
/// What the pool gives next.
const NEXT_V4: &str = "192.0.2.201";
const NEXT_V6: &str = "2001:db8:2::201";

fn main() -> Result<()> {
    lab::enter()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if has("--cluster") {
        return tests::cluster_demo::run(has("--keep"));
    }
    demo(has("--keep"))
}

fn demo(keep: bool) -> Result<()> {
    println!(
        "A LAN with {NODES} nodes, a pod with a web server behind each, and a client; no Kubernetes."
    );
    println!("kube-proxy's part is played by one nf_tables rule per Service port on each node.\n");
    let mut fleet = Fleet::new(NODES)?;
    let addresses: [IpAddr; 2] = [V4.parse()?, V6.parse()?];
    let next: [IpAddr; 2] = [NEXT_V4.parse()?, NEXT_V6.parse()?];
    fleet.proxy(
        &[addresses, next]
            .concat()
            .into_iter()
            .map(|a| (a, 80))
            .collect::<Vec<_>>(),
    )?;
    let wire = Capture::start(&fleet.lab.client, "eth0")?;

    fleet.start_all()?;
    fleet.write("pool.yaml", &fleet::pool(&fleet::POOL))?;
    fleet.wait_until_ready(&[0, 1, 2], ACT)?;
    println!("1. Three speakers run and hear each other. A Service appears:");
    let written = Instant::now();
    fleet.write("web.yaml", &fleet::service("web", true, NODES))?;
    let first = announced(&wire, addresses[0], written)?;
    println!(
        "     it has {V4} and {V6}; node-{} announced it after {} ms",
        owner(&fleet, &first)?,
        millis(first.at - written)
    );

    println!("\n2. The client asks, over IPv4 and IPv6:");
    for address in addresses {
        let at = SocketAddr::new(address, 80);
        let answer =
            client::http_get(&fleet.lab.client, at, ACT).context("the client's request")?;
        println!("     GET http://{at}/ -> {}", answer.trim());
    }

    planned_move(&mut fleet, &wire)?;
    paused_holder(&mut fleet, &wire)?;
    let dead = killed_holder(&mut fleet, &wire, addresses)?;
    returning_node(&mut fleet, &wire, dead)?;
    if keep {
        leave_up(&mut fleet)?;
    } else {
        println!(
            "\nDone. `make demo KEEP=1` leaves the lab up, `make demo CLUSTER=1` runs it on a real control plane."
        );
    }
    Ok(())
}

/// The third act.
fn planned_move(fleet: &mut Fleet, wire: &Capture) -> Result<()> {
    let address: IpAddr = V4.parse()?;
    let holder = holder(fleet, address)?;
    let to = (holder + 1) % NODES;
    println!("\n3. A person moves it, while a client opens {RATE} new connections a second:");
    println!("     $ harbinger move svc default/web --to node-{to} --dir …");
    let load = Load::start(&fleet.lab.client, SocketAddr::new(address, 80), RATE);
    lab::pause(BEFORE);
    let asked = Instant::now();
    let said = fleet.move_to("default/web", to)?;
    for line in said.lines() {
        println!("     {line}");
    }
    let frame = announced_by_another(fleet, wire, address, holder, asked)?;
    let tally = load.since(asked);
    drop(load);
    println!(
        "     node-{} announced {V4} {} ms after the question; {tally}",
        owner(fleet, &frame)?,
        millis(frame.at - asked)
    );
    Ok(())
}

/// The fourth act.
fn paused_holder(fleet: &mut Fleet, wire: &Capture) -> Result<()> {
    let address: IpAddr = V4.parse()?;
    let holder = holder(fleet, address)?;
    let mac = fleet.lab.nodes[holder].mac("eth0")?;
    println!(
        "\n4. The speaker of the node that answers is paused (SIGSTOP), and goes on later (SIGCONT):"
    );
    let stopped = Instant::now();
    fleet.process(holder)?.stop();
    let frame = announced_by_another(fleet, wire, address, holder, stopped)?;
    println!(
        "     node-{holder} says nothing; node-{} announced {V4} after {} ms",
        owner(fleet, &frame)?,
        millis(frame.at - stopped)
    );
    let questions = trial::questions(V4.parse()?);
    station::send(&fleet.lab.client, "eth0", &questions)?;
    fleet.process(holder)?.cont();
    station::flood(&fleet.lab.client, "eth0", &questions, 3, PAUSE)?;
    lab::pause(BEFORE);
    let answers = |by: &dyn Fn([u8; 6]) -> bool| {
        let asked = |f: &Frame| f.destination()[..5] == questions[0][6..11];
        wire.count(|f| f.at >= stopped && f.announces(address) && asked(f) && by(f.source()))
    };
    println!(
        "     of {} questions that waited for it and came as it woke it answered {}; the new holder answered {}",
        4 * questions.len(),
        answers(&|source| source == mac),
        answers(&|source| source != mac),
    );
    Ok(())
}

/// The fifth act; the node whose speaker is dead.
fn killed_holder(fleet: &mut Fleet, wire: &Capture, addresses: [IpAddr; 2]) -> Result<usize> {
    println!("\n5. The speaker of the node that answers is killed (SIGKILL):");
    let holder = holder(fleet, addresses[0])?;
    let killed = Instant::now();
    fleet.kill(holder)?;
    let next = announced_by_another(fleet, wire, addresses[0], holder, killed)?;
    println!(
        "     node-{holder} is silent; node-{} announced {V4} after {} ms",
        owner(fleet, &next)?,
        millis(next.at - killed)
    );
    let answered = answer_from_another(fleet, addresses[0], holder)?;
    println!(
        "     the client's next answer came {} ms after the kill: {}",
        millis(answered.0 - killed),
        answered.1.trim()
    );
    let v6 = SocketAddr::new(addresses[1], 80);
    let answer = client::http_get(&fleet.lab.client, v6, ACT)?;
    println!("     and over IPv6: {}", answer.trim());
    Ok(holder)
}

/// The sixth act.
fn returning_node(fleet: &mut Fleet, wire: &Capture, dead: usize) -> Result<()> {
    let address: IpAddr = V4.parse()?;
    println!("\n6. The node whose speaker was killed is back:");
    let before = holder(fleet, address)?;
    let mac = fleet.lab.nodes[dead].mac("eth0")?;
    let started = Instant::now();
    fleet.start(dead)?;
    fleet.wait_until_ready(&[dead], ACT)?;
    let ready = started.elapsed();
    lab::pause(WATCH);
    let claimed = wire.count(|f| f.at >= started && f.announces(address) && f.source() == mac);
    println!(
        "     node-{dead} is ready after {} ms; {} s later it has announced {V4} {claimed} times: node-{} holds it, as before (node-{before})",
        millis(ready),
        WATCH.as_secs(),
        holder(fleet, address)?,
    );
    Ok(())
}

/// Who answers for it, by the nodes' own word, once that is exactly one.
fn holder(fleet: &Fleet, address: IpAddr) -> Result<usize> {
    let label = format!("ip=\"{address}\"");
    let until = Instant::now() + ACT;
    while Instant::now() < until {
        // A dead one says nothing.
        let holds = |n: &usize| {
            let count = fleet.metric(*n, "harbinger_speaker_answering", &label);
            count.is_ok_and(|count| count > 0.0)
        };
        if let [one] = (0..NODES).filter(holds).collect::<Vec<_>>()[..] {
            return Ok(one);
        }
        lab::pause(PAUSE);
    }
    anyhow::bail!("not one holder of {address} within {ACT:?}")
}

fn announced_by_another(
    fleet: &Fleet,
    wire: &Capture,
    address: IpAddr,
    holder: usize,
    after: Instant,
) -> Result<Frame> {
    let mac = fleet.lab.nodes[holder].mac("eth0")?;
    wire.wait_after(after, ACT, |f| f.gratuitous(address) && f.source() != mac)
        .with_context(|| format!("nobody announced {address} within {ACT:?}"))
}

fn announced(wire: &Capture, address: IpAddr, after: Instant) -> Result<Frame> {
    wire.wait_after(after, ACT, |frame| frame.gratuitous(address))
        .with_context(|| format!("nobody announced {address} within {ACT:?}"))
}

fn owner(fleet: &Fleet, frame: &Frame) -> Result<usize> {
    fleet.node_of(frame.source())?.context("a frame of no node")
}

/// Asks again and again, as a browser would, until a pod of another node answers.
fn answer_from_another(fleet: &Fleet, address: IpAddr, dead: usize) -> Result<(Instant, String)> {
    let at = SocketAddr::new(address, 80);
    let gone = format!("pod-{dead}");
    let until = Instant::now() + ACT;
    while Instant::now() < until {
        // The node is alive, only its speaker is dead: until the client learns of the new holder its old pod answers.
        if let Ok(answer) = client::http_get(&fleet.lab.client, at, TRY)
            && !answer.starts_with(&gone)
        {
            return Ok((Instant::now(), answer));
        }
    }
    anyhow::bail!("no other pod answered within {ACT:?}")
}

fn leave_up(fleet: &mut Fleet) -> Result<()> {
    let client = enter(&fleet.lab.client);
    let folder = fleet.manifests();
    let folder = folder.display();
    println!("\nThe lab is up. Three things to try, each in another terminal:");
    println!("  1. Be the client:");
    println!("       {client} curl http://{V4}/ 'http://[{V6}]/'");
    println!("  2. Add a Service; its addresses are the next of the pool:");
    println!("       sed 's/name: web/name: more/' {folder}/web.yaml > {folder}/more.yaml");
    println!("       {client} curl http://{NEXT_V4}/ 'http://[{NEXT_V6}]/'");
    println!(
        "       cat {}",
        fleet.state().join("events.jsonl").display()
    );
    println!("  3. Kill a speaker, and be the client again:");
    for n in 0..NODES {
        println!("       kill -9 {}   # node-{n}", fleet.process(n)?.id());
    }
    println!("The logs are in {}.", fleet.path().join("logs").display());
    println!("Press Enter to end it.");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// How another program gets onto a host of the lab.
fn enter(host: &lab::Host) -> String {
    let user = if lab::has_own_users() {
        format!(
            " --target {} --user --preserve-credentials",
            std::process::id()
        )
    } else {
        String::new()
    };
    format!("nsenter{user} --net={}", host.path())
}

fn millis(time: Duration) -> u128 {
    time.as_millis()
}
