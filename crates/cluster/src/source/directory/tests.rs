//! A folder as a cluster: edits, restarts, two processes.

mod moves;

use super::*;
use engine::lease::Leadership;
use engine::problem::{Problem, reason};
use engine::world::{Delta, Family, PoolStatus, Service, World};
use engine::write::{Event, ServiceStatus};
use std::fs;
use std::net::IpAddr;
use std::time::Duration;
use tempfile::TempDir;

/// Longest any change may take to be seen; the test fails then, it does not wait so long.
const PATIENCE: Duration = Duration::from_secs(20);

struct Watched {
    source: DirectorySource,
    world: World,
    changes: mpsc::Receiver<Change>,
    resets: Vec<u64>,
    _tasks: JoinSet<()>,
}

fn open(folder: &TempDir) -> DirectorySource {
    DirectorySource::open(DirectoryConfig {
        manifests: folder.path().to_owned(),
        state: None,
        namespace: "metallb-system".to_owned(),
        secret_name: "memberlist".to_owned(),
        component: "metallb-controller",
    })
    .expect("the folder exists")
}

async fn watch(folder: &TempDir) -> Watched {
    let source = open(folder);
    let (sender, changes) = mpsc::channel(crate::CHANGES_MAX);
    let tasks = source.start(crate::WATCHED, sender);
    let mut watched = Watched {
        source,
        world: World::default(),
        changes,
        resets: Vec::new(),
        _tasks: tasks,
    };
    watched
        .until(|world| world.epoch(crate::WATCHED).is_some())
        .await;
    watched
}

impl Watched {
    async fn until(&mut self, holds: impl Fn(&World) -> bool) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds(&self.world) {
                let change = self.changes.recv().await.expect("the source lives");
                if let Change::Service(Delta::Reset { epoch, .. }) = &change {
                    self.resets.push(*epoch);
                }
                self.world.apply(change);
            }
        });
        assert!(waited.await.is_ok(), "not seen in time: {:#?}", self.world);
    }

    fn service(&self, name: &str) -> Option<&Service> {
        let name = NamespacedName::new("default", name);
        self.world.services.get(&name).map(|stored| &*stored.object)
    }

    fn problems(&self) -> Vec<&Problem> {
        self.world.problems().collect()
    }

    /// The status write that gives `ip`, decided on what is seen now.
    fn status(&self, name: &str, ip: &str) -> Write {
        let name = NamespacedName::new("default", name);
        let stored = self
            .world
            .services
            .get(&name)
            .expect("the Service is there");
        Write::ServiceStatus(Box::new(ServiceStatus {
            uid: stored.object.uid.clone(),
            version: stored.origin.version.clone(),
            name,
            addresses: vec![ip.parse().expect("an address")],
            ip_mode: "VIP",
            pool: Some("p".to_owned()),
        }))
    }

    async fn lead(&self, identity: &str) -> Campaign {
        let campaign = self.source.campaign(identity);
        leads(&campaign).await;
        campaign
    }
}

async fn leads(campaign: &Campaign) {
    let mut leadership = campaign.leadership();
    let waited = leadership.wait_for(|now| matches!(now, Leadership::Leader { .. }));
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    assert!(waited.is_ok_and(|seen| seen.is_ok()), "no leader");
}

fn put(folder: &TempDir, file: &str, text: &str) {
    fs::write(folder.path().join(file), text).expect("a file");
}

fn service(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
         spec: {{type: LoadBalancer, ports: [{{port: 80}}]{spec}}}\n"
    )
}

fn has(world: &World, name: &str, ip: &str) -> bool {
    let name = NamespacedName::new("default", name);
    let ip: IpAddr = ip.parse().expect("an address");
    let stored = world.services.get(&name);
    stored.is_some_and(|stored| stored.object.addresses().eq([ip]))
}

#[tokio::test]
async fn an_edit_is_seen_broken_text_keeps_the_object_and_the_mend_ends_the_problem() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "a.yaml", &service("web", ""));
    let mut watched = watch(&folder).await;
    assert!(
        watched
            .service("web")
            .is_some_and(|web| web.class.is_none())
    );
    put(
        &folder,
        "a.yaml",
        &service("web", ", loadBalancerClass: x/y"),
    );
    let classed = |world: &World| {
        world
            .services
            .iter()
            .any(|web| web.object.class.as_deref() == Some("x/y"))
    };
    watched.until(classed).await;
    put(&folder, "a.yaml", "apiVersion: v1\nkind: Service\n  x: [");
    watched.until(|world| world.problems().count() == 1).await;
    assert!(
        watched.service("web").is_some(),
        "a broken file deletes nothing"
    );
    assert_eq!(watched.problems()[0].kind, "File");
    put(&folder, "a.yaml", &service("web", ""));
    watched.until(|world| world.problems().count() == 0).await;
    assert!(
        watched
            .service("web")
            .is_some_and(|web| web.class.is_none())
    );
    fs::remove_file(folder.path().join("a.yaml")).expect("removed");
    watched.until(|world| world.services.is_empty()).await;
}

#[tokio::test]
async fn a_folder_that_is_away_is_not_an_empty_one() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "web.yaml", &service("web", ""));
    put(&folder, "more.yaml", &service("more", ""));
    let mut watched = watch(&folder).await;
    let away = folder.path().with_extension("away");
    fs::rename(folder.path(), &away).expect("it can be renamed");
    watched
        .until(|world| world.problems().any(|problem| problem.kind == "File"))
        .await;
    assert!(watched.service("web").is_some() && watched.service("more").is_some());
    fs::remove_file(away.join("more.yaml")).expect("it is there");
    fs::rename(&away, folder.path()).expect("it can be renamed back");
    let more = NamespacedName::new("default", "more");
    watched
        .until(|world| world.services.get(&more).is_none() && world.problems().next().is_none())
        .await;
    assert!(watched.service("web").is_some());
}

#[tokio::test]
async fn an_object_that_breaks_its_schema_keeps_its_last_readable_value() {
    let folder = TempDir::new().expect("a folder");
    let pool = |addresses: &str| {
        format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: p}}\n\
             spec: {{addresses: {addresses}}}\n"
        )
    };
    put(&folder, "p.yaml", &pool("[192.0.2.0/24]"));
    let mut watched = watch(&folder).await;
    put(&folder, "p.yaml", &pool("7"));
    watched.until(|world| world.problems().count() == 1).await;
    assert_eq!(watched.world.pools.len(), 1);
    assert_eq!(watched.problems()[0].reason, reason::INVALID_FIELD);
    watched.source.resync(5);
    watched
        .until(|world| world.epoch(crate::WATCHED) == Some(5))
        .await;
    assert_eq!(watched.world.pools.len(), 1, "also over a resync");
    assert_eq!(watched.problems().len(), 1);
}

#[tokio::test]
async fn a_status_is_written_read_back_after_a_restart_and_forgotten_with_the_manifest() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "web.yaml", &service("web", ""));
    let mut watched = watch(&folder).await;
    let campaign = watched.lead("one").await;
    let write = watched.status("web", "192.0.2.1");
    let outcome = watched
        .source
        .carry_out(write.clone(), Deadline::NONE)
        .await;
    assert_eq!(outcome, Outcome::Done(None));
    // The same decision again, on the version before it.
    assert_eq!(
        watched.source.carry_out(write, Deadline::NONE).await,
        Outcome::Conflict
    );
    watched.until(|world| has(world, "web", "192.0.2.1")).await;
    let web = watched.service("web").expect("the Service");
    assert_eq!(web.annotation("ip-allocated-from-pool"), Some("p"));
    assert_eq!(web.ingress[0].ip_mode.as_deref(), Some("VIP"));
    campaign.release().await;
    drop(watched);

    let mut watched = watch(&folder).await;
    assert!(has(&watched.world, "web", "192.0.2.1"), "after a restart");
    let _campaign = watched.lead("two").await;
    fs::remove_file(folder.path().join("web.yaml")).expect("removed");
    watched.until(|world| world.services.is_empty()).await;
    put(&folder, "web.yaml", &service("web", ""));
    watched.until(|world| !world.services.is_empty()).await;
    let web = watched.service("web").expect("made again");
    assert!(web.ingress.is_empty() && web.annotations.is_empty());
}

#[tokio::test]
async fn a_cleared_status_stays_cleared_over_the_manifests_own() {
    let folder = TempDir::new().expect("a folder");
    let text = service("web", "") + "status: {loadBalancer: {ingress: [{ip: 192.0.2.9}]}}\n";
    put(&folder, "web.yaml", &text);
    let mut watched = watch(&folder).await;
    assert!(
        has(&watched.world, "web", "192.0.2.9"),
        "a dump's status counts"
    );
    let _campaign = watched.lead("one").await;
    let Write::ServiceStatus(mut status) = watched.status("web", "192.0.2.1") else {
        unreachable!("a status write")
    };
    status.addresses.clear();
    status.pool = None;
    let outcome = watched
        .source
        .carry_out(Write::ServiceStatus(status), Deadline::NONE)
        .await;
    assert_eq!(outcome, Outcome::Done(None));
    let cleared = |world: &World| {
        world
            .services
            .iter()
            .all(|web| web.object.ingress.is_empty())
    };
    watched.until(cleared).await;
}

#[tokio::test]
async fn one_of_two_holds_the_lock_and_the_other_takes_it_and_sees_what_was_written() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "web.yaml", &service("web", ""));
    let first = watch(&folder).await;
    let mut second = watch(&folder).await;
    let holder = first.lead("first").await;
    let standby = second.source.campaign("second");
    let mut leadership = standby.leadership();
    let known = Leadership::Follower {
        holder: Some("first".to_owned()),
    };
    let waited = tokio::time::timeout(PATIENCE, leadership.wait_for(|now| *now == known)).await;
    assert!(waited.is_ok(), "the follower knows the holder");
    drop(waited);
    let refused = second
        .source
        .carry_out(second.status("web", "192.0.2.2"), Deadline::NONE)
        .await;
    assert!(matches!(refused, Outcome::Unavailable(_)), "{refused:?}");
    let done = first
        .source
        .carry_out(first.status("web", "192.0.2.1"), Deadline::NONE)
        .await;
    assert_eq!(done, Outcome::Done(None));
    second.until(|world| has(world, "web", "192.0.2.1")).await;
    // As a crash would: no word is said.
    drop(holder);
    leads(&standby).await;
    let done = second
        .source
        .carry_out(second.status("web", "192.0.2.2"), Deadline::NONE)
        .await;
    assert_eq!(done, Outcome::Done(None));
}

#[tokio::test]
async fn families_are_derived() {
    let folder = TempDir::new().expect("a folder");
    let text = service("web", ", ipFamilyPolicy: PreferDualStack");
    put(&folder, "a.yaml", &text);
    put(&folder, "b.yaml", &service("six", ", ipFamilies: [IPv6]"));
    put(&folder, "c.yaml", &service("own", ", clusterIP: 10.0.0.1"));
    let watched = watch(&folder).await;
    let web = watched.service("web").expect("web");
    assert_eq!(web.families, [Family::V4, Family::V6]);
    assert_eq!(web.cluster_ips.len(), 2);
    assert_eq!(watched.service("six").expect("six").families, [Family::V6]);
    assert_eq!(
        watched.service("own").expect("own").cluster_ips,
        [IpAddr::from([10, 0, 0, 1])]
    );
}

#[tokio::test]
async fn only_pools_of_the_sixth_version_make_services_of_it() {
    let folder = TempDir::new().expect("a folder");
    put(
        &folder,
        "p.yaml",
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\n\
         spec: {addresses: ['2001:db8::/64']}\n",
    );
    put(&folder, "s.yaml", &service("web", ""));
    let watched = watch(&folder).await;
    assert_eq!(watched.service("web").expect("web").families, [Family::V6]);
}

#[tokio::test]
async fn l2_statuses_and_configuration_states_live_in_the_state_folder() {
    let folder = TempDir::new().expect("a folder");
    let mut watched = watch(&folder).await;
    let service = NamespacedName::new("default", "web");
    let write = Write::L2Status {
        existing: None,
        node: "a".to_owned(),
        service: service.clone(),
        interfaces: vec!["eth0".to_owned()],
    };
    for _ in 0..2 {
        assert_eq!(
            watched
                .source
                .carry_out(write.clone(), Deadline::NONE)
                .await,
            Outcome::Done(None)
        );
    }
    watched.until(|world| !world.l2_statuses.is_empty()).await;
    assert_eq!(watched.world.l2_statuses.len(), 1, "made once");
    let status = watched
        .world
        .l2_statuses
        .iter()
        .next()
        .expect("one")
        .object
        .clone();
    assert_eq!((status.node.as_str(), &status.service), ("a", &service));
    assert!(status.has_status && status.interfaces == ["eth0"]);
    let gone = watched
        .source
        .carry_out(Write::DeleteL2Status(status.name.clone()), Deadline::NONE)
        .await;
    assert_eq!(gone, Outcome::Done(None));
    watched.until(|world| world.l2_statuses.is_empty()).await;
    let again = watched
        .source
        .carry_out(Write::DeleteL2Status(status.name.clone()), Deadline::NONE)
        .await;
    assert_eq!(again, Outcome::NotFound);
}

#[tokio::test]
async fn pool_counters_come_back() {
    let folder = TempDir::new().expect("a folder");
    put(
        &folder,
        "p.yaml",
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\n\
         spec: {addresses: [192.0.2.0/24]}\n",
    );
    let mut watched = watch(&folder).await;
    let _campaign = watched.lead("one").await;
    let status = PoolStatus {
        assigned_ipv4: 1,
        available_ipv4: 255,
        ..PoolStatus::default()
    };
    let name = NamespacedName::new("metallb-system", "p");
    let write = Write::PoolStatus { name, status };
    assert_eq!(
        watched.source.carry_out(write, Deadline::NONE).await,
        Outcome::Done(None)
    );
    let seen = |world: &World| {
        world
            .pools
            .iter()
            .any(|pool| pool.object.status == Some(status))
    };
    watched.until(seen).await;
}

#[tokio::test]
async fn the_key_file_is_made_once_is_private_and_is_the_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().expect("a folder");
    let mut watched = watch(&folder).await;
    let name = NamespacedName::new("metallb-system", "memberlist");
    let made = watched
        .source
        .carry_out(Write::MembershipSecret(name.clone()), Deadline::NONE)
        .await;
    assert_eq!(made, Outcome::Done(None));
    let path = watched.source.state().join("memberlist.key");
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    watched
        .until(|world| world.secrets.get(&name).is_some())
        .await;
    let key = watched.source.membership_key().expect("the key");
    assert_eq!(key.len(), 22, "16 bytes in base64 without padding");
    let secret = watched
        .world
        .secrets
        .get(&name)
        .expect("the Secret")
        .object
        .clone();
    assert_eq!(secret.data.get("secretkey"), Some(&key));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    watched.until(|world| world.problems().count() == 1).await;
    assert!(watched.problems()[0].message.contains("chmod 600"));
    assert!(watched.source.membership_key().is_err());
}

#[tokio::test]
async fn events_are_lines_with_counts() {
    let folder = TempDir::new().expect("a folder");
    let source = open(&folder);
    let event = Write::Event(Event {
        service: NamespacedName::new("default", "web"),
        uid: "u".to_owned(),
        warning: true,
        reason: "AllocationFailed",
        message: "no \"address\"".to_owned(),
    });
    for _ in 0..5 {
        assert_eq!(
            source.carry_out(event.clone(), Deadline::NONE).await,
            Outcome::Done(None)
        );
    }
    let text = fs::read_to_string(source.state().join("events.jsonl")).expect("a log");
    let counts: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .filter_map(|line| line.get("count")?.as_u64())
        .collect();
    assert_eq!(counts, [1, 2, 4]);
}

#[tokio::test]
async fn a_resync_carries_its_epoch_and_a_later_deadline_is_kept() {
    let folder = TempDir::new().expect("a folder");
    put(&folder, "web.yaml", &service("web", ""));
    let mut watched = watch(&folder).await;
    watched.source.resync(3);
    watched
        .until(|world| world.epoch(crate::WATCHED) == Some(3))
        .await;
    assert_eq!(watched.resets, [0, 3]);
    let late = Deadline::at(Instant::now());
    let outcome = watched
        .source
        .carry_out(watched.status("web", "192.0.2.1"), late)
        .await;
    assert!(matches!(outcome, Outcome::Unavailable(_)));
}

/// Names the folder whose lock the child process of the test below holds.
const HELD_FOLDER: &str = "HARBINGER_TEST_HELD_FOLDER";

/// The child: holds the lock until it is killed. Without the variable there is nothing to do.
#[tokio::test]
async fn a_process_that_holds_the_lock() {
    let Some(path) = std::env::var_os(HELD_FOLDER) else {
        return;
    };
    let source = DirectorySource::open(DirectoryConfig {
        manifests: path.into(),
        state: None,
        namespace: "metallb-system".to_owned(),
        secret_name: "memberlist".to_owned(),
        component: "metallb-controller",
    });
    let campaign = source.expect("the folder").campaign("child");
    leads(&campaign).await;
    // Until the kill; the end of the parent ends it too.
    let _ = std::io::read_to_string(std::io::stdin());
}

#[tokio::test]
async fn a_killed_process_frees_the_lock_at_once() {
    let folder = TempDir::new().expect("a folder");
    let mut child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "source::directory::tests::a_process_that_holds_the_lock",
        ])
        .env(HELD_FOLDER, folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("a child");
    let lock = folder.path().join(".harbinger/lease.lock");
    let begun = Instant::now();
    while fs::read_to_string(&lock).unwrap_or_default() != "child" {
        assert!(
            begun.elapsed() < PATIENCE,
            "the child does not take the lock"
        );
        tokio::task::yield_now().await;
    }
    let standby = open(&folder).campaign("standby");
    let known = Leadership::Follower {
        holder: Some("child".to_owned()),
    };
    let mut leadership = standby.leadership();
    let waited = tokio::time::timeout(PATIENCE, leadership.wait_for(|now| *now == known)).await;
    assert!(waited.is_ok_and(|seen| seen.is_ok()), "the child holds it");
    let begun = Instant::now();
    child.kill().expect("killed");
    leads(&standby).await;
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    child.wait().expect("reaped");
}
