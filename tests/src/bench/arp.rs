//! How long an ARP reply takes, the kernel's for an address of the node and ours for an address beside it.
//!
//! Both are asked on the same path by the same socket, in turn, so that whatever disturbs one disturbs the other.
//! The askers are many, because a responder answers one asker 20 times a second only (L2-23).

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::figure::number;
use super::{Bench, Figure, Samples, say};
use crate::fleet::{self, Fleet};
use crate::lab::{self, Capture, Frame, Host};

const RUNS: usize = 21;
/// Of each kind in a run.
const PROBES: usize = 1_000;
const PAUSE: Duration = Duration::from_millis(1);
const LOST_AFTER: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_secs(30);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
/// As many as the network has room for; the kernel's neighbour table takes 128 before it looks for old ones.
const ASKERS: usize = 90;
const P50_RATIO: f64 = 1.3;
const P99_RATIO: f64 = 2.0;

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let mut fleet = Fleet::new(1)?;
    fleet.write("pool.yaml", &fleet::pool(&["192.0.2.200-192.0.2.219"]))?;
    fleet.write("web.yaml", &fleet::service("web", false, 1))?;
    let wire = Capture::start(&fleet.lab.client, "eth0")?;
    let begun = Instant::now();
    fleet.start_all()?;
    wire.wait_after(begun, STEP, |frame| frame.gratuitous(IpAddr::V4(VIP)))
        .with_context(|| format!("nobody announces:\n{}", fleet.logs()))?;
    // A capture is work for the path.
    drop(wire);
    // Until the rounds of gratuitous frames are over.
    lab::pause(Duration::from_secs(3));
    let socket = open(&fleet.lab.client, "eth0")?;
    let [mut kernel50, mut kernel99, mut ours50, mut ours99] = [(); 4].map(|()| Samples::default());
    let mut lost = 0;
    for run in 0..RUNS {
        let (kernel, ours, gone) = one_run(&socket)?;
        lost += gone;
        say(&format!(
            "run {run}: kernel {} / {} µs, ours {} / {} µs",
            number(kernel.p50()),
            number(kernel.p99()),
            number(ours.p50()),
            number(ours.p99())
        ));
        kernel50.push(kernel.p50());
        kernel99.push(kernel.p99());
        ours50.push(ours.p50());
        ours99.push(ours.p99());
    }
    let figure = |what: &str, ours: Samples, kernel: &Samples, bound: f64, record: &str| {
        let ratio = ours.p50() / kernel.p50();
        Figure::new(what, "µs", ours)
            .target(format!("<= {bound} x the kernel's"), ratio <= bound && lost == 0)
            .reference(format!("kernel {} µs: {ratio:.2} x ({record})", number(kernel.p50())))
            .how(format!(
                "median of {RUNS} interleaved runs of {PROBES}, send to receive at the client; {lost} lost"
            ))
    };
    Ok(vec![
        figure(
            "ARP reply, p50 of a run",
            ours50,
            &kernel50,
            P50_RATIO,
            "MetalLB 204 µs, record",
        ),
        figure(
            "ARP reply, p99 of a run",
            ours99,
            &kernel99,
            P99_RATIO,
            "MetalLB 3.3-4.0 ms, record",
        ),
    ])
}

/// Kernel and ours in turn; and how many got no answer.
fn one_run(socket: &Socket) -> Result<(Samples, Samples, usize)> {
    let (mut kernel, mut ours) = (Samples::default(), Samples::default());
    let mut lost = 0;
    for n in 0..PROBES {
        for (target, samples) in [(NODE, &mut kernel), (VIP, &mut ours)] {
            match probe(socket, target, n % ASKERS)? {
                Some(time) => samples.push(time.as_secs_f64() * 1e6),
                None => lost += 1,
            }
            lab::pause(PAUSE);
        }
    }
    if kernel.values().is_empty() || ours.values().is_empty() {
        bail!("no answers");
    }
    Ok((kernel, ours, lost))
}

/// Time from the request's sending to the receipt of the reply to it.
fn probe(socket: &Socket, target: Ipv4Addr, asker: usize) -> Result<Option<Duration>> {
    let number = u8::try_from(asker).context("few askers")?;
    let mac = [2, 0xbe, 0xac, 0, 0, number];
    let ip = Ipv4Addr::new(192, 0, 2, 101 + number);
    let request = request(mac, ip, target);
    let mut buf = [0; 2048];
    let begun = Instant::now();
    socket.send(&request)?;
    while begun.elapsed() < LOST_AFTER {
        // The lab's frames are octets that the kernel has written.
        let Ok(len) = std::io::Read::read(&mut &*socket, &mut buf) else {
            return Ok(None);
        };
        let at = Instant::now();
        let frame = Frame {
            at,
            outgoing: false,
            bytes: buf[..len].to_vec(),
        };
        let reply = frame.arp().filter(|arp| arp.operation == 2);
        if reply.is_some_and(|arp| arp.sender_ip == target && arp.target_mac == mac) {
            return Ok(Some(at - begun));
        }
    }
    Ok(None)
}

fn request(mac: [u8; 6], ip: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(mac);
    // ARP; Ethernet and IPv4, their lengths, a request.
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(ip.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

/// A packet socket for ARP on one interface.
fn open(host: &Host, name: &str) -> Result<Socket> {
    const ETH_P_ARP: u16 = 0x0806;
    let index = i32::try_from(host.index(name)?)?;
    let protocol = Protocol::from(i32::from(ETH_P_ARP.to_be()));
    let socket = host.run(|| Socket::new(Domain::PACKET, Type::RAW, Some(protocol)))?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ETH_P_ARP.to_be(),
        sll_ifindex: index,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the storage is larger than a sockaddr_ll and aligned for every kind of address; the length is
    // that of what is written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)?;
    socket.set_read_timeout(Some(LOST_AFTER))?;
    Ok(socket)
}
