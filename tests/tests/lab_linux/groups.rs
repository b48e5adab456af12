//! Memberships as the kernel counts and reports them.

use std::net::Ipv6Addr;
use std::time::{Duration, Instant};

use linux::group::{GROUPS_PER_SOCKET_MAX, Memberships, solicited_node};
use tests::lab::{self, Capture, Host};

use crate::kit::{SOON, cable};

/// How many groups of addresses ending in 10:0000 to 10:ffff the kernel lists for an interface.
fn kernel_groups(host: &Host, name: &str) -> usize {
    let table = host.proc_net("igmp6").unwrap();
    table
        .lines()
        .filter(|l| l.split_whitespace().nth(1) == Some(name))
        .filter(|l| l.contains("ff0200000000000000000001ff10"))
        .count()
}

// L2-67, L2-69
#[test]
fn five_thousand_groups_are_joined_and_left_on_one_interface() {
    if !lab::ready() {
        return;
    }
    let (_a, b) = cable();
    let index = b.index("eth0").unwrap();
    let vips: Vec<Ipv6Addr> = (0..5000u128)
        .map(|n| Ipv6Addr::from((0x2001_0db8_u128 << 96) + 0x10_0000 + n))
        .collect();
    b.run(|| {
        let mut groups = Memberships::new(index);
        // In bounded steps, so that nothing else waits long.
        let (began, mut slowest) = (Instant::now(), Duration::ZERO);
        let mut steps = 0;
        loop {
            let step = Instant::now();
            let done = groups.set_some(&vips, 100).unwrap();
            slowest = slowest.max(step.elapsed());
            steps += 1;
            if done {
                break;
            }
        }
        assert_eq!(steps, 50);
        println!(
            "5,000 groups joined in {:?}, slowest 100 in {slowest:?}",
            began.elapsed()
        );
        assert_eq!(groups.groups().count(), 5000);
        assert_eq!(groups.sockets(), 5000_usize.div_ceil(GROUPS_PER_SOCKET_MAX));
        assert_eq!(kernel_groups(&b, "eth0"), 5000);
        // Two addresses with the same low 24 bits share a group; it stays till the last one goes.
        let twin: Ipv6Addr = "2001:db8:ffff::10:0000".parse().unwrap();
        groups.set(&[vips[0], twin]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[twin]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 0);
        // A leave of what the kernel has forgotten is harmless.
        groups.set(&[twin]).unwrap();
        b.delete_link("eth0").unwrap();
        groups.set(&[]).unwrap();
        // A join on what is gone is an error that names it, and can be tried again.
        let e = groups.set(&[twin]).unwrap_err();
        assert_eq!(e.raw_os_error(), Some(libc::ENODEV), "{e}");
    });
}

// L2-66
#[test]
fn a_join_programs_the_interface_and_is_reported_by_mld() {
    if !lab::ready() {
        return;
    }
    let (a, b) = cable();
    let vip: Ipv6Addr = "2001:db8::10:cdef".parse().unwrap();
    let group = solicited_node(vip);
    let index = b.index("eth0").unwrap();
    let capture = Capture::start(&a, "eth0").unwrap();
    b.run(|| {
        let mut groups = Memberships::new(index);
        groups.set(&[vip]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        assert!(
            capture.wait(SOON, |f| f.mld_report_for(group)).is_some(),
            "no MLD report for {group}"
        );
        // The kernel forgets everything when the MTU falls below IPv6's least; rejoin repairs that.
        set_mtu(&b, "eth0", 1000);
        assert_eq!(kernel_groups(&b, "eth0"), 0);
        set_mtu(&b, "eth0", 1500);
        groups.rejoin().unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 1);
        groups.set(&[]).unwrap();
        assert_eq!(kernel_groups(&b, "eth0"), 0);
    });
}

fn set_mtu(host: &Host, name: &str, mtu: u32) {
    host.netlink(async |h| {
        let index = host.index(name)?;
        let message = rtnetlink::LinkUnspec::new_with_index(index).mtu(mtu);
        Ok(h.link().set(message.build()).execute().await?)
    })
    .unwrap();
}
