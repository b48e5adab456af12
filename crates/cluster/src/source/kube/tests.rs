//! What needs no server: paths, waits, lines, answers.

use super::backoff::Backoff;
use super::watch::{Event, event};
use super::{KubeConfig, KubeSource, Role, binary, line, path, write};
use crate::convert::{self, Convert, Converted, Raw};
use crate::source::Source;
use ::kube::Client;
use engine::lease::LeaseConfig;
use engine::name::{Kind, NamespacedName};
use engine::world::{Change, Delta, Service};
use engine::write::Outcome;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

fn config() -> KubeConfig {
    KubeConfig {
        namespace: "metallb-system".to_owned(),
        role: Role::Controller,
        instance: "pod".to_owned(),
        pod_selector: "app=metallb,component=speaker".to_owned(),
        secret_name: Some("memberlist".to_owned()),
        config_map_name: None,
        lease_name: "lease".to_owned(),
        lease: LeaseConfig::default(),
        owner: None,
        seed: 1,
    }
}

#[test]
fn each_kind_is_listed_where_it_counts_and_no_more_than_that() {
    let table = [
        (Kind::Service, "/api/v1/services", ""),
        (Kind::Node, "/api/v1/nodes", ""),
        (
            Kind::EndpointSlice,
            "/apis/discovery.k8s.io/v1/endpointslices",
            "",
        ),
        (
            Kind::Pod,
            "/api/v1/namespaces/metallb-system/pods",
            "&labelSelector=app%3Dmetallb%2Ccomponent%3Dspeaker",
        ),
        (
            Kind::Secret,
            "/api/v1/namespaces/metallb-system/secrets",
            "&fieldSelector=metadata.name%3Dmemberlist",
        ),
        (
            Kind::ConfigMap,
            "/api/v1/namespaces/metallb-system/configmaps",
            "",
        ),
        (
            Kind::IpAddressPool,
            "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools",
            "",
        ),
    ];
    for (kind, collection, selector) in table {
        let (path, query) = path::collection(kind, &config());
        assert_eq!(
            (path.as_str(), query.as_str()),
            (collection, selector),
            "{kind}"
        );
    }
    let name = NamespacedName::new("default", "web");
    assert_eq!(
        path::object(Kind::Service, &name),
        "/api/v1/namespaces/default/services/web"
    );
    assert_eq!(path::escape("a/../b c&d"), "a%2F..%2Fb%20c%26d");
}

#[test]
fn waits_double_up_to_their_bound_and_are_never_below_half() {
    let mut backoff = Backoff::new();
    let mut whole = Duration::from_millis(100);
    for random in [0, 1023, 512, 7, 0, 0, 0, 1023] {
        let drawn = backoff.draw(random);
        assert!(
            drawn >= whole / 2 && drawn <= whole,
            "{drawn:?} of {whole:?}"
        );
        whole = (whole * 2).min(Duration::from_secs(5));
    }
    backoff.reset();
    assert!(backoff.draw(1023) <= Duration::from_millis(100));
}

/// A server of one answer a connection, which never comes for the first.
#[tokio::test]
async fn a_resync_does_not_wait_for_the_list_before_it() {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = server.local_addr().expect("its address");
    let uri = format!("http://{address}").parse().expect("a URI");
    let client = Client::try_from(::kube::Config::new(uri)).expect("a client");
    let source = KubeSource::new(client, config());
    let (sender, mut changes) = mpsc::channel(8);
    let _tasks = source.start(&[Kind::Namespace], sender);
    let story = async {
        let mut request = [0; 4096];
        let (mut unanswered, _) = server.accept().await.expect("the first list");
        let asked = unanswered.read(&mut request).await.expect("its request");
        assert!(asked > 0);
        source.resync(7);
        let (mut second, _) = server.accept().await.expect("the second list");
        let asked = second.read(&mut request).await.expect("its request");
        assert!(request[..asked].starts_with(b"GET /api/v1/namespaces?limit=500"));
        let list = r#"{"kind":"NamespaceList","metadata":{"resourceVersion":"5"},"items":[]}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{list}",
            list.len()
        );
        second.write_all(answer.as_bytes()).await.expect("sent");
        changes.recv().await
    };
    let first = tokio::time::timeout(Duration::from_secs(10), story).await;
    let first = first.expect("the second list is asked for at once");
    let Some(Change::Namespace(Delta::Reset { epoch, .. })) = first else {
        panic!("not a list: {first:?}");
    };
    assert_eq!(epoch, 7);
}

#[tokio::test]
async fn lines_are_whole_or_an_error() {
    let mut stream: &[u8] = b"one\ntwo\nthr";
    let mut text = Vec::new();
    assert!(line::read(&mut stream, &mut text).await.expect("a line"));
    assert_eq!(text, b"one\n");
    assert!(line::read(&mut stream, &mut text).await.expect("a line"));
    assert!(line::read(&mut stream, &mut text).await.is_err(), "cut off");
    let mut empty: &[u8] = b"";
    assert!(!line::read(&mut empty, &mut text).await.expect("the end"));
    let endless = vec![b'x'; 5 * 1024 * 1024];
    assert!(
        line::read(&mut endless.as_slice(), &mut text)
            .await
            .is_err()
    );
}

/// A number in groups of seven bits.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number % 128).expect("seven bits");
        number /= 128;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// A field of so many bytes, as the binary form writes it.
fn field(number: usize, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len()), bytes.to_vec()].concat()
}

/// A list of two Services, whose fields are numbered as Kubernetes' `generated.proto` has it.
fn binary_list() -> Vec<u8> {
    let service = |name: &str, port: &[u8], more: &[u8]| {
        let kept = [field(1, b"metallb.io/x"), field(2, b"kept")].concat();
        let dropped = [field(1, b"other"), field(2, b"dropped")].concat();
        let meta = [
            field(1, name.as_bytes()),
            field(3, b"default"),
            field(5, b"uid"),
            field(6, b"7"),
            field(8, &[8, 42]),
            field(12, &kept),
            field(12, &dropped),
            field(17, &[b'm'; 300]),
        ];
        let port = [field(1, b"http"), field(2, b"TCP"), port.to_vec()].concat();
        let spec = [
            field(1, &port),
            field(4, b"LoadBalancer"),
            field(18, b"10.0.0.1"),
            field(19, b"IPv4"),
            [varint(20 << 3), varint(0)].concat(),
        ];
        let ingress = field(1, &[field(1, b"192.0.2.1"), field(3, b"VIP")].concat());
        [
            field(1, &meta.concat()),
            field(2, &spec.concat()),
            field(3, &field(1, &ingress)),
            more.to_vec(),
        ]
        .concat()
    };
    let list = [
        field(1, &[field(2, b"9"), field(3, b"")].concat()),
        field(2, &service("a", &[3 << 3, 80], &[])),
        field(2, &service("b", &[3 << 3, 0xbb, 3], &field(9, b"later"))),
    ];
    let kind = [field(1, b"v1"), field(2, b"ServiceList")].concat();
    let outer = [field(1, &kind), field(2, &list.concat()), field(3, b"")];
    [binary::MAGIC, &outer.concat()].concat()
}

/// Names of the objects and the list's version.
async fn read_binary(mut bytes: &[u8]) -> std::io::Result<(Vec<Service>, String)> {
    let mut services = Vec::new();
    let meta = binary::read(&mut bytes, |object| {
        let read = <<Service as Convert>::Raw as Raw>::FROM_PROTOBUF.expect("Services have it");
        match convert::stored::<Service>(read(object)?, None) {
            Converted::Good(stored) => services.push(Service::clone(&stored.object)),
            Converted::Bad(_, problem) => panic!("{problem:?}"),
        }
        Ok(())
    });
    let version = meta.await?.resource_version;
    Ok((services, version))
}

#[tokio::test]
async fn a_list_of_the_binary_form_is_read_object_by_object() {
    let (services, version) = read_binary(&binary_list()).await.expect("a list");
    assert_eq!(version, "9");
    let [a, b] = services.as_slice() else {
        panic!("{services:?}");
    };
    assert_eq!((a.name.name.as_str(), b.name.name.as_str()), ("a", "b"));
    assert_eq!((a.ports[0].port, b.ports[0].port), (80, 443));
    assert_eq!(
        (a.created, a.deleting, a.load_balancer),
        (Some(42), false, true)
    );
    assert_eq!(a.annotations.len(), 1, "foreign annotations are dropped");
    let addresses: Vec<String> = a.addresses().map(|ip| ip.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1"]);
}

#[tokio::test]
async fn a_list_of_the_binary_form_that_is_cut_off_or_spoilt_is_none() {
    let whole = binary_list();
    // The last field of the envelope is empty and may be absent.
    for end in 0..whole.len() - 2 {
        assert!(read_binary(&whole[..end]).await.is_err(), "{end} bytes");
    }
    assert!(read_binary(b"{\"kind\":\"ServiceList\"}").await.is_err());
    let endless = [binary::MAGIC, &[10, 0xff, 0xff, 0xff, 0xff, 0xff, 1]].concat();
    assert!(
        read_binary(&endless).await.is_err(),
        "longer than any object"
    );
}

fn understood(text: &str) -> Event {
    event::<Service>(text.as_bytes()).expect("a line of a watch")
}

#[test]
fn a_change_reaches_its_version() {
    let text = r#"{"type":"MODIFIED","object":{"kind":"Service","metadata":{"name":"web",
        "namespace":"default","resourceVersion":"7","managedFields":[{"manager":"x"}],
        "annotations":{"a/b":"c","metallb.io/address-pool":"p"}},"spec":{"type":"LoadBalancer"}}}"#;
    let Event::Change(change, version) = understood(text) else {
        panic!("a change");
    };
    let Change::Service(Delta::Upsert(stored)) = *change else {
        panic!("an upsert: {change:?}");
    };
    assert_eq!(
        (version.as_str(), stored.origin.version.as_str()),
        ("7", "7")
    );
    assert_eq!(
        stored.object.annotations.len(),
        1,
        "foreign annotations are dropped"
    );
    assert!(stored.object.load_balancer);
}

#[test]
fn an_object_that_does_not_fit_is_told_and_the_watch_goes_on() {
    let text = r#"{"type":"ADDED","object":{"metadata":{"name":"web","namespace":"default",
        "resourceVersion":"8"},"spec":{"ports":[{"port":"http"}]}}}"#;
    let Event::Change(change, version) = understood(text) else {
        panic!("a change");
    };
    assert_eq!(version, "8");
    let Change::Unreadable { name, problem, .. } = *change else {
        panic!("{change:?}");
    };
    assert_eq!(name, NamespacedName::new("default", "web"));
    assert!(
        problem.message.starts_with("spec.ports[0].port: "),
        "{}",
        problem.message
    );
}

#[test]
fn ends_of_a_watch_are_told_apart() {
    let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired",
        "message":"too old resource version"}}"#;
    assert!(matches!(understood(gone), Event::Expired));
    let other = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"reason":"InternalError",
        "message":"etcd"}}"#;
    assert!(matches!(understood(other), Event::Error(why) if why == "InternalError: etcd"));
    let mark =
        r#"{"type":"BOOKMARK","object":{"kind":"Service","metadata":{"resourceVersion":"9"}}}"#;
    assert!(matches!(understood(mark), Event::Bookmark(version) if version == "9"));
    let deleted = r#"{"type":"DELETED","object":{"metadata":{"name":"a","namespace":"b",
        "resourceVersion":"10"},"spec":{"ports":7}}}"#;
    assert!(matches!(
        understood(deleted),
        Event::Change(change, _) if matches!(*change, Change::Service(Delta::Delete(_)))
    ));
    assert!(event::<Service>(b"garbage\n").is_err());
}

#[test]
fn answers_mean_what_the_writer_needs_to_know() {
    let table = [
        (409, Outcome::Conflict),
        (404, Outcome::NotFound),
        (403, Outcome::Refused("m".to_owned())),
        (422, Outcome::Refused("m".to_owned())),
        (401, Outcome::Unavailable("m".to_owned())),
        (429, Outcome::Unavailable("m".to_owned())),
        (500, Outcome::Unavailable("m".to_owned())),
        (504, Outcome::Unavailable("m".to_owned())),
    ];
    for (code, expected) in table {
        let status = kube::core::Status::failure("m", "r").with_code(code);
        let error = kube::Error::Api(status.boxed());
        assert_eq!(write::outcome(&error), expected, "{code}");
    }
}
