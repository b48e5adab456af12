//! The names that MetalLB's dashboards read, letter for letter.

use super::{Family, Metrics, Name, Timings, classic};

fn text(families: Vec<Family>) -> String {
    let timings = Timings::default();
    timings.status_written.observe(0.003);
    Metrics::new(&timings).text(families)
}

#[test]
fn metallbs_names_come_out_exactly() {
    let pool = || vec![("pool", "p".to_owned())];
    let ip = || vec![("ip", "192.0.2.1".to_owned())];
    let announced = vec![
        ("service", "default/web".to_owned()),
        ("protocol", "layer2".to_owned()),
        ("node", "n1".to_owned()),
        ("ip", "192.0.2.1".to_owned()),
    ];
    let text = text(vec![
        Family::new(Name::AllocatorAddresses, vec![(pool(), i64::MAX)]),
        Family::new(Name::AllocatorIpv4AddressesInUse, vec![(pool(), 1)]),
        Family::one(Name::ClientUpdates, 7),
        Family::one(Name::ClientConfigLoaded, 1),
        Family::new(Name::SpeakerAnnounced, vec![(announced, 1)]),
        Family::new(Name::Layer2RequestsReceived, vec![(ip(), 5)]),
        Family::new(Name::Layer2ResponsesSent, vec![(ip(), 4)]),
        Family::new(Name::Layer2GratuitousSent, vec![(ip(), 3)]),
    ]);
    for line in [
        "metallb_allocator_addresses_total{pool=\"p\"} 9223372036854775807",
        "# TYPE metallb_allocator_addresses_total gauge",
        "metallb_allocator_ipv4_addresses_in_use_total{pool=\"p\"} 1",
        "# TYPE metallb_k8s_client_updates_total counter",
        "metallb_k8s_client_updates_total 7",
        "metallb_k8s_client_config_loaded_bool 1",
        "metallb_speaker_announced{service=\"default/web\",protocol=\"layer2\",node=\"n1\",ip=\"192.0.2.1\"} 1",
        "# TYPE metallb_layer2_requests_received counter",
        "metallb_layer2_requests_received{ip=\"192.0.2.1\"} 5",
        "metallb_layer2_responses_sent{ip=\"192.0.2.1\"} 4",
        "metallb_layer2_gratuitous_sent{ip=\"192.0.2.1\"} 3",
        "harbinger_service_status_written_seconds_count 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n---\n{text}");
    }
    assert!(!text.contains("# EOF"));
}

#[test]
fn a_family_told_by_two_roles_appears_once() {
    let labels = |severity: &str| vec![("severity", severity.to_owned())];
    let text = text(vec![
        Family::new(Name::Problems, vec![(labels("error"), 1)]),
        Family::one(Name::Leader, 1),
        Family::new(Name::Problems, vec![(labels("note"), 2)]),
    ]);
    assert_eq!(text.matches("# TYPE harbinger_problems gauge").count(), 1);
    assert_eq!(text.matches("harbinger_problems{").count(), 2);
}

#[test]
fn a_sample_told_by_two_roles_is_one() {
    let text = text(vec![
        Family::one(Name::ClientUpdates, 2),
        Family::one(Name::ClientConfigStale, 1),
        Family::one(Name::ClientUpdates, 3),
        Family::one(Name::ClientConfigStale, 0),
    ]);
    assert!(
        text.contains("\nmetallb_k8s_client_updates_total 5\n"),
        "{text}"
    );
    assert!(
        text.contains("\nmetallb_k8s_client_config_stale_bool 1\n"),
        "{text}"
    );
}

#[test]
fn a_label_cannot_break_a_line() {
    let evil = vec![("service", "a\"} 1\nevil 2".to_owned())];
    let text = text(vec![Family::new(Name::SpeakerAnnounced, vec![(evil, 1)])]);
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}

#[test]
fn every_name_is_told_once_and_belongs_to_a_family_of_ours() {
    let mut names: Vec<_> = Name::ALL.iter().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Name::ALL.len());
    for name in names {
        let known = ["metallb_", "harbinger_", "process_"];
        assert!(
            known.iter().any(|prefix| name.starts_with(prefix)),
            "{name}"
        );
    }
}

#[test]
fn the_classic_format_names_a_counter_as_its_samples() {
    let open = "# HELP a_b Text.\n# TYPE a_b counter\na_b_total{x=\"1\"} 2\n";
    let is = "# HELP a_b_total Text.\n# TYPE a_b_total counter\na_b_total{x=\"1\"} 2\n";
    assert_eq!(classic(open), is);
}
