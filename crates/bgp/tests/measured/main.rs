//! Our answers beside those that FRR 8.4, BIRD 2.0.12 and GoBGP 3.10 gave to the same wrong input, one thing wrong at a
//! time. Their columns are a record of measurements and are not measured here.
//!
//! What depends on the state of a session (a message that comes too early, a second OPEN) is the machine's.

mod opens;
mod updates;

use bgp::{Asn, Decoder, Families, Notification, Received, WireRules};

/// Name, octets, and the answers of FRR, BIRD, GoBGP and us: `code/subcode data`, `up`, `closed`, `-` for not measured.
type Row = (
    &'static str,
    Vec<u8>,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const ORIGIN: &str = "40010100";
const AS_PATH: &str = "40020602010000fc01";
const NEXT_HOP: &str = "400304c0000202";
const NLRI: &str = "18c63364";

fn octets(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend(
        u16::try_from(19 + body.len())
            .expect("a message")
            .to_be_bytes(),
    );
    octets.push(kind);
    octets.extend(body);
    octets
}

/// An OPEN whose parts are given in hex: version, AS, hold time, identifier, and parameters with their length.
fn open(version: &str, asn: &str, hold: &str, id: &str, parameters: &str) -> Vec<u8> {
    message(1, &octets(&[version, asn, hold, id, parameters].concat()))
}

/// One that is right, but for its parameters.
fn with(parameters: &str) -> Vec<u8> {
    open("04", "fc01", "005a", "c0000202", parameters)
}

/// One without capabilities, but for its hold time.
fn hold(hold: &str) -> Vec<u8> {
    open("04", "fc01", hold, "c0000202", "00")
}

fn update(withdrawn: &str, attributes: &str, nlri: &str) -> Vec<u8> {
    let length = |hex: &str| format!("{:04x}", hex.len() / 2);
    message(
        2,
        &octets(
            &[
                &length(withdrawn),
                withdrawn,
                &length(attributes),
                attributes,
                nlri,
            ]
            .concat(),
        ),
    )
}

/// A route with one attribute more.
fn beside(attribute: &str) -> Vec<u8> {
    update("", &[ORIGIN, AS_PATH, NEXT_HOP, attribute].concat(), NLRI)
}

/// A route with these attributes.
fn route(attributes: &[&str]) -> Vec<u8> {
    update("", &attributes.concat(), NLRI)
}

/// An edited copy.
fn edited(mut octets: Vec<u8>, at: usize, value: u8) -> Vec<u8> {
    octets[at] = value;
    octets
}

fn told(notification: &Notification) -> String {
    let (code, subcode) = notification.error.octets();
    let data: String = notification
        .data
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("{code}/{subcode} {data}").trim_end().to_owned()
}

/// What we answer as 64512 to an eBGP peer of 64513 that speaks IPv4, and IPv6 where the
/// row is about that.
fn ours(name: &str, octets: &[u8]) -> String {
    let both = name == "MP_REACH next hop of 9";
    let rules = WireRules {
        four_octet_as: true,
        families: Families {
            ipv4: true,
            ipv6: both,
        },
        ..WireRules::default()
    };
    let mut decoder = Decoder::new(false);
    let (_, frame) = decoder.next_frame(octets);
    let error = match frame
        .expect("a whole message")
        .and_then(|frame| frame.read(&rules))
    {
        Ok(Received::Open(open)) => {
            let expected = bgp::message::Expected {
                local_asn: Asn(64_512),
                peer: bgp::message::ExpectedAsn::Exactly(Asn(64_513)),
                router_id: [192, 0, 2, 1].into(),
                hold_time_secs_min: 3,
                families: Families::IPV4,
            };
            return open
                .check(&expected)
                .map_or_else(|notification| told(&notification), |()| "up".to_owned());
        }
        Ok(Received::Update(view)) if view.treated_as_withdraw.is_some() => {
            return "up, withdrawn".to_owned();
        }
        Ok(_) => return "up".to_owned(),
        Err(error) => error,
    };
    error
        .notification
        .map_or_else(|| "closed".to_owned(), |notification| told(&notification))
}

#[test]
fn our_answers_to_wrong_input_are_those_of_the_table() {
    for (name, octets, .., wanted) in opens::rows().into_iter().chain(updates::rows()) {
        assert_eq!(ours(name, &octets), wanted, "{name}");
    }
}

#[test]
fn where_two_daemons_agree_we_do_not_differ() {
    let (mut agreed, mut alone) = (0, Vec::new());
    for (name, octets, frr, bird, gobgp, _) in opens::rows().into_iter().chain(updates::rows()) {
        let ours = ours(name, &octets);
        let short = |answer: &str| {
            answer
                .split([' ', ','])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        if frr == bird {
            agreed += 1;
            assert_eq!(short(&ours), short(frr), "{name}");
        } else if ![frr, bird, gobgp]
            .iter()
            .any(|other| short(other) == short(&ours))
        {
            alone.push(name);
        }
    }
    assert!(agreed > 30, "{agreed}");
    assert!(
        alone.is_empty(),
        "an answer that nobody else gives: {alone:?}"
    );
}
