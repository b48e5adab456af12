//! Parsing: the definition is sound, MetalLB's arguments are understood, and failures exit with 2.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use super::{Cli, command, completions, main, metallb};

fn parse(arguments: &str) -> Result<Cli, clap::Error> {
    let arguments = arguments.split_whitespace().map(OsString::from);
    Cli::try_parse_from(metallb::normalise(arguments))
}

#[test]
fn the_definition_is_sound() {
    command().debug_assert();
}

#[test]
fn a_script_for_every_shell_names_the_verbs() {
    for shell in [
        clap_complete::Shell::Bash,
        clap_complete::Shell::Zsh,
        clap_complete::Shell::Fish,
    ] {
        let script = completions::script(shell);
        assert!(
            script.contains("completions") && script.contains("crds"),
            "{shell}"
        );
    }
}

#[test]
fn a_usage_error_exits_with_2() {
    let exit = |text: &str| main(text.split_whitespace().map(OsString::from));
    assert_eq!(exit("harbinger no-such-verb"), ExitCode::from(2));
    assert_eq!(exit("harbinger crds --remove-webhook"), ExitCode::from(2));
    assert_eq!(
        exit("harbinger crds --apply --kubeconfig /nonexistent"),
        ExitCode::from(2)
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for text in [
        "harbinger --help",
        "harbinger --version",
        "harbinger crds --help",
    ] {
        assert_eq!(parse(text).unwrap_err().exit_code(), 0, "{text}");
    }
}

#[test]
fn an_unknown_bgp_type_is_an_error_and_a_known_one_a_note() {
    let notes = |value: &'static str| {
        metallb::environment(move |name| (name == "METALLB_BGP_TYPE").then(|| value.to_owned()))
    };
    assert!(notes("native").unwrap().is_empty());
    assert!(notes("frr").unwrap()[0].contains("METALLB_BGP_TYPE=frr"));
    assert!(notes("frr-k8s").unwrap()[0].contains("native"));
    let error = notes("bird").unwrap_err().to_string();
    assert!(
        error.contains("METALLB_BGP_TYPE") && error.contains("native"),
        "{error}"
    );
}

#[test]
fn a_webhook_alone_is_refused() {
    assert_eq!(metallb::webhook_mode(None).unwrap(), None);
    assert_eq!(metallb::webhook_mode(Some("disabled")).unwrap(), None);
    assert!(metallb::webhook_mode(Some("enabled")).unwrap().is_some());
    assert!(metallb::webhook_mode(Some("onlywebhook")).is_err());
    assert!(metallb::webhook_mode(Some("x")).is_err());
}

#[test]
fn the_definitions_are_printed_whole() {
    let yaml = api::crds_yaml();
    assert_eq!(yaml.matches("kind: CustomResourceDefinition").count(), 9);
}
