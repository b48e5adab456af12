//! The program of the fast path, verified and run by the kernel, beside the responder whose answers it gives.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use l2::fastpath::{self, Address, DROP, LEASE, NEXT, REDIRECT, Table};
use l2::{Config, FrameMeta, Interface, MacAddr, Responder};
use linux::bpf::{self, Map, Program};
use tests::fleet::station::{BROADCAST, arp_request};

const US: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 0xaa];
const ASKER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Another one that is announced.
const SECOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
/// Planned, and still being probed.
const PROBED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 12);
/// The loopback, on which the kernel pretends to receive.
const INDEX: u32 = 1;
/// Frames made at random.
const FRAMES: u64 = 20_000;

/// Budgets that nothing here can use up.
fn generous() -> Config {
    Config {
        sender_replies_per_sec: 1_000_000,
        sender_burst: 1_000_000,
        interface_replies_per_sec: 1_000_000,
        ..Config::default()
    }
}

/// The program with its tables, and the responder that it stands for.
struct Rig {
    program: Program,
    maps: Vec<Map>,
    responder: Responder,
}

impl Rig {
    /// None where BPF is not permitted, which is said.
    fn new(config: Config) -> Option<Self> {
        if !tests::fleet::has_fast_path() {
            return None;
        }
        let maps: Vec<Map> = Table::ALL.into_iter().map(map).collect();
        let insns: Vec<bpf::Insn> = fastpath::program(&config).into_iter().map(insn).collect();
        let all: Vec<&Map> = maps.iter().collect();
        let program = Program::load(&insns, &all).unwrap();
        println!("{} instructions", insns.len());
        let now = Instant::now();
        let interface = Interface {
            index: INDEX,
            mac: MacAddr(US),
            usable: true,
            ipv6: true,
        };
        let mut responder = Responder::new(config, interface, 1, now);
        let here: BTreeSet<IpAddr> = [VIP, SECOND, PROBED].map(IpAddr::V4).into();
        let probed = |address| address == IpAddr::V4(PROBED);
        responder.set_addresses_probing(&here, &BTreeSet::new(), probed, now);
        // The announcements and the first probes.
        while responder.poll_transmit().is_some() {}
        let rig = Self {
            program,
            maps,
            responder,
        };
        let standing = rig.responder.standing();
        let expected = [(VIP, true), (SECOND, true), (PROBED, false)];
        assert_eq!(standing.addresses, expected.into());
        for (address, answered) in &standing.addresses {
            let entry = Address {
                answered: *answered,
                ..Address::default()
            };
            let key = fastpath::address_key(*address);
            rig.table(Table::Addresses)
                .set(&key, &entry.to_bytes())
                .unwrap();
        }
        rig.control(Some(standing.mac));
        rig.lease(LEASE);
        Some(rig)
    }

    fn table(&self, of: Table) -> &Map {
        let place = Table::ALL.iter().position(|table| *table == of).unwrap();
        &self.maps[place]
    }

    fn control(&self, mac: Option<MacAddr>) {
        let value = fastpath::control(mac);
        self.table(Table::Control)
            .set(&fastpath::ONLY, &value)
            .unwrap();
    }

    fn lease(&self, time: Duration) {
        let end = bpf::ktime(Instant::now(), time).unwrap();
        self.table(Table::Lease)
            .set(&fastpath::ONLY, &end.to_ne_bytes())
            .unwrap();
    }

    /// What the kernel makes of a frame, with a fresh lease.
    fn kernel(&self, frame: &[u8]) -> (u32, Vec<u8>) {
        self.lease(LEASE);
        let run = self.program.test_run(frame);
        run.unwrap_or_else(|error| panic!("{error}: {frame:02x?}"))
    }

    /// What the responder answers, and whether it noticed anything else.
    fn responder(&mut self, frame: &[u8]) -> (Option<Vec<u8>>, bool) {
        let claims = |responder: &Responder| {
            let all = responder.counters().addresses.values();
            all.map(|it| it.foreign_claims + it.speaker_claims)
                .sum::<u64>()
        };
        let before = claims(&self.responder);
        let meta = FrameMeta {
            ifindex: INDEX,
            outgoing: false,
            vlan: None,
        };
        // One instant for all: what is due later stays so.
        let now = Instant::now();
        self.responder.handle_frame(frame, meta, now);
        let reply = std::iter::from_fn(|| self.responder.poll_transmit())
            .find(|transmit| matches!(transmit.kind, l2::TransmitKind::Reply(_)));
        let events = std::iter::from_fn(|| self.responder.poll_event()).count();
        let noticed = claims(&self.responder) != before || events > 0;
        (reply.map(|transmit| transmit.bytes), noticed)
    }

    fn counted(&self, address: Ipv4Addr) -> Address {
        let mut bytes = Address::default().to_bytes();
        let key = fastpath::address_key(address);
        assert!(self.table(Table::Addresses).get(&key, &mut bytes).unwrap());
        Address::from_bytes(bytes)
    }
}

fn map(of: Table) -> Map {
    let shape = of.shape();
    let kind = match shape.kind {
        fastpath::Kind::Hash => bpf::Kind::Hash,
        fastpath::Kind::LruHash => bpf::Kind::LruHash,
        fastpath::Kind::Array => bpf::Kind::Array,
    };
    Map::new(kind, shape.key, shape.value, shape.entries).unwrap()
}

fn insn(insn: fastpath::Insn) -> bpf::Insn {
    bpf::Insn {
        code: insn.code,
        destination: insn.destination,
        source: insn.source,
        offset: insn.offset,
        immediate: insn.immediate,
    }
}

fn plain() -> Vec<u8> {
    arp_request(BROADCAST, CLIENT, ASKER, VIP)
}

/// A plain request with octets put over it.
fn with(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut frame = plain();
    for (at, octets) in changes {
        frame[*at..at + octets.len()].copy_from_slice(octets);
    }
    frame
}

// L2-03, L2-06, L2-20, L2-21
#[test]
fn the_kernel_answers_plain_requests_with_the_octets_of_the_responder() {
    if !tests::lab::ready() {
        return;
    }
    let Some(mut rig) = Rig::new(generous()) else {
        return;
    };
    let short = plain()[..42].to_vec();
    let long = [plain(), vec![0x55; 200]].concat();
    let dirty = with(&[(42, &[0xab; 18]), (32, &[0xcd; 6])]);
    let cases = [
        ("as most ask", plain()),
        ("by unicast", with(&[(0, &US)])),
        ("for another address", with(&[(38, &SECOND.octets())])),
        ("without padding", short),
        ("with too much of it", long),
        ("with something in it", dirty),
        ("from another subnet", with(&[(28, &[10, 9, 8, 7])])),
    ];
    let before = [VIP, SECOND].map(|address| rig.counted(address).replies);
    for (what, frame) in &cases {
        let (verdict, reply) = rig.kernel(frame);
        assert_eq!(verdict, REDIRECT, "{what}");
        let (expected, noticed) = rig.responder(frame);
        assert!(!noticed, "{what}");
        assert_eq!(Some(reply), expected, "{what}");
    }
    let after = [VIP, SECOND].map(|address| rig.counted(address).replies);
    assert_eq!((after[0] - before[0], after[1] - before[1]), (6, 1));
}

// L2-01, L2-02, L2-04, L2-05, L2-07, L2-08, L2-09, L2-10, L2-53
#[test]
fn whatever_is_not_plain_is_passed_on_untouched() {
    if !tests::lab::ready() {
        return;
    }
    let Some(rig) = Rig::new(generous()) else {
        return;
    };
    let vlan = |tag: [u8; 4]| {
        let mut frame = plain();
        frame.splice(12..12, tag);
        frame
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a probe", with(&[(28, &[0; 4])])),
        ("a claim of the target", with(&[(28, &VIP.octets())])),
        (
            "a claim of another address",
            with(&[(28, &SECOND.octets())]),
        ),
        (
            "a claim of one being probed",
            with(&[(28, &PROBED.octets())]),
        ),
        ("for one being probed", with(&[(38, &PROBED.octets())])),
        ("for a foreign address", with(&[(38, &[192, 0, 2, 99])])),
        ("a reply", with(&[(20, &[0, 2])])),
        ("another operation", with(&[(20, &[0, 3])])),
        ("other hardware", with(&[(14, &[0, 6])])),
        ("another protocol", with(&[(16, &[0x86, 0xdd])])),
        ("other lengths", with(&[(18, &[8, 4])])),
        ("other lengths still", with(&[(18, &[6, 16])])),
        ("to another station", with(&[(0, &[2, 0, 0, 0, 0, 9])])),
        ("to a group", with(&[(0, &[1, 0, 0x5e, 0, 0, 1])])),
        (
            "from a frame of another station",
            with(&[(6, &[2, 0, 0, 0, 0, 9])]),
        ),
        (
            "by a group",
            with(&[(6, &[3, 0, 0, 0, 0, 9]), (22, &[3, 0, 0, 0, 0, 9])]),
        ),
        ("by everybody", with(&[(6, &BROADCAST), (22, &BROADCAST)])),
        ("by nobody", with(&[(6, &[0; 6]), (22, &[0; 6])])),
        ("our own echo", with(&[(6, &US), (22, &US)])),
        ("in a VLAN", vlan([0x81, 0, 0, 100])),
        ("with a priority tag", vlan([0x81, 0, 0xe0, 0])),
        ("in a provider's VLAN", vlan([0x88, 0xa8, 0, 100])),
        ("not ARP", with(&[(12, &[0x08, 0x00])])),
        ("too short", plain()[..41].to_vec()),
    ];
    for (what, frame) in &cases {
        assert_eq!(rig.kernel(frame), (NEXT, frame.clone()), "{what}");
    }
    assert_eq!(rig.counted(VIP).replies, 0);
    // All of them were refused for what they are and not because nothing is answered.
    assert_eq!(rig.kernel(&plain()).0, REDIRECT);
}

// L2-22, L2-35, L2-36
#[test]
fn without_a_lease_a_station_or_the_address_nothing_is_answered() {
    if !tests::lab::ready() {
        return;
    }
    let Some(rig) = Rig::new(generous()) else {
        return;
    };
    let frame = plain();
    let passed = (NEXT, frame.clone());
    // Ended; and one that ends later than any lease does, as with a clock that runs apart.
    let end = bpf::ktime(Instant::now(), Duration::ZERO).unwrap();
    rig.table(Table::Lease)
        .set(&fastpath::ONLY, &end.to_ne_bytes())
        .unwrap();
    assert_eq!(rig.program.test_run(&frame).unwrap(), passed);
    rig.lease(LEASE + Duration::from_secs(60));
    assert_eq!(rig.program.test_run(&frame).unwrap(), passed);
    rig.table(Table::Lease)
        .set(&fastpath::ONLY, &[0; 8])
        .unwrap();
    assert_eq!(rig.program.test_run(&frame).unwrap(), passed);
    rig.control(None);
    assert_eq!(rig.kernel(&frame), passed);
    // Another hardware address is in the reply at once.
    let new = [2, 0, 0, 0, 0, 2];
    rig.control(Some(MacAddr(new)));
    let (verdict, reply) = rig.kernel(&frame);
    assert_eq!((verdict, &reply[6..12]), (REDIRECT, &new[..]));
    assert!(
        rig.table(Table::Addresses)
            .remove(&fastpath::address_key(VIP))
            .unwrap()
    );
    assert_eq!(rig.kernel(&frame), passed);
}

// L2-23
#[test]
fn budgets_hold_in_the_kernel_and_what_is_over_them_is_counted() {
    if !tests::lab::ready() {
        return;
    }
    // One reply in an hour after the first forty: no time passes here.
    let config = Config {
        sender_replies_per_sec: 1,
        ..Config::default()
    };
    let Some(rig) = Rig::new(config) else {
        return;
    };
    let verdicts: Vec<u32> = (0..60).map(|_| rig.kernel(&plain()).0).collect();
    let answered = verdicts.iter().filter(|it| **it == REDIRECT).count();
    let dropped = verdicts.iter().filter(|it| **it == DROP).count();
    assert!(
        (40..=43).contains(&answered),
        "{answered} of a burst of 40, in a few milliseconds"
    );
    assert_eq!(answered + dropped, 60);
    let other = with(&[(6, &[2, 0, 0, 0, 0, 0xbb]), (22, &[2, 0, 0, 0, 0, 0xbb])]);
    assert_eq!(rig.kernel(&other).0, REDIRECT, "another sender has his own");
    let counted = rig.counted(VIP);
    assert_eq!(
        (counted.replies, counted.limited),
        (answered as u64 + 1, dropped as u64)
    );

    let config = Config {
        interface_replies_per_sec: 1,
        ..Config::default()
    };
    let rig = Rig::new(config).unwrap();
    let verdicts: Vec<u32> = (0..1_100_u16)
        .map(|n| {
            let [high, low] = n.to_be_bytes();
            let mac = [2, 1, 1, 1, high, low];
            rig.kernel(&with(&[(6, &mac), (22, &mac)])).0
        })
        .collect();
    let answered = verdicts.iter().filter(|it| **it == REDIRECT).count();
    assert!(
        (1_000..=1_010).contains(&answered),
        "{answered} of a burst of 1,000"
    );
    assert!(verdicts.iter().all(|it| [REDIRECT, DROP].contains(it)));
}

/// Steele, Lea and Flood's generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[usize::try_from(self.next() % some.len() as u64).unwrap()]
    }

    /// Fields that matter, in all combinations, and now and then an octet of chance. The kernel pretends to receive
    /// no frame that says it is IPv4 and has not room for its header.
    fn frame(&mut self) -> Vec<u8> {
        let macs = [
            CLIENT,
            CLIENT,
            CLIENT,
            [2, 0, 0, 0, 0, 0xbb],
            US,
            [0; 6],
            BROADCAST,
            [1, 0, 0x5e, 0, 0, 1],
        ];
        let ips = [
            ASKER,
            ASKER,
            VIP,
            SECOND,
            PROBED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::BROADCAST,
        ];
        let source = self.of(&macs);
        let sender = if self.next().is_multiple_of(4) {
            self.of(&macs)
        } else {
            source
        };
        let to = self.of(&[BROADCAST, BROADCAST, US, CLIENT]);
        let mut frame = with(&[
            (0, &to),
            (6, &source),
            (22, &sender),
            (28, &self.of(&ips).octets()),
            (32, &self.of(&macs)),
            (38, &self.of(&[VIP, VIP, SECOND, PROBED, ASKER]).octets()),
        ]);
        if self.next().is_multiple_of(4) {
            let at = usize::try_from(self.next() % 42).unwrap();
            frame[at] = self.of(&[0, 1, 2, 4, 6, 8, 0x81, 0xff]);
        }
        let length = usize::try_from(34 + self.next() % 100).unwrap();
        if self.next().is_multiple_of(4) {
            frame.resize(length, 0x77);
        }
        frame
    }
}

// L2-20
#[test]
fn the_kernel_answers_only_where_the_responder_would_say_just_that() {
    if !tests::lab::ready() {
        return;
    }
    let Some(mut rig) = Rig::new(generous()) else {
        return;
    };
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut answered, mut passed, mut plain) = (0, 0, 0);
    for n in 0..FRAMES {
        let frame = random.frame();
        let (verdict, left) = rig.kernel(&frame);
        let (expected, noticed) = rig.responder(&frame);
        match verdict {
            REDIRECT => {
                assert_eq!(Some(left), expected, "frame {n}: {frame:02x?}");
                assert!(!noticed, "frame {n}: {frame:02x?}");
                answered += 1;
            }
            NEXT => {
                assert_eq!(left, frame, "frame {n}");
                passed += 1;
                // What the responder answers though it was passed on: only what is not plain.
                plain += usize::from(expected.is_some() && !noticed);
                if expected.is_some() && !noticed {
                    let probe = frame[28..32] == [0; 4];
                    let apart = frame[6..12] != frame[22..28];
                    let tagged = frame[12] == 0x81;
                    assert!(probe || apart || tagged, "frame {n}: {frame:02x?}");
                }
            }
            other => panic!("verdict {other} for frame {n}"),
        }
    }
    println!("{answered} answered, {passed} passed on, of which the responder answers {plain}");
    assert!(answered > FRAMES / 20, "{answered}");
}
