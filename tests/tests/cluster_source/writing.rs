//! Writes: what arrives, what conflicts, what is refused.

use super::*;

#[test]
fn a_status_carries_the_annotation_and_conflicts_where_it_should() {
    shared().block_on(async |client| {
        namespace(&client, "status").await;
        let name = service(&client, "status", "web").await;
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source.clone(), &[Kind::Service]);
        seen.until("the Service", |world| world.services.get(&name).is_some())
            .await;
        let first = seen.service(&name);
        let give = Write::ServiceStatus(Box::new(status(
            &first,
            &["192.0.2.1", "2001:db8::1"],
            Some("p"),
        )));
        let done = source.carry_out(give.clone(), Deadline::NONE).await;
        assert!(matches!(done, Outcome::Done(Some(_))), "{done:?}");
        assert_eq!(
            source.carry_out(give, Deadline::NONE).await,
            Outcome::Conflict,
            "an old version"
        );
        seen.until("the status", |world| {
            world
                .services
                .get(&name)
                .is_some_and(|web| web.object.addresses().count() == 2)
        })
        .await;
        let given = seen.service(&name);
        assert_eq!(done, Outcome::Done(Some(given.origin.version.clone())));
        assert_eq!(given.object.annotation("ip-allocated-from-pool"), Some("p"));
        assert_eq!(given.object.ingress[0].ip_mode.as_deref(), Some("VIP"));
        let api = Api::<core::Service>::namespaced(client.clone(), "status");
        let raw = api.get("web").await.expect("the Service");
        let annotations = raw.metadata.annotations.expect("annotations");
        assert_eq!(annotations["example.org/theirs"], "kept");

        let mut other = status(&given, &["192.0.2.9"], None);
        other.uid = "b2c1b1d6-0000-0000-0000-000000000000".to_owned();
        let outcome = source
            .carry_out(Write::ServiceStatus(Box::new(other)), Deadline::NONE)
            .await;
        assert_eq!(
            outcome,
            Outcome::Conflict,
            "a Service of the same name is another one"
        );
        let mut wrong = status(&given, &["192.0.2.9"], None);
        wrong.ip_mode = "Nonsense";
        let outcome = source
            .carry_out(Write::ServiceStatus(Box::new(wrong)), Deadline::NONE)
            .await;
        assert!(
            matches!(&outcome, Outcome::Refused(why) if why.contains("ipMode")),
            "{outcome:?}"
        );
        let late = status(&given, &["192.0.2.9"], None);
        let outcome = source
            .carry_out(
                Write::ServiceStatus(Box::new(late)),
                Deadline::at(Instant::now()),
            )
            .await;
        assert!(matches!(outcome, Outcome::Unavailable(_)), "{outcome:?}");

        let clear = Write::ServiceStatus(Box::new(status(&given, &[], None)));
        let outcome = source.carry_out(clear.clone(), Deadline::NONE).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        seen.until("the cleared status", |world| {
            world.services.get(&name).is_some_and(|web| {
                web.object.ingress.is_empty() && web.object.annotations.is_empty()
            })
        })
        .await;
        api.delete("web", &Default::default())
            .await
            .expect("deleted");
        assert_eq!(
            source.carry_out(clear.clone(), Deadline::NONE).await,
            Outcome::NotFound
        );
        service(&client, "status", "web").await;
        let outcome = source.carry_out(clear, Deadline::NONE).await;
        assert_eq!(outcome, Outcome::Conflict, "made again, it is another one");
    });
}

fn event(service: &Stored<Service>, message: String) -> Write {
    Write::Event(Event {
        service: service.object.name.clone(),
        uid: service.object.uid.clone(),
        warning: true,
        reason: "AllocationFailed",
        message,
    })
}

#[test]
fn events_are_accepted_with_any_text_and_by_the_old_api_where_the_new_one_is_forbidden() {
    let plane = shared();
    let only_core = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
         "metadata": {"name": "core-events"},
         "rules": [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
         "metadata": {"name": "core-events"},
         "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                     "name": "core-events"},
         "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": NOBODY}]},
    ]});
    plane
        .kubectl_ok(&["apply", "-f", "-"], &only_core.to_string())
        .expect("a role");
    let plane = &plane;
    plane.block_on(async |client| {
        namespace(&client, "events").await;
        let name = service(&client, "events", "web").await;
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source.clone(), &[Kind::Service]);
        seen.until("the Service", |world| world.services.get(&name).is_some())
            .await;
        let web = seen.service(&name);
        // Cut in the middle of a character of three bytes unless that is seen to.
        let long = "€".repeat(3_000);
        assert_eq!(
            source.carry_out(event(&web, long), Deadline::NONE).await,
            Outcome::Done(None)
        );
        let nobody = plane.client(NOBODY).await.expect("a client");
        let limited = KubeSource::new(nobody, config(Role::Speaker));
        for _ in 0..2 {
            let write = event(&web, "short".to_owned());
            assert_eq!(
                limited.carry_out(write, Deadline::NONE).await,
                Outcome::Done(None)
            );
        }
        let api = Api::<core::Event>::namespaced(client.clone(), "events");
        let events = api
            .list(&ListParams::default())
            .await
            .expect("events")
            .items;
        assert_eq!(events.len(), 3);
        for event in &events {
            assert_eq!(event.reason.as_deref(), Some("AllocationFailed"));
            assert_eq!(event.type_.as_deref(), Some("Warning"));
            assert_eq!(
                event.involved_object.uid.as_deref(),
                Some(web.object.uid.as_str())
            );
        }
        let new = events
            .iter()
            .find(|event| event.event_time.is_some())
            .expect("a new one");
        assert_eq!(
            new.reporting_component.as_deref(),
            Some("metallb-controller")
        );
        assert_eq!(new.message.as_deref().map(str::len), Some(1_023));
        let old = events
            .iter()
            .find(|event| event.event_time.is_none())
            .expect("an old one");
        let component = old
            .source
            .as_ref()
            .and_then(|source| source.component.as_deref());
        assert_eq!(component, Some("metallb-speaker"));
    });
}

#[test]
fn statuses_of_our_kinds_are_two_writes_and_are_seen_whole() {
    shared().block_on(async |client| {
        let pods = Api::<core::Pod>::namespaced(client.clone(), OURS);
        let pod = json!({"metadata": {"name": "speaker-x", "labels": {"app": "metallb",
            "component": "speaker"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
        let pod: core::Pod = serde_json::from_value(pod).expect("a Pod");
        let pod = pods
            .create(&PostParams::default(), &pod)
            .await
            .expect("created");
        let owned = KubeConfig {
            owner: Some(Owner::Pod("speaker-x".to_owned())),
            ..config(Role::Speaker)
        };
        let source = KubeSource::new(client.clone(), owned);
        let kinds = [
            Kind::ServiceL2Status,
            Kind::ConfigurationState,
            Kind::IpAddressPool,
            Kind::Pod,
        ];
        let mut seen = follow(source.clone(), &kinds);
        seen.listed(&kinds).await;
        assert_eq!(seen.world.pods.len(), 1);
        let of = NamespacedName::new("default", "l2-story");
        let l2 = |existing, interfaces: &[&str]| Write::L2Status {
            existing,
            node: "node-a".to_owned(),
            service: of.clone(),
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        };
        let made = source.carry_out(l2(None, &["eth0"]), Deadline::NONE).await;
        assert!(matches!(made, Outcome::Done(_)), "{made:?}");
        seen.until("the status", |world| {
            world.l2_statuses.iter().any(|s| s.object.has_status)
        })
        .await;
        let status = seen
            .world
            .l2_statuses
            .iter()
            .next()
            .expect("one")
            .object
            .clone();
        assert!(status.name.name.starts_with("l2-") && status.service == of);
        assert_eq!(status.interfaces, ["eth0"]);
        let raw = ours(&client, "ServiceL2Status")
            .get(&status.name.name)
            .await
            .expect("it");
        let owner = &raw.metadata.owner_references.expect("an owner")[0];
        assert_eq!(Some(&owner.uid), pod.metadata.uid.as_ref());
        let changed = source
            .carry_out(l2(Some(status.name.clone()), &[]), Deadline::NONE)
            .await;
        assert!(matches!(changed, Outcome::Done(_)), "{changed:?}");
        seen.until("no interfaces: all", |world| {
            world
                .l2_statuses
                .iter()
                .all(|s| s.object.interfaces.is_empty())
        })
        .await;
        let gone = Write::DeleteL2Status(status.name.clone());
        assert_eq!(
            source.carry_out(gone.clone(), Deadline::NONE).await,
            Outcome::Done(None)
        );
        assert_eq!(
            source.carry_out(gone, Deadline::NONE).await,
            Outcome::NotFound
        );

        let state = |result, summary: &str| {
            Write::ConfigurationState(ConfigurationStateValue {
                name: NamespacedName::new(OURS, "speaker-node-a"),
                labels: BTreeMap::from([("metallb.io/node-name".to_owned(), "node-a".to_owned())]),
                result,
                error_summary: summary.to_owned(),
                condition: "configReconcilerValid",
                reason: "ConfigurationError",
            })
        };
        for (result, summary) in [("Invalid", "no pool"), ("Valid", "")] {
            let outcome = source
                .carry_out(state(result, summary), Deadline::NONE)
                .await;
            assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
            seen.until(result, |world| {
                let mut states = world.configuration_states.iter();
                states.any(|s| s.object.result == result && s.object.error_summary == summary)
            })
            .await;
        }
        let raw = ours(&client, "ConfigurationState")
            .get("speaker-node-a")
            .await
            .expect("it");
        assert_eq!(raw.data["status"]["conditions"][0]["status"], "True");
        pods.delete("speaker-x", &Default::default())
            .await
            .expect("deleted");
    });
}

#[test]
fn pool_counters_and_the_key_are_written_once_and_right() {
    shared().block_on(async |client| {
        let pools = ours(&client, "IPAddressPool");
        let pool = json!({"apiVersion": "metallb.io/v1beta1", "kind": "IPAddressPool",
            "metadata": {"name": "counted"}, "spec": {"addresses": ["192.0.2.0/24"]}});
        let params = PatchParams::apply("test");
        pools
            .patch("counted", &params, &Patch::Apply(pool))
            .await
            .expect("a pool");
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let kinds = [Kind::IpAddressPool, Kind::Secret];
        let mut seen = follow(source.clone(), &kinds);
        seen.listed(&kinds).await;
        let status = PoolStatus {
            available_ipv6: i64::MAX,
            assigned_ipv4: 3,
            ..PoolStatus::default()
        };
        let name = NamespacedName::new(OURS, "counted");
        let write = Write::PoolStatus {
            name: name.clone(),
            status,
        };
        let outcome = source.carry_out(write, Deadline::NONE).await;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        seen.until("the counters", |world| {
            world
                .pools
                .get(&name)
                .is_some_and(|pool| pool.object.status == Some(status))
        })
        .await;

        let key = NamespacedName::new(OURS, "memberlist");
        let first = source
            .carry_out(Write::MembershipSecret(key.clone()), Deadline::NONE)
            .await;
        assert!(matches!(first, Outcome::Done(Some(_))), "{first:?}");
        let second = source
            .carry_out(Write::MembershipSecret(key.clone()), Deadline::NONE)
            .await;
        assert_eq!(second, Outcome::Done(None), "it was there");
        seen.until("the key", |world| world.secrets.get(&key).is_some())
            .await;
        let secret = &seen.world.secrets.get(&key).expect("the key").object;
        assert_eq!(
            secret.data["secretkey"].len(),
            22,
            "16 bytes in base64 without padding"
        );
        pools
            .delete("counted", &Default::default())
            .await
            .expect("deleted");
    });
}
