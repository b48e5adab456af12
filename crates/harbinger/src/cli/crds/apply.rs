//! Putting our definitions over whatever is there (compat/metallb.md, "Takeover and back").
//!
//! A definition with MetalLB's conversion webhook that came by `create` or Helm refuses an apply of one with
//! strategy None; a merge patch that clears the webhook first makes every case the same.

use std::fmt::Write as _;

use anyhow::anyhow;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

/// Field manager of our definitions.
pub(crate) const FIELD_MANAGER: &str = "harbinger-crds";

/// MetalLB's webhook configuration; `failurePolicy: Fail` outlives its controller.
pub(crate) const WEBHOOK_CONFIGURATION: &str = "metallb-webhook-configuration";

/// Polls of one definition for the condition `Established`, and the pause between two. The server takes
/// about 20 ms; a busy one a second.
const ESTABLISHED_POLLS: u32 = 300;
const ESTABLISHED_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Applies every definition and waits until the server serves it; the report says what was done.
pub(super) async fn apply(client: Client, remove_webhook: bool) -> anyhow::Result<String> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut report = String::new();
    for ours in api::crds() {
        let name = ours.name_any();
        let what = one(&definitions, &name, &ours).await?;
        writeln!(report, "customresourcedefinition/{name} {what}")?;
    }
    for ours in api::crds() {
        established(&definitions, &ours.name_any()).await?;
    }
    webhook(client, remove_webhook, &mut report).await?;
    Ok(report)
}

async fn one(
    definitions: &Api<CustomResourceDefinition>,
    name: &str,
    ours: &CustomResourceDefinition,
) -> anyhow::Result<&'static str> {
    let there = definitions
        .get_opt(name)
        .await
        .map_err(|error| explain(error, "get", name))?;
    let mut what = if there.is_some() {
        "configured"
    } else {
        "created"
    };
    let webhook = there
        .as_ref()
        .and_then(|crd| crd.spec.conversion.as_ref())
        .is_some_and(|conversion| conversion.webhook.is_some() || conversion.strategy != "None");
    if webhook {
        let patch = json!({"spec": {"conversion": {"strategy": "None", "webhook": null}}});
        definitions
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(|error| explain(error, "patch", name))?;
        what = "configured, its conversion webhook removed";
    }
    let mut body = serde_json::to_value(ours)?;
    if let Some(object) = body.as_object_mut() {
        object.remove("status");
        object.insert("apiVersion".to_owned(), json!("apiextensions.k8s.io/v1"));
        object.insert("kind".to_owned(), json!("CustomResourceDefinition"));
    }
    definitions
        .patch(
            name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(body),
        )
        .await
        .map_err(|error| explain(error, "apply", name))?;
    Ok(what)
}

async fn established(
    definitions: &Api<CustomResourceDefinition>,
    name: &str,
) -> anyhow::Result<()> {
    for _ in 0..ESTABLISHED_POLLS {
        let crd = definitions
            .get(name)
            .await
            .map_err(|error| explain(error, "get", name))?;
        let conditions = crd.status.and_then(|status| status.conditions);
        let ready = conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Established" && condition.status == "True");
        if ready {
            return Ok(());
        }
        tokio::time::sleep(ESTABLISHED_PAUSE).await;
    }
    Err(anyhow!(
        "customresourcedefinition/{name} was applied, but the server does not serve it; see `kubectl describe crd {name}`"
    ))
}

async fn webhook(client: Client, remove: bool, report: &mut String) -> anyhow::Result<()> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client);
    let there = match configurations.get_opt(WEBHOOK_CONFIGURATION).await {
        Ok(there) => there.is_some(),
        // Who may not even look may not remove; without the wish to remove, that is worth no failure.
        Err(error) if !remove => {
            tracing::debug!(%error, "the webhook configuration could not be looked at");
            false
        }
        Err(error) => return Err(explain(error, "get", WEBHOOK_CONFIGURATION)),
    };
    match (there, remove) {
        (false, _) => {}
        (true, false) => writeln!(
            report,
            "validatingwebhookconfiguration/{WEBHOOK_CONFIGURATION} is there: without MetalLB's controller it blocks every edit of a pool; remove it with `harbinger crds --apply --remove-webhook`"
        )?,
        (true, true) => {
            configurations
                .delete(WEBHOOK_CONFIGURATION, &DeleteParams::default())
                .await
                .map_err(|error| explain(error, "delete", WEBHOOK_CONFIGURATION))?;
            writeln!(
                report,
                "validatingwebhookconfiguration/{WEBHOOK_CONFIGURATION} deleted"
            )?;
        }
    }
    Ok(())
}

/// The error with who must act.
fn explain(error: kube::Error, verb: &str, name: &str) -> anyhow::Error {
    let mend = match &error {
        kube::Error::Api(status) if status.code == 403 => {
            "; this needs a cluster administrator's kubeconfig"
        }
        kube::Error::Api(_) => "",
        _ => "; is the cluster of the kubeconfig up? (`kubectl version`)",
    };
    anyhow::Error::new(error).context(format!("cannot {verb} {name}{mend}"))
}
