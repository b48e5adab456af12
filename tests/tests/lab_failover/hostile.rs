//! Somebody on the LAN sends membership datagrams: old ones again, altered, cut short, made up, and floods of them.
//! Nobody dies of it, nothing moves, and each is counted.

use std::time::{Duration, Instant};

use tests::fleet::station;
use tests::fleet::trial::Trial;
use tests::fleet::{MEMBERS_PORT, WITHIN};
use tests::lab::{self, Capture, Frame, Load, Topology, eventually};

const NODES: usize = 3;
const RATE: u32 = 200;
/// What a flood is made of, and how often.
const FLOOD: usize = 1_000;
const FLOOD_ROUNDS: usize = 50;
/// About 50,000 datagrams a second.
const FLOOD_PAUSE: Duration = Duration::from_millis(20);

const ETHERNET: usize = 14;
const PAYLOAD: usize = ETHERNET + 20 + 8;

/// The payload of a membership datagram that came in.
fn datagram(frame: &Frame) -> Option<&[u8]> {
    let udp = frame.ethertype() == 0x0800 && frame.bytes.get(23) == Some(&17);
    let ours = frame.bytes.get(36..38) == Some(MEMBERS_PORT.to_be_bytes().as_slice());
    let length = usize::from(u16::from_be_bytes([
        *frame.bytes.get(38)?,
        *frame.bytes.get(39)?,
    ]));
    let all = frame.bytes.get(PAYLOAD..ETHERNET + 20 + length)?;
    (udp && ours && !frame.outgoing).then_some(all)
}

/// Who sends, and to whom.
struct Way {
    /// The sender's hardware address: not the one of the node whose datagram it pretends to be, so that the switch
    /// goes on knowing where that one is.
    mac: [u8; 6],
    to_mac: [u8; 6],
    to: [u8; 4],
}

/// A frame with this payload that says it comes from the node whose frame this is.
fn made(like: &Frame, way: &Way, payload: &[u8]) -> Vec<u8> {
    let mut bytes = like.bytes[..PAYLOAD].to_vec();
    bytes.extend(payload);
    bytes[0..6].copy_from_slice(&way.to_mac);
    bytes[6..12].copy_from_slice(&way.mac);
    bytes[30..34].copy_from_slice(&way.to);
    let udp = u16::try_from(8 + payload.len()).unwrap();
    bytes[16..18].copy_from_slice(&(20 + udp).to_be_bytes());
    bytes[38..40].copy_from_slice(&udp.to_be_bytes());
    // No checksum of UDP is permitted over IPv4.
    bytes[40..42].copy_from_slice(&[0, 0]);
    bytes[24..26].copy_from_slice(&[0, 0]);
    let sum: u32 = bytes[ETHERNET..ETHERNET + 20]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Octets that nobody made, from a number.
fn noise(seed: usize, length: usize) -> Vec<u8> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(next).collect()
}

fn dropped(trial: &Trial, node: usize) -> f64 {
    let name = "harbinger_members_dropped_total";
    trial.fleet.metric(node, name, "").unwrap()
}

/// Sends what an attacker has, to the holder; waits until so many of it were dropped.
fn attack(trial: &Trial, holder: usize, what: &str, frames: &[Vec<u8>], at_least: usize) {
    let before = dropped(trial, holder);
    for some in frames.chunks(50) {
        station::send(&trial.fleet.lab.client, "eth0", some).unwrap();
        lab::pause(Duration::from_millis(5));
    }
    let wanted = before + f64::from(u32::try_from(at_least).unwrap());
    let after = eventually(WITHIN, &format!("{what}: {at_least} are dropped"), || {
        let now = dropped(trial, holder);
        (now >= wanted).then_some(now)
    });
    println!("{what}: {} sent, {} dropped", frames.len(), after - before);
}

#[test]
fn datagrams_replayed_altered_cut_short_made_up_and_flooded_move_nothing() {
    if !lab::ready() {
        return;
    }
    let mut trial = Trial::new(NODES).unwrap();
    let holder = trial.calm().unwrap();
    let elsewhere = (holder + 1) % NODES;
    let taps =
        [holder, elsewhere].map(|n| Capture::start(&trial.fleet.lab.nodes[n], "eth0").unwrap());
    let load = Load::start(&trial.fleet.lab.client, trial.web(), RATE);
    trial.wire.clear();
    let heard = taps.each_ref().map(|tap| {
        eventually(WITHIN, "datagrams", || {
            let frames = tap.frames();
            let heard: Vec<Frame> = frames
                .into_iter()
                .filter(|f| datagram(f).is_some())
                .collect();
            (heard.len() >= 40).then_some(heard)
        })
    });
    drop(taps);
    let way = Way {
        mac: trial.fleet.lab.client.mac("eth0").unwrap(),
        to_mac: trial.fleet.lab.nodes[holder].mac("eth0").unwrap(),
        to: Topology::node_ipv4(holder)
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
            .octets(),
    };
    let [here, there] = heard;
    let again = |frames: &[Frame]| -> Vec<Vec<u8>> {
        let one = |f: &Frame| made(f, &way, datagram(f).unwrap());
        frames.iter().map(one).collect()
    };
    let replayed = again(&here);
    attack(&trial, holder, "replayed", &replayed, replayed.len());
    // They open with the group's key, and this node sees some for the first time: gossip that is true.
    attack(&trial, holder, "meant for another node", &again(&there), 0);
    let example = here
        .iter()
        .max_by_key(|f| datagram(f).unwrap().len())
        .unwrap();
    let payload = datagram(example).unwrap();
    let altered: Vec<_> = (0..payload.len())
        .map(|at| {
            let mut payload = payload.to_vec();
            payload[at] ^= 1 << (at % 8);
            made(example, &way, &payload)
        })
        .collect();
    attack(&trial, holder, "altered", &altered, altered.len());
    let short: Vec<_> = (0..payload.len())
        .map(|end| made(example, &way, &payload[..end]))
        .collect();
    attack(&trial, holder, "cut short", &short, short.len());
    let made_up: Vec<_> = (0..200)
        .map(|n| made(example, &way, &noise(n, n * 6)))
        .collect();
    attack(&trial, holder, "made up", &made_up, made_up.len());

    let flood: Vec<_> = (0..FLOOD)
        .map(|n| made(example, &way, &noise(n, 1_000)))
        .collect();
    let before = (dropped(&trial, holder), Instant::now());
    station::flood(
        &trial.fleet.lab.client,
        "eth0",
        &flood,
        FLOOD_ROUNDS,
        FLOOD_PAUSE,
    )
    .unwrap();
    let took = before.1.elapsed();
    lab::pause(Duration::from_secs(1));
    println!(
        "flooded: {} sent in {took:?}, {} dropped by the program",
        FLOOD * FLOOD_ROUNDS,
        dropped(&trial, holder) - before.0
    );
    assert_eq!(trial.calm().unwrap(), holder);
    let others = trial.announcers(trial.address).unwrap();
    assert!(others.iter().all(|n| *n == holder), "{others:?}");
    for n in 0..NODES {
        let log = std::fs::read_to_string(trial.fleet.log(n)).unwrap();
        assert!(!log.contains("memberDown"), "{log}");
    }
    let tally = load.finish();
    println!("meanwhile {tally}");
}
