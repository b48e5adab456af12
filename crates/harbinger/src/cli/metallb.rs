//! MetalLB's flags and environment: honoured where we have the thing, answered with a clear message where not.
//!
//! Owns the flags of both MetalLB programs that have no meaning here, so that its Deployment and DaemonSet run
//! ours with their arguments unchanged. Flags that mean something are in `args`.

use std::ffi::OsString;

use anyhow::bail;

/// Go's flag package takes `-port=1` for `--port=1`; the two roles do so too.
pub fn normalise(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut role = false;
    arguments
        .into_iter()
        .enumerate()
        .map(|(index, argument)| {
            let text = argument.to_str();
            if index == 1 {
                role = matches!(text, Some("controller" | "speaker"));
            }
            match text {
                Some(text) if role && text.len() > 2 && single_dash(text) => {
                    OsString::from(format!("-{text}"))
                }
                _ => argument,
            }
        })
        .collect()
}

fn single_dash(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next() == Some('-') && characters.next().is_some_and(|c| c.is_ascii_lowercase())
}

/// A Go boolean flag: `--flag`, `--flag=true`, `--flag=0`.
pub(crate) fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// A flag that is taken so that MetalLB's manifests work, and does nothing here.
macro_rules! without_effect {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $flag:literal, $why:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, clap::Args)]
        #[command(next_help_heading = "MetalLB's flags without effect here")]
        pub struct $name {
            $(
                $(#[$field_doc])*
                #[arg(long = $flag, value_name = "VALUE", num_args = 0..=1, require_equals = true,
                    default_missing_value = "true", hide_short_help = true, help = $why)]
                pub $field: Option<String>,
            )*
        }

        impl $name {
            /// One line for each that was given: its name and why it does nothing.
            pub fn notes(&self) -> Vec<String> {
                let mut notes = Vec::new();
                $(if self.$field.is_some() {
                    notes.push(format!("--{} has no effect: {}", $flag, $why));
                })*
                notes
            }
        }
    };
}

without_effect! {
    /// Of both programs.
    SharedFlags {
        /// Go's profiler.
        pprof: "pprof-bind-address", "there is no Go profiler; /debug of the metrics port shows world, plan and facts";
        /// TLS 1.2 suites.
        tls_cipher_suites: "tls-cipher-suites", "the suites are those of rustls, all with forward secrecy";
        /// Key exchange groups.
        tls_curve_preferences: "tls-curve-preferences", "the groups are those of rustls";
    }
}

without_effect! {
    /// Of MetalLB's controller.
    ControllerFlags {
        /// Webhook certificate rotation.
        disable_cert_rotation: "disable-cert-rotation", "there is no webhook, so no certificate to rotate";
        /// Webhook certificates.
        cert_dir: "cert-dir", "there is no webhook, so no certificate is read";
        /// Webhook service.
        cert_service_name: "cert-service-name", "there is no webhook Service";
        /// Webhook secret.
        webhook_secret: "webhook-secret", "there is no webhook Secret";
        /// HTTP/2 for the webhook.
        webhook_http2: "webhook-http2", "there is no webhook";
    }
}

without_effect! {
    /// Of MetalLB's speaker.
    SpeakerFlags {
        /// Deprecated there too.
        host: "host", "deprecated in MetalLB as well";
        /// memberlist's WAN profile.
        ml_wan_config: "ml-wan-config", "membership has one profile, which is tuned for 2 % loss";
        /// frr-k8s.
        frrk8s_namespace: "frrk8s-namespace", "there is no FRR here, and no BGP yet";
        /// frr-k8s.
        frrk8s_secret_passthrough: "frrk8s-secret-passthrough", "there is no FRR here, and no BGP yet";
        /// FRR mode only.
        bgp_debounce_timeout: "bgp-debounce-timeout", "changes are batched without a timer";
    }
}

/// Environment of FRR mode that has no meaning without FRR.
const FRR_VARIABLES: [&str; 4] = [
    "FRR_CONFIG_FILE",
    "FRR_RELOADER_PID_FILE",
    "FRR_LOGGING_LEVEL",
    "METALLB_BGP_DEBOUNCE_TIMEOUT",
];

/// What the environment asks for that is not as it was: notes, or an unknown back end.
///
/// # Errors
/// `METALLB_BGP_TYPE` has a value that MetalLB does not know either.
pub fn environment(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Vec<String>> {
    let mut notes = Vec::new();
    match variable("METALLB_BGP_TYPE").as_deref() {
        None | Some("" | "native") => {}
        Some(kind @ ("frr" | "frr-k8s")) => notes.push(format!(
            "METALLB_BGP_TYPE={kind}: taken as native, BGP needs no FRR here"
        )),
        Some(other) => bail!(
            "METALLB_BGP_TYPE={other:?} is no BGP type; use native, frr or frr-k8s, or remove the variable"
        ),
    }
    for name in FRR_VARIABLES {
        if variable(name).is_some_and(|value| !value.is_empty()) {
            notes.push(format!("{name} has no effect: there is no FRR here"));
        }
    }
    Ok(notes)
}

/// The answer to `--webhook-mode`.
///
/// # Errors
/// `onlywebhook`, or no mode that MetalLB knows: such a process would have nothing to do.
pub fn webhook_mode(mode: Option<&str>) -> anyhow::Result<Option<String>> {
    match mode {
        None | Some("disabled") => Ok(None),
        Some("enabled") => Ok(Some(
            "--webhook-mode=enabled: there is no webhook; what it checked is checked by the API server's rules and told in ConfigurationState".to_owned(),
        )),
        Some("onlywebhook") => bail!(
            "--webhook-mode=onlywebhook: there is no webhook, so this process would do nothing; remove the Deployment that asks for it"
        ),
        Some(other) => bail!("--webhook-mode={other:?}: use enabled or disabled, or remove the flag"),
    }
}
