//! The loop over real sockets that need no privilege: two memberships on the loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use engine::speaker::{Desired, MemberKeys};
use engine::wire::WireConfig;
use members::BootId;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Setup, WireReport, run};
use crate::admin::{Page, Question};
use crate::metrics::Name;
use crate::shutdown::Stop;

/// Longer than anything here takes; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    report: watch::Receiver<WireReport>,
    questions: mpsc::Sender<Question>,
    stop: Stop,
    thread: JoinHandle<anyhow::Result<()>>,
    _desired: watch::Sender<Arc<Desired>>,
}

/// Two ports that were free a moment ago.
fn ports() -> [SocketAddr; 2] {
    let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let both = [socket(), socket()];
    both.map(|socket| socket.local_addr().unwrap())
}

fn node(name: &str, own: SocketAddr, peers: [SocketAddr; 2], boot: u8) -> Node {
    let desired = Desired {
        member_peers: Some(peers.into()),
        member_keys: MemberKeys(vec![b"a secret of more than sixteen bytes".to_vec()]),
        ..Desired::default()
    };
    let (sender, wanted) = watch::channel(Arc::new(desired));
    let (report, told) = watch::channel(WireReport::default());
    let (questions, asked) = mpsc::channel(4);
    let (ready, _) = watch::channel(false);
    let stop = Stop::default();
    let config = members::Config::new(name, own, BootId::new(u64::from(boot), [boot; 10]));
    let setup = Setup {
        config: WireConfig::new(name, Some(config)),
        seed: u64::from(boot),
        arp_fast_path: false,
        members: Some(own),
        desired: wanted,
        report,
        ready,
        questions: asked,
        stop: stop.clone(),
    };
    let thread = std::thread::spawn(move || runtime().block_on(run(setup, || {})));
    Node {
        report: told,
        questions,
        stop,
        thread,
        _desired: sender,
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn sees(node: &mut Node, alive: usize) {
    let seen = node
        .report
        .wait_for(|report| report.facts.members.alive.len() == alive);
    runtime()
        .block_on(async {
            tokio::time::timeout(PATIENCE, seen)
                .await
                .map(|r| r.is_ok())
        })
        .unwrap_or_else(|_late| panic!("not {alive} alive in time"));
}

#[test]
fn two_loops_find_each_other_and_one_says_goodbye() {
    let peers = ports();
    let mut a = node("a", peers[0], peers, 1);
    let mut b = node("b", peers[1], peers, 2);
    sees(&mut a, 2);
    sees(&mut b, 2);
    assert!(a.report.borrow().interfaces.is_some());
    let (sender, receiver) = oneshot::channel();
    a.questions.try_send(Question::Metrics(sender)).unwrap();
    let families = receiver.blocking_recv().unwrap();
    let alive = families
        .iter()
        .find(|family| family.name == Name::MembersAlive);
    assert_eq!(alive.unwrap().samples, [(Vec::new(), 2)]);
    let (sender, receiver) = oneshot::channel();
    a.questions
        .try_send(Question::Page(Page::Plan, sender))
        .unwrap();
    // The key is counted, never shown.
    let page = receiver.blocking_recv().unwrap();
    assert!(
        page.contains("MemberKeys(1)") && !page.contains("secret"),
        "{page}"
    );
    b.stop.request();
    b.thread.join().unwrap().unwrap();
    sees(&mut a, 1);
    a.stop.request();
    a.thread.join().unwrap().unwrap();
}

#[test]
fn a_membership_port_in_use_is_told_with_the_mend() {
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let own = taken.local_addr().unwrap();
    let node = node("a", own, [own, own], 1);
    let error = format!("{:#}", node.thread.join().unwrap().unwrap_err());
    assert!(
        error.contains("--members-bind") && error.contains(&own.to_string()),
        "{error}"
    );
}
