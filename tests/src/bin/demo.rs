//! The main job, end to end, for a person to watch: three nodes on a LAN, a client, a web server behind each node,
//! and Services from a folder of manifests. No cluster, no root where unprivileged namespaces are allowed.
//!
//! It shows and measures; it asserts only that each act came to its end.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tests::fleet::{self, Fleet};
use tests::lab::{self, Capture, Frame, client};

const NODES: usize = 3;
/// Longest a person should wait for any one act.
const ACT: Duration = Duration::from_secs(20);
/// A client that gets no answer in this time tries again.
const TRY: Duration = Duration::from_millis(250);
const V4: &str = "192.0.2.200";
const V6: &str = "2001:db8:2::200";

fn main() -> Result<()> {
    lab::enter()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    demo(has("--keep"))
}

fn demo(keep: bool) -> Result<()> {
    println!(
        "A LAN with {NODES} nodes, a pod with a web server behind each, and a client; no Kubernetes."
    );
    println!("kube-proxy's part is played by one nf_tables rule per Service port on each node.\n");
    let mut fleet = Fleet::new(NODES)?;
    let addresses: [IpAddr; 2] = [V4.parse()?, V6.parse()?];
    fleet.proxy(&[(addresses[0], 80), (addresses[1], 80)])?;
    let wire = Capture::start(&fleet.lab.client, "eth0")?;

    fleet.start_all()?;
    fleet.write(
        "pool.yaml",
        &fleet::pool(&["192.0.2.200-192.0.2.219", "2001:db8:2::200-2001:db8:2::21f"]),
    )?;
    wait_until_ready(&fleet)?;
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

    println!("\n3. The node that answers is killed (SIGKILL):");
    let holder = owner(&fleet, &first)?;
    let killed = Instant::now();
    fleet.kill(holder)?;
    let next = announced(&wire, addresses[0], killed)?;
    println!(
        "     node-{holder} is dead; node-{} announced {V4} after {} ms",
        owner(&fleet, &next)?,
        millis(next.at - killed)
    );
    let answered = answer_from_another(&fleet, addresses[0], holder)?;
    println!(
        "     the client's next answer came {} ms after the kill: {}",
        millis(answered.0 - killed),
        answered.1.trim()
    );
    let v6 = SocketAddr::new(addresses[1], 80);
    let answer = client::http_get(&fleet.lab.client, v6, ACT)?;
    println!("     and over IPv6: {}", answer.trim());
    if keep {
        leave_up(&fleet)?;
    }
    println!(
        "\nDone. `make demo KEEP=1` leaves the lab up; `make demo CLUSTER=1` runs it on a real control plane."
    );
    Ok(())
}

/// Every speaker has planned once; asked over its admin endpoint.
fn wait_until_ready(fleet: &Fleet) -> Result<()> {
    for node in &fleet.lab.nodes {
        let at: SocketAddr = ([127, 0, 0, 1], fleet::ADMIN_PORT).into();
        let ready = || {
            node.run(|| {
                use std::io::{Read, Write};
                let mut stream = std::net::TcpStream::connect_timeout(&at, TRY).ok()?;
                write!(stream, "GET /readyz HTTP/1.0\r\n\r\n").ok()?;
                let mut text = String::new();
                stream.read_to_string(&mut text).ok()?;
                text.starts_with("HTTP/1.0 200")
                    .then_some(())
                    .or_else(|| text.starts_with("HTTP/1.1 200").then_some(()))
            })
        };
        let _: () = lab::eventually(
            ACT,
            &format!("{} is ready; logs:\n{}", node.name(), fleet.logs()),
            ready,
        );
    }
    Ok(())
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

fn leave_up(fleet: &Fleet) -> Result<()> {
    let enter = |host: &lab::Host| {
        format!(
            "nsenter --preserve-credentials --user --net={}",
            host.path()
        )
    };
    println!("\nThe lab is up. Three things to try, each in another terminal:");
    println!(
        "  1. be the client:        {} curl http://{V4}/",
        enter(&fleet.lab.client)
    );
    println!(
        "  2. add a Service:        sed 's/name: web/name: more/; s/RequireDualStack/SingleStack/' {0}/web.yaml > {0}/more.yaml",
        fleet.manifests().display()
    );
    println!(
        "                           {} explain svc default/more --dir {} --state {}",
        fleet::binary()?.display(),
        fleet.manifests().display(),
        fleet.state().display()
    );
    println!(
        "  3. watch the wire:       {} tcpdump -eni eth0 arp or icmp6",
        enter(&fleet.lab.client)
    );
    println!("Press Enter to end it.");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn millis(time: Duration) -> u128 {
    time.as_millis()
}
