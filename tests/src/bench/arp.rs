//! How long an ARP reply takes, the kernel's for an address of the node and ours for an address beside it.
//!
//! Both are asked on the same path by the same socket, in turn, so that whatever disturbs one disturbs the other.
//! The askers are many, because a responder answers one asker 20 times a second only (L2-23).
//!
//! Two paths. In the plain lab the kernel answers inside the asker's own system call, before it returns: nobody
//! sleeps, nobody is woken, and no program on any machine can do that. So each end also gets a processor of its
//! own by receive packet steering, which interrupts it as a cable would.
//!
//! Ours is the fast path where it is permitted, which is said with the figures: a program inside the kernel that is
//! as near as the kernel's own answer.
//!
//! And a third is asked: the least program that can answer, a thread that blocks in `recv` and sends. What it
//! takes above the kernel is the price of any answer from outside the kernel, on this machine.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};

use super::figure::number;
use super::{Bench, Figure, Samples, runs, say};
use crate::fleet::{self, Fleet};
use crate::lab::{self, Capture, Frame, Host};

const RUNS: usize = 21;
/// Of each kind in a run.
const PROBES: usize = 500;
const PAUSE: Duration = Duration::from_millis(1);
const LOST_AFTER: Duration = Duration::from_millis(500);
const STEP: Duration = Duration::from_secs(30);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
/// The least program's.
const LEAST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 250);
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
    let _least = Least::start(&fleet.lab.nodes[0])?;
    let socket = open(&fleet.lab.client, "eth0")?;
    let fast = fleet.metric(0, "harbinger_arp_fast_path_interfaces", "")? > 0.0;
    let by = if fast {
        "the fast path"
    } else {
        "packet sockets"
    };
    let mut figures = measure(&socket, "no cable", by)?;
    steer(&fleet)?;
    // A thread of its own, since it stays on one processor.
    let cable = std::thread::scope(|scope| {
        let pinned = || -> Result<Vec<Figure>> {
            let mut cpu = CpuSet::new();
            cpu.set(0)?;
            sched_setaffinity(Pid::from_raw(0), &cpu)?;
            measure(&socket, "cable", by)
        };
        scope.spawn(pinned).join()
    });
    figures.extend(cable.map_err(|_| anyhow!("the asking thread died"))??);
    Ok(figures)
}

/// What the client receives interrupts processor 0, where it asks from; what the node receives, processor 1.
fn steer(fleet: &Fleet) -> Result<()> {
    for (host, mask) in [(&fleet.lab.client, "1"), (&fleet.lab.nodes[0], "2")] {
        host.run(|| -> Result<()> {
            // The host's own view of its interfaces, for this thread alone.
            unshare(CloneFlags::CLONE_NEWNS)?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
            mount(
                Some("sysfs"),
                "/sys",
                Some("sysfs"),
                MsFlags::empty(),
                None::<&str>,
            )?;
            std::fs::write("/sys/class/net/eth0/queues/rx-0/rps_cpus", mask)?;
            Ok(())
        })
        .context("cannot steer: two processors, and a kernel with RPS?")?;
    }
    Ok(())
}

/// Of one target, the percentiles of each run.
#[derive(Default)]
struct Target {
    p50: Samples,
    p99: Samples,
}

/// All runs on one path; ours is answered by `by`.
fn measure(socket: &Socket, path: &str, by: &str) -> Result<Vec<Figure>> {
    let [mut kernel, mut ours, mut least] = [(); 3].map(|()| Target::default());
    let mut lost = 0;
    for run in 0..runs(RUNS) {
        let mut line = String::new();
        let (samples, gone) = one_run(socket)?;
        lost += gone;
        for (target, samples) in [&mut kernel, &mut ours, &mut least]
            .into_iter()
            .zip(samples)
        {
            let (p50, p99) = (samples.p50(), samples.p99());
            line += &format!(" {} / {}", number(p50), number(p99));
            target.p50.push(p50);
            target.p99.push(p99);
        }
        say(&format!(
            "{path} {run}: kernel, ours, least program:{line} µs"
        ));
    }
    let figure = |what: &str, of: fn(&Target) -> &Samples, bound: f64, record: &str| {
        let samples = of(&ours);
        let [kernel, ours, least] = [&kernel, &ours, &least].map(|it| of(it).p50());
        let (ratio, least_ratio) = (ours / kernel, least / kernel);
        Figure::new(
            format!("ARP reply ({path}), {what} of a run"),
            "µs",
            samples.clone(),
        )
        .target(
            format!("<= {bound} x the kernel's"),
            ratio <= bound && lost == 0,
        )
        .reference(format!(
            "kernel {}: {ratio:.2} x; least program {}: {least_ratio:.2} x ({record})",
            number(kernel),
            number(least)
        ))
        .how(format!(
            "ours by {by}; median of {} interleaved runs of {PROBES}, send to receive at the client; {lost} lost",
            runs(RUNS)
        ))
    };
    Ok(vec![
        figure("p50", |it| &it.p50, P50_RATIO, "MetalLB 204 µs, record"),
        figure("p99", |it| &it.p99, P99_RATIO, "MetalLB 3.3-4.0 ms, record"),
    ])
}

/// Kernel, ours and the least program in turn; and how many got no answer.
fn one_run(socket: &Socket) -> Result<([Samples; 3], usize)> {
    let mut all = [(); 3].map(|()| Samples::default());
    let mut lost = 0;
    for n in 0..PROBES {
        for (target, samples) in [NODE, VIP, LEAST].into_iter().zip(&mut all) {
            match probe(socket, target, n % ASKERS)? {
                Some(time) => samples.push(time.as_secs_f64() * 1e6),
                None => lost += 1,
            }
            lab::pause(PAUSE);
        }
    }
    if all.iter().any(|samples| samples.values().is_empty()) {
        bail!("no answers");
    }
    Ok((all, lost))
}

/// A thread that answers for [`LEAST`]; it ends with the value.
struct Least {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Least {
    fn start(host: &Host) -> Result<Self> {
        let socket = open(host, "eth0")?;
        let load = |size: u16, at: u32| SockFilter::new(0x20 | size, 0, 0, at);
        let equal = |what: u32, skip: u8| SockFilter::new(0x15, 0, skip, what);
        socket.attach_filter(&[
            // A request (half word at 20) for the address (word at 38), or nothing.
            load(0x08, 20),
            equal(1, 3),
            load(0x00, 38),
            equal(LEAST.to_bits(), 1),
            SockFilter::new(0x06, 0, 0, 2048),
            SockFilter::new(0x06, 0, 0, 0),
        ])?;
        let mac = host.mac("eth0")?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buf = [0; 2048];
            while !told.load(Ordering::Relaxed) {
                if std::io::Read::read(&mut &socket, &mut buf).is_ok_and(|len| len >= 42) {
                    // A reply is the request with the sides exchanged.
                    let [asker, ip]: [&[u8]; 2] = [&buf[6..12], &buf[28..32]];
                    let reply = frame(asker, &mac, 2, LEAST, asker, ip);
                    // The asker counts what is lost.
                    let _ = socket.send(&reply);
                }
            }
        });
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Least {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
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
    frame(&[0xff; 6], &mac, 1, ip, &[0; 6], &target.octets())
}

/// An ARP packet for Ethernet and IPv4 in a frame of the least length.
fn frame(
    to: &[u8],
    from: &[u8; 6],
    operation: u8,
    sender: Ipv4Addr,
    target_mac: &[u8],
    target: &[u8],
) -> Vec<u8> {
    let head = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
    let mut frame = [to, from, &head, from, &sender.octets(), target_mac, target].concat();
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
