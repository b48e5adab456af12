//! Lists and watches: pages, resyncs, rights, late definitions, and everything that cuts a watch.

use super::*;

/// Services and slices are listed in another form than they are watched in.
#[test]
fn a_list_shows_the_same_objects_as_a_watch() {
    shared().block_on(async |client| {
        namespace(&client, "forms").await;
        let kinds = [Kind::Service, Kind::EndpointSlice];
        let source = |role| KubeSource::new(client.clone(), config(role));
        let mut watched = follow(source(Role::Controller), &kinds);
        let both = |world: &World| world.epoch(&kinds).is_some();
        watched.until("both lists", both).await;
        create_forms(&client).await;
        let [full, plain, slice] =
            ["full", "plain", "full-x"].map(|name| NamespacedName::new("forms", name));
        let complete = |world: &World| {
            let deleting = world.services.get(&full).is_some_and(|s| s.object.deleting);
            let there = |name| world.services.get(name).is_some();
            deleting && there(&plain) && world.endpoint_slices.get(&slice).is_some()
        };
        watched.until("all of them", complete).await;
        for role in [Role::Controller, Role::Speaker] {
            let mut listed = follow(source(role), &kinds);
            listed.until("all of them", complete).await;
            for name in [&full, &plain] {
                let [a, b] = [&watched, &listed].map(|seen| seen.world.services.get(name));
                assert_eq!(a, b, "{role:?}");
            }
            let [a, b] = [&watched, &listed].map(|seen| seen.world.endpoint_slices.get(&slice));
            assert_eq!(a, b, "{role:?}");
        }
        let api: Api<core::Service> = Api::namespaced(client.clone(), "forms");
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let let_go = api.patch("full", &PatchParams::default(), &patch).await;
        let_go.expect("let go");
    });
}

/// A Service with all that is read, which is being deleted and stays; one with little; a slice.
async fn create_forms(client: &Client) {
    let full = json!({
        "metadata": {
            "name": "full", "labels": {"a": "b"}, "finalizers": ["example.com/held"],
            "annotations": {"metallb.io/address-pool": "lan", "other": "dropped"},
        },
        "spec": {
            "type": "LoadBalancer", "loadBalancerClass": "x.example/y",
            "ipFamilyPolicy": "PreferDualStack", "loadBalancerIP": "192.0.2.9",
            "externalTrafficPolicy": "Local", "selector": {"app": "web"},
            "ports": [{"name": "a", "port": 53, "protocol": "UDP"},
                      {"name": "b", "port": 443, "nodePort": 32_443}],
        },
    });
    let plain = json!({
        "metadata": {"name": "plain"},
        "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
    });
    let slice = json!({
        "metadata": {"name": "full-x", "labels": {"kubernetes.io/service-name": "full"}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": ["10.0.0.1"], "nodeName": "a", "conditions": {"ready": true}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false, "serving": true}},
            {"addresses": ["10.0.0.3"], "nodeName": "b"},
        ],
        "ports": [],
    });
    let status = json!({"status": {"loadBalancer": {"ingress": [
        {"ip": "192.0.2.9"}, {"ip": "2001:db8::9", "ipMode": "Proxy"}, {"hostname": "h.example"},
    ]}}});
    let services: Api<core::Service> = Api::namespaced(client.clone(), "forms");
    let create = PostParams::default();
    for object in [full, plain] {
        let object = serde_json::from_value(object).expect("a Service");
        let created = services.create(&create, &object).await;
        created.expect("created");
    }
    let (patch, status) = (PatchParams::default(), Patch::Merge(status));
    let patched = services.patch_status("full", &patch, &status).await;
    patched.expect("a status");
    let deleted = services.delete("full", &DeleteParams::default()).await;
    deleted.expect("deleted");
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), "forms");
    let slice = serde_json::from_value(slice).expect("a slice");
    let created = slices.create(&create, &slice).await;
    created.expect("created");
}

#[test]
fn lists_of_many_pages_are_whole_for_both_roles_and_changes_follow() {
    const OBJECTS: usize = 1_103;
    shared().block_on(async |client| {
        let api = Api::<core::ConfigMap>::namespaced(client.clone(), OURS);
        let made = futures::stream::iter(0..OBJECTS).map(|at| {
            let api = api.clone();
            let map = config_map(&format!("page-{at}"));
            async move {
                api.create(&PostParams::default(), &map)
                    .await
                    .expect("created")
            }
        });
        made.buffer_unordered(16).collect::<Vec<_>>().await;
        let pages = |world: &World| {
            let named = |map: &&Stored<ConfigMap>| map.object.name.name.starts_with("page-");
            world.config_maps.iter().filter(named).count()
        };
        for role in [Role::Controller, Role::Speaker] {
            let source = KubeSource::new(client.clone(), config(role));
            let mut seen = follow(source, &[Kind::ConfigMap]);
            seen.listed(&[Kind::ConfigMap]).await;
            assert_eq!(pages(&seen.world), OBJECTS, "{role:?}");
            let name = format!("page-{role:?}").to_lowercase();
            let map = config_map(&name);
            api.create(&PostParams::default(), &map)
                .await
                .expect("created");
            seen.until("a new object", |world| pages(world) == OBJECTS + 1)
                .await;
            api.delete(&name, &Default::default())
                .await
                .expect("deleted");
            seen.until("it is gone", |world| pages(world) == OBJECTS)
                .await;
            assert_eq!(seen.resets, [0], "changes come by the watch");
        }
    });
}

#[test]
fn a_resync_lists_every_kind_again_under_its_epoch() {
    shared().block_on(async |client| {
        let source = KubeSource::new(client.clone(), config(Role::Controller));
        let mut seen = follow(source, WATCHED);
        seen.listed(WATCHED).await;
        assert_eq!(seen.world.epoch(WATCHED), Some(0));
        seen.source.resync(4);
        seen.source.resync(3);
        seen.until("the resync", |world| world.epoch(WATCHED) == Some(4))
            .await;
    });
}

#[test]
fn what_is_forbidden_names_the_rule_and_works_once_it_is_granted() {
    let plane = shared();
    let plane = &plane;
    plane.block_on(async |_| {
        let nobody = plane.client(NOBODY).await.expect("a client");
        let source = KubeSource::new(nobody, config(Role::Speaker));
        let mut seen = follow(source, &[Kind::Node, Kind::L2Advertisement]);
        seen.until("both problems", |world| world.problems().count() == 2)
            .await;
        let told: Vec<String> = seen.world.problems().map(|p| p.message.clone()).collect();
        let told = told.join("\n");
        assert!(
            told.contains("resources: [nodes]") && told.contains("ClusterRole"),
            "{told}"
        );
        assert!(
            told.contains("\"metallb.io\"") && told.contains("namespace metallb-system"),
            "{told}"
        );
        assert_eq!(seen.world.nodes.epoch(), None, "nothing counts as listed");
        let grant = |verb: &str| {
            let role = format!(
                "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\n\
                 metadata: {{name: {verb}er}}\nrules:\n\
                 - {{apiGroups: [''], resources: [nodes], verbs: [{verb}]}}\n\
                 - {{apiGroups: [metallb.io], resources: [l2advertisements], verbs: [{verb}]}}\n\
                 ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\n\
                 metadata: {{name: {verb}er}}\n\
                 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {verb}er}}\n\
                 subjects:\n- {{apiGroup: rbac.authorization.k8s.io, kind: User, name: {NOBODY}}}\n"
            );
            plane.kubectl_ok(&["apply", "-f", "-"], &role).expect("a grant");
        };
        grant("list");
        seen.listed(&[Kind::Node, Kind::L2Advertisement]).await;
        seen.until("that watching is forbidden", |world| world.problems().count() == 2)
            .await;
        grant("watch");
        seen.until("no problem", |world| world.problems().count() == 0)
            .await;
    });
}

/// A way to the server that can be cut, with all connections on it.
struct Way {
    port: u16,
    open: watch::Sender<bool>,
    _task: JoinSet<()>,
}

async fn way(plane: &ControlPlane) -> Way {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = plane.server();
    let open = watch::Sender::new(true);
    let gate = open.clone();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let Ok((mut near, _)) = listener.accept().await else {
                return;
            };
            let mut cut = gate.subscribe();
            if !*cut.borrow() {
                continue;
            }
            connections.spawn(async move {
                let Ok(mut far) = TcpStream::connect(server).await else {
                    return;
                };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = cut.wait_for(|open| !open) => {}
                }
            });
        }
    });
    Way {
        port,
        open,
        _task: task,
    }
}

async fn client_by(plane: &ControlPlane, way: &Way) -> Client {
    let file = kube::config::Kubeconfig::read_from(plane.kubeconfig(ADMIN)).expect("a kubeconfig");
    let options = Default::default();
    let mut config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .expect("usable");
    config.cluster_url = format!("https://127.0.0.1:{}", way.port)
        .parse()
        .expect("a URL");
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// From a thread of its own: waiting for the server is a runtime's work, and one runs here.
fn start_again(plane: &ControlPlane) {
    std::thread::scope(|scope| {
        let started = scope.spawn(|| plane.start_apiserver()).join();
        started.expect("no panic").expect("started again");
    });
}

async fn value(client: &Client, name: &str, value: &str) {
    let map: Value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"a": value}});
    let api = Api::<core::ConfigMap>::namespaced(client.clone(), OURS);
    let params = PatchParams::apply("test");
    api.patch(name, &params, &Patch::Apply(map))
        .await
        .expect("written");
}

fn has(world: &World, name: &str, value: &str) -> bool {
    let map = world.config_maps.get(&NamespacedName::new(OURS, name));
    map.is_some_and(|map| map.object.data.get("a").is_some_and(|a| a == value))
}

#[test]
fn definitions_that_come_late_cut_ways_restarts_and_forgotten_versions_are_all_survived() {
    let plane = ControlPlane::start(Options::default()).expect("a control plane");
    let plane = &plane;
    plane.block_on(async |client| {
        namespace(&client, OURS).await;
        let way = way(plane).await;
        let by_way = client_by(plane, &way).await;
        let kinds = [Kind::ConfigMap, Kind::IpAddressPool];
        let source = KubeSource::new(by_way, config(Role::Controller));
        let mut seen = follow(source.clone(), &kinds);

        seen.until("a complaint", |world| world.problems().count() == 1)
            .await;
        let problem = seen.problem().expect("a problem");
        assert!(
            problem.message.contains("harbinger crds --apply"),
            "{problem:?}"
        );
        seen.until("the other kind", |world| {
            world.config_maps.epoch().is_some()
        })
        .await;
        assert_eq!(
            seen.world.pools.epoch(),
            None,
            "what is not served is not listed"
        );
        prepare(plane);
        seen.listed(&kinds).await;
        seen.until("no complaint", |world| world.problems().count() == 0)
            .await;

        value(&client, "survivor", "before").await;
        seen.until("before", |world| has(world, "survivor", "before"))
            .await;
        way.open.send_replace(false);
        value(&client, "survivor", "while cut").await;
        let refused = source.carry_out(
            Write::MembershipSecret(NamespacedName::new(OURS, "k")),
            Deadline::NONE,
        );
        assert!(matches!(refused.await, Outcome::Unavailable(_)));
        way.open.send_replace(true);
        seen.until("while cut", |world| has(world, "survivor", "while cut"))
            .await;
        assert_eq!(seen.resets, [0], "the watch goes on from where it was");

        plane.stop_apiserver();
        start_again(plane);
        value(&client, "survivor", "restarted").await;
        seen.until("restarted", |world| has(world, "survivor", "restarted"))
            .await;

        let lists = seen.resets.len();
        way.open.send_replace(false);
        value(&client, "survivor", "forgotten").await;
        value(&client, "survivor", "newest").await;
        plane.stop_apiserver();
        plane.compact().expect("compacted");
        start_again(plane);
        way.open.send_replace(true);
        seen.until("newest", |world| has(world, "survivor", "newest"))
            .await;
        assert!(
            seen.resets.len() > lists,
            "a version that is too old is listed anew"
        );
    });
}
