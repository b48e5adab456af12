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
    assert_eq!(yaml.matches("kind: CustomResourceDefinition").count(), 11);
}

#[test]
fn a_cause_that_is_shown_already_is_not_repeated() {
    let error = anyhow::anyhow!("no such file")
        .context("/x: no such file")
        .context("cannot read");
    assert_eq!(super::message(&error), "cannot read: /x: no such file");
}

#[test]
fn metallbs_own_arguments_are_understood() {
    let controller = parse(
        "controller-image controller --port=9120 --log-level=info --tls-min-version=VersionTLS13 \
         -lb-class=x/y --webhook-mode=enabled --disable-cert-rotation=true --cert-dir=/x -ml-secret-name=memberlist",
    );
    let super::Verb::Controller(args) = controller.unwrap().verb else {
        panic!("not the controller");
    };
    assert_eq!(args.identity.class().as_deref(), Some("x/y"));
    assert_eq!(args.ml_secret_name, "memberlist");
    let notes = args.notes().unwrap().join("\n");
    for flag in ["--webhook-mode", "--disable-cert-rotation", "--cert-dir"] {
        assert!(notes.contains(flag), "{flag}: {notes}");
    }
    let speaker = parse(
        "x speaker --node-name=n1 --ml-bindaddr=192.0.2.1 --ml-labels=app=metallb,component=speaker \
         --ignore-exclude-lb --host=x --ml-wan-config --bgp-debounce-timeout=3000 --pprof-bind-address=:6060 --lb-class=",
    );
    let super::Verb::Speaker(args) = speaker.unwrap().verb else {
        panic!("not the speaker");
    };
    assert!(args.announce.ignore_exclude_lb);
    assert_eq!(args.identity.class(), None);
    assert_eq!(args.ignored.notes().len(), 3, "{:?}", args.ignored.notes());
    assert_eq!(args.shared.notes().len(), 1);
    assert_eq!(args.members.labels().unwrap().len(), 2);
}

#[test]
fn a_speaker_without_a_node_name_is_a_usage_error() {
    if std::env::var_os("METALLB_NODE_NAME").is_none() {
        assert_eq!(parse("harbinger speaker").unwrap_err().exit_code(), 2);
    }
}

#[test]
fn a_folder_and_a_cluster_exclude_each_other() {
    assert!(parse("harbinger run --dir a --state b").is_ok());
    assert!(parse("harbinger run --dir a --kubeconfig b").is_err());
    assert!(parse("harbinger run --state b").is_err());
}
