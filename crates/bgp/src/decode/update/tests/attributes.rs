//! RFC 7606 §7: the attributes one by one.

use super::*;

// BGP-112
#[test]
fn wrong_optional_or_transitive_bits_are_a_withdrawal_and_others_are_ignored() {
    assert_eq!(
        outcome(&["c0010100", AS_PATH, NEXT_HOP]),
        Withdraw(1, Fault::Flags)
    );
    assert_eq!(
        outcome(&["00010100", AS_PATH, NEXT_HOP]),
        Withdraw(1, Fault::Flags)
    );
    for (attribute, code) in [
        ("c0040400000001", 4),
        ("40040400000001", 4),
        ("8006 00", 6),
        ("400708000000010a000001", 7),
        ("400804ffffff01", 8),
        ("8008 04ffffff01", 8),
        ("8010 080002000100000001", 16),
        ("80200c000000010000000200000003", 32),
        ("40191400000000000000000000000000000000000000 00", 25),
    ] {
        assert_eq!(
            beside(&attribute.replace(' ', "")),
            Withdraw(code, Fault::Flags),
            "{attribute}"
        );
    }
    // Partial, and the four bits without a meaning.
    for attribute in ["e00804ffffff01", "cf0804ffffff01", "8f040400000001"] {
        assert_eq!(beside(attribute), Fine, "{attribute}");
    }
    // A withdrawal under wrong flags withdraws what it names.
    assert_eq!(
        outcome_of(
            &body("", &UNREACH.replacen("80", "c0", 1), ""),
            &rules(false)
        ),
        Withdraw(15, Fault::Flags)
    );
    let reach = [REACH.replacen("80", "40", 1).as_str(), ORIGIN, AS_PATH].concat();
    let message = body("", &reach, "");
    assert_eq!(
        outcome_of(&message, &rules(false)),
        Withdraw(14, Fault::Flags)
    );
    assert_eq!(
        UpdateView::read(&message, &rules(false)).unwrap().withdrawn,
        1
    );
}

// BGP-115
#[test]
fn a_bad_origin_or_as_path_is_a_withdrawal() {
    for (origin, fault) in [
        ("40010103", Fault::Value),
        ("400101ff", Fault::Value),
        ("400100", Fault::Length),
        ("4001020000", Fault::Length),
    ] {
        assert_eq!(
            outcome(&[origin, AS_PATH, NEXT_HOP]),
            Withdraw(1, fault),
            "{origin}"
        );
    }
    assert_eq!(outcome(&["40010101", AS_PATH, NEXT_HOP]), Fine);
    assert_eq!(
        outcome(&["40010102", "400200", NEXT_HOP]),
        Fine,
        "an empty path is a path"
    );
    for (path, fault) in [
        ("40020605010000fc00", Fault::Value),
        ("4002020200", Fault::Value),
        ("400206020200000001", Fault::Length),
        ("40020102", Fault::Length),
        ("400206020100000000", Fault::Value),
        ("40020603010000fc00", Fault::Confederation),
        ("40020604010000fc00", Fault::Confederation),
    ] {
        assert_eq!(
            outcome(&[ORIGIN, path, NEXT_HOP]),
            Withdraw(2, fault),
            "{path}"
        );
    }
    let two = WireRules {
        four_octet_as: false,
        ..rules(false)
    };
    let message = body("", &[ORIGIN, AS_PATH, NEXT_HOP].concat(), NLRI);
    assert_eq!(
        outcome_of(&message, &two),
        Withdraw(2, Fault::Value),
        "four octets where two were agreed"
    );
}

// BGP-116
#[test]
fn a_next_hop_that_is_no_hosts_address_is_a_withdrawal() {
    for (hop, fault) in [
        ("400303c00002", Fault::Length),
        ("400305c000020101", Fault::Length),
        ("40030400000000", Fault::Value),
        ("4003047f000001", Fault::Value),
        ("400304e0000001", Fault::Value),
        ("400304ffffffff", Fault::Value),
    ] {
        assert_eq!(
            outcome(&[ORIGIN, AS_PATH, hop]),
            Withdraw(3, fault),
            "{hop}"
        );
    }
    let mp = body("", &[REACH, ORIGIN, AS_PATH, "40030400000000"].concat(), "");
    assert_eq!(
        outcome_of(&mp, &rules(false)),
        Fine,
        "it is nobody's next hop"
    );
}

// BGP-117
#[test]
fn med_and_local_pref() {
    assert_eq!(beside("80040400000001"), Fine);
    assert_eq!(beside("8004050000000001"), Withdraw(4, Fault::Length));
    assert_eq!(beside("800400"), Withdraw(4, Fault::Length));
    assert_eq!(beside(LOCAL_PREF), Discard(5, Fault::Unexpected));
    assert_eq!(
        beside("400500"),
        Discard(5, Fault::Unexpected),
        "right or wrong"
    );
    let internal = body(
        "",
        &[ORIGIN, AS_PATH, NEXT_HOP, "400503000000"].concat(),
        NLRI,
    );
    assert_eq!(
        outcome_of(&internal, &rules(true)),
        Withdraw(5, Fault::Length)
    );
}

// BGP-118
#[test]
fn aggregation_and_as4_attributes_are_dropped_alone() {
    let two = WireRules {
        four_octet_as: false,
        ..rules(false)
    };
    let beside_two = |attribute: &str| {
        outcome_of(
            &body(
                "",
                &[ORIGIN, "4002040201fc00", NEXT_HOP, attribute].concat(),
                NLRI,
            ),
            &two,
        )
    };
    assert_eq!(beside("400600"), Fine);
    assert_eq!(beside("40060100"), Discard(6, Fault::Length));
    assert_eq!(beside("c007080000fc000a000001"), Fine);
    assert_eq!(beside("c00706fc000a000001"), Discard(7, Fault::Length));
    assert_eq!(
        beside("c00708000000000a000001"),
        Discard(7, Fault::Value),
        "AS 0"
    );
    assert_eq!(beside_two("c00706fc000a000001"), Fine);
    assert_eq!(
        beside_two("c007080000fc000a000001"),
        Discard(7, Fault::Length)
    );
    assert_eq!(beside("c0110602010000fc00"), Discard(17, Fault::Unexpected));
    assert_eq!(
        beside("c012080000fc000a000001"),
        Discard(18, Fault::Unexpected)
    );
    assert_eq!(beside_two("c0110602010000fc00"), Fine);
    assert_eq!(beside_two("c0110602020000fc00"), Discard(17, Fault::Length));
    assert_eq!(
        beside_two("c0110603010000fc00"),
        Discard(17, Fault::Confederation)
    );
    assert_eq!(beside_two("c012080000fc000a000001"), Fine);
    assert_eq!(beside_two("c01206fc000a000001"), Discard(18, Fault::Length));
}

// BGP-119
#[test]
fn communities_of_an_impossible_length_are_a_withdrawal() {
    for (code, octets) in [(8, 4), (16, 8), (25, 20), (32, 12)] {
        for length in 0..=2 * octets + 1 {
            let attribute = format!("c0{code:02x}{length:02x}{}", "00".repeat(length));
            let right = length > 0 && length % octets == 0;
            let wanted = if right {
                Fine
            } else {
                Withdraw(code, Fault::Length)
            };
            assert_eq!(beside(&attribute), wanted, "{code} of {length}");
        }
    }
}

// BGP-120
#[test]
fn reflection_attributes_are_dropped_from_ebgp_and_judged_from_ibgp() {
    for (attribute, code, right) in [
        ("8009040a000001", 9, true),
        ("8009030a0000", 9, false),
        ("800a040a000001", 10, true),
        ("800a080a0000010a000002", 10, true),
        ("800a00", 10, false),
        ("800a050a00000101", 10, false),
    ] {
        assert_eq!(
            beside(attribute),
            Discard(code, Fault::Unexpected),
            "{attribute}"
        );
        let wanted = if right {
            Fine
        } else {
            Withdraw(code, Fault::Length)
        };
        assert_eq!(beside_internal(attribute), wanted, "{attribute}");
    }
}
