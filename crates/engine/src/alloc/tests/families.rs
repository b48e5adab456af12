//! Single and dual stack: which families a Service gets, and which it keeps.

use super::build::*;
use super::{check, check_with};
use crate::alloc::Options;
use crate::world::{Family, FamilyPolicy, Service};

const PREFER: FamilyPolicy = FamilyPolicy::PreferDualStack;
const REQUIRE: FamilyPolicy = FamilyPolicy::RequireDualStack;

fn held(name: &str, addresses: &str) -> Service {
    svc(name).holds(addresses).of_pool("p")
}

#[test]
fn serves_families_by_policy() {
    let dual = || pool("d", "192.0.2.0/24,2001:db8::/64");
    let v4 = || pool("a4", "198.51.100.0/24");
    let v6 = || pool("a6", "2001:db8:1::/64");
    check(
        "IPv4 first in a pair",
        vec![dual()],
        vec![svc("s").dual(PREFER)],
        &["s: assigned d 192.0.2.0 2001:db8::"],
    );
    check(
        "a pool with both wins over earlier names",
        vec![v4(), v6(), dual()],
        vec![svc("s").dual(PREFER)],
        &["s: assigned d 192.0.2.0 2001:db8::"],
    );
    check(
        "else the primary family",
        vec![v4(), v6()],
        vec![svc("s").dual(PREFER)],
        &["s: assigned a4 198.51.100.0 (AdditionalAssignFailed)"],
    );
    let mut six_first = svc("s").dual(PREFER);
    six_first.families = vec![Family::V6, Family::V4];
    check(
        "which may be IPv6",
        vec![v4(), v6()],
        vec![six_first],
        &["s: assigned a6 2001:db8:1:: (AdditionalAssignFailed)"],
    );
    check(
        "else the other",
        vec![v6()],
        vec![svc("s").dual(PREFER)],
        &["s: assigned a6 2001:db8:1:: (AdditionalAssignFailed)"],
    );
    check(
        "both are required",
        vec![v4(), v6()],
        vec![svc("s").dual(REQUIRE)],
        &["s: pending (AllocationFailed)"],
    );
    check(
        "single-stack IPv6",
        vec![dual()],
        vec![svc("s").v6()],
        &["s: assigned d 2001:db8::"],
    );
    check(
        "a pinned pool of one family goes before a general one of two",
        vec![dual(), v4().pinned(1, "default", "")],
        vec![svc("s").dual(PREFER)],
        &["s: assigned a4 198.51.100.0 (AdditionalAssignFailed)"],
    );
}

#[test]
fn counts_cluster_ips() {
    let dual = || pool("d", "192.0.2.0/24,2001:db8::/64");
    let mut one_cluster_ip = svc("s").dual(REQUIRE);
    one_cluster_ip.cluster_ips.truncate(1);
    check(
        "required with one clusterIP",
        vec![dual()],
        vec![one_cluster_ip],
        &["s: pending (not enough clusterips)"],
    );
    let mut prefers_with_one = svc("s").dual(PREFER);
    prefers_with_one.cluster_ips.truncate(1);
    check(
        "preferred with one clusterIP is one, for good",
        vec![dual()],
        vec![prefers_with_one.clone()],
        &["s: assigned d 192.0.2.0"],
    );
    check(
        "and one it stays (MetalLB flaps)",
        vec![dual()],
        vec![prefers_with_one.holds("192.0.2.0").of_pool("d")],
        &["s: kept d 192.0.2.0"],
    );
    let mut none = svc("s");
    none.cluster_ips.clear();
    check(
        "no clusterIP",
        vec![dual()],
        vec![none],
        &["s: pending (noclusterIPsIPFamily)"],
    );
    let mut same = svc("s");
    same.cluster_ips = vec![ip("10.0.0.1"), ip("10.0.0.2")];
    check(
        "two clusterIPs of one family",
        vec![dual()],
        vec![same],
        &["s: pending (noclusterIPsIPFamily)"],
    );
}

#[test]
fn derives_families_of_manifests() {
    let options = Options {
        derive_families: true,
        ..Options::default()
    };
    let bare = |families: &[Family], policy| {
        let mut service = svc("s");
        service.cluster_ips.clear();
        service.families = families.to_vec();
        service.family_policy = policy;
        service
    };
    let dual = || vec![pool("d", "192.0.2.0/24,2001:db8::/64")];
    let six = || vec![pool("x", "2001:db8::/64")];
    let single = FamilyPolicy::SingleStack;
    for (what, pools, service, expected) in [
        (
            "nothing said is IPv4",
            dual(),
            bare(&[], single),
            "s: assigned d 192.0.2.0",
        ),
        (
            "IPv6 where only such pools are",
            six(),
            bare(&[], single),
            "s: assigned x 2001:db8::",
        ),
        (
            "as ipFamilies say",
            dual(),
            bare(&[Family::V6], single),
            "s: assigned d 2001:db8::",
        ),
        (
            "both by policy",
            dual(),
            bare(&[], REQUIRE),
            "s: assigned d 192.0.2.0 2001:db8::",
        ),
        (
            "both by policy and one family",
            dual(),
            bare(&[Family::V6], PREFER),
            "s: assigned d 192.0.2.0 2001:db8::",
        ),
        (
            "both as written",
            dual(),
            bare(&[Family::V4, Family::V6], single),
            "s: assigned d 192.0.2.0 2001:db8::",
        ),
    ] {
        check_with(what, &options, pools, vec![service], &[expected]);
    }
}

#[test]
fn follows_the_number_of_families() {
    let dual = || vec![pool("p", "192.0.2.0/24,2001:db8::/64")];
    let v4 = || vec![pool("p", "192.0.2.0/24")];
    check(
        "a second is added",
        dual(),
        vec![held("s", "192.0.2.9").dual(PREFER)],
        &["s: added p 192.0.2.9 2001:db8::"],
    );
    check(
        "also before the first",
        dual(),
        vec![held("s", "2001:db8::9").dual(PREFER)],
        &["s: added p 2001:db8::9 192.0.2.0"],
    );
    check(
        "also when required",
        dual(),
        vec![held("s", "192.0.2.9").dual(REQUIRE)],
        &["s: added p 192.0.2.9 2001:db8::"],
    );
    check(
        "there is none",
        v4(),
        vec![held("s", "192.0.2.9").dual(PREFER)],
        &["s: kept p 192.0.2.9 (AdditionalAssignFailed)"],
    );
    check(
        "required and the pool has none",
        v4(),
        vec![held("s", "192.0.2.9").dual(REQUIRE)],
        &["s: cleared (AllocationFailed)"],
    );
    check(
        "required, another pool has both",
        vec![
            pool("p", "192.0.2.0/24"),
            pool("q", "198.51.100.0/24,2001:db8::/64"),
        ],
        vec![held("s", "192.0.2.9").dual(REQUIRE)],
        &["s: reassigned q 198.51.100.0 2001:db8:: (ClearAssignment)"],
    );
    check(
        "preferred, another pool does not attract",
        vec![
            pool("p", "192.0.2.0/24"),
            pool("q", "198.51.100.0/24,2001:db8::/64"),
        ],
        vec![held("s", "192.0.2.9").dual(PREFER)],
        &["s: kept p 192.0.2.9 (AdditionalAssignFailed)"],
    );
}

#[test]
fn keeps_one_of_two_where_it_may() {
    let dual = || vec![pool("p", "192.0.2.0/24,2001:db8::/64")];
    let v4 = || vec![pool("p", "192.0.2.0/24")];
    check(
        "only one is wanted any more",
        dual(),
        vec![held("s", "192.0.2.9,2001:db8::9")],
        &["s: reassigned p 192.0.2.9 (ClearAssignment)"],
    );
    check(
        "one of two could be kept",
        vec![pool("p", "192.0.2.0/24,2001:db8:1::/64")],
        vec![held("s", "192.0.2.9,2001:db8::9").dual(PREFER)],
        &["s: reassigned p 192.0.2.9 2001:db8:1:: (ClearAssignment)"],
    );
    check(
        "the pool became single-stack",
        v4(),
        vec![held("s", "192.0.2.9,2001:db8::9").dual(PREFER)],
        &["s: reassigned p 192.0.2.9 (AdditionalAssignFailed)"],
    );
    check(
        "of two pools one remains",
        vec![pool("a", "192.0.2.0/24"), pool("b", "2001:db8::/64")],
        vec![held("s", "192.0.2.9,2001:db8::9").dual(PREFER)],
        &["s: reassigned a 192.0.2.9 (AdditionalAssignFailed)"],
    );
}

#[test]
fn requests_and_families_go_together() {
    let dual = || vec![pool("p", "192.0.2.0/24,2001:db8::/64")];
    check(
        "not enough clusterIPs for what is required",
        dual(),
        vec![{
            let mut service = held("s", "192.0.2.9").dual(REQUIRE);
            service.cluster_ips.truncate(1);
            service
        }],
        &["s: cleared (not enough clusterips)"],
    );
    check(
        "requested, one in use: what it holds of them stays",
        dual(),
        vec![
            held("o", "2001:db8::5").v6(),
            held("s", "192.0.2.9")
                .dual(PREFER)
                .wants("192.0.2.9,2001:db8::5"),
        ],
        &[
            "o: kept p 2001:db8::5",
            "s: kept p 192.0.2.9 (AllocationFailed)",
        ],
    );
    check(
        "requested, one missing",
        dual(),
        vec![
            held("s", "192.0.2.9")
                .dual(PREFER)
                .wants("192.0.2.9,2001:db8::5"),
        ],
        &["s: added p 192.0.2.9 2001:db8::5"],
    );
    let mut listed = held("s", "192.0.2.9").dual(PREFER);
    listed.families = vec![Family::V6];
    check(
        "what comes first in ipFamilies moves nothing",
        dual(),
        vec![listed],
        &["s: added p 192.0.2.9 2001:db8::"],
    );
}
