//! The rules that the API server checks (CEL).
//!
//! Owns their text. They are those of MetalLB's webhook checks that one object alone can decide
//! and that fit the server's cost budget; the rest are problems in ConfigurationState.

/// One rule of the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The kind it belongs to.
    pub kind: &'static str,
    /// The version of the kind.
    pub version: &'static str,
    /// Its name, unique in the kind and version; the twin in the engine has the same.
    pub id: &'static str,
    /// Where in the schema it stands, as in schema.tsv: `spec.addresses[]`.
    pub path: &'static str,
    /// What must be true of `self`, in CEL.
    pub expression: &'static str,
    /// What is said when it is not; names the field.
    pub message: &'static str,
}

/// All rules, by kind and version.
pub fn rules() -> &'static [Rule] {
    RULES
}

/// A label selector's requirement has the values that its operator needs.
const SELECTOR_VALUES: &str =
    r#"(self.operator in ["In", "NotIn"]) == (has(self.values) && self.values.size() > 0)"#;

/// No item of a list of strings twice.
const UNIQUE: &str = "self.all(x, self.exists_one(y, y == x))";

/// An address, where MetalLB takes the empty string for nothing. DIFFERS: IPv4 in IPv6
/// (`::ffff:192.0.2.1`), which Go reads, is no address to CEL's library.
const IP_OR_EMPTY: &str = r#"self == "" || isIP(self)"#;

/// A CIDR, or two addresses of one family. `ip() <= ip()` does not exist in CEL, so the order of
/// a range is the engine's to check.
const ADDRESSES: &str = r#"self.contains("-") ? (self.split("-").size() == 2 && self.split("-").all(a, isIP(a.trim())) && ip(self.split("-")[0].trim()).family() == ip(self.split("-")[1].trim()).family()) : isCIDR(self)"#;

/// What has two or four parts is a community, all else the name of one.
const COMMUNITY_OR_ALIAS: &str = r#"self.split(":").size() == 2 ? self.split(":").all(n, n.matches("^[0-9]{1,10}$") && int(n) <= 65535) : (self.split(":").size() != 4 || (self.startsWith("large:") && self.substring(6).split(":").all(n, n.matches("^[0-9]{1,10}$") && int(n) <= 4294967295)))"#;

/// As above, of an alias: it has no other name.
const COMMUNITY_ALIAS: &str = r#"has(self.value) && (self.value.split(":").size() == 2 ? self.value.split(":").all(n, n.matches("^[0-9]{1,10}$") && int(n) <= 65535) : (self.value.split(":").size() == 4 && self.value.startsWith("large:") && self.value.substring(6).split(":").all(n, n.matches("^[0-9]{1,10}$") && int(n) <= 4294967295)))"#;

/// A time that may be none, within a day.
const UP_TO_A_DAY: &str =
    r#"duration(self) >= duration("0s") && duration(self) <= duration("24h")"#;

/// An interval of probes: below a tenth of a second it is load without information.
const INTERVAL: &str =
    r#"duration(self) >= duration("100ms") && duration(self) <= duration("24h")"#;

/// Patience with an answer.
const TIMEOUT: &str = r#"duration(self) >= duration("10ms") && duration(self) <= duration("24h")"#;

const RULES: &[Rule] = &[
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "aggregation-length",
        path: "spec.aggregationLength",
        expression: "self <= 32",
        message: "aggregationLength: at most 32",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "aggregation-length-v6",
        path: "spec.aggregationLengthV6",
        expression: "self >= 0 && self <= 128",
        message: "aggregationLengthV6: from 0 to 128",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "local-pref",
        path: "spec.localPref",
        expression: "self >= 0 && self <= 4294967295",
        message: "localPref: from 0 to 4294967295",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "service-selectors-aggregation",
        path: "spec",
        expression: "!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))",
        message: "serviceSelectors: only with aggregationLength 32 and aggregationLengthV6 128",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "communities-syntax",
        path: "spec.communities[]",
        expression: COMMUNITY_OR_ALIAS,
        message: "communities: A:B with 16 bits each, large:A:B:C with 32 bits each, or the name of an alias",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "communities-unique",
        path: "spec.communities",
        expression: UNIQUE,
        message: "communities: no community twice",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "pools-unique",
        path: "spec.ipAddressPools",
        expression: UNIQUE,
        message: "ipAddressPools: no name twice",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "peers-unique",
        path: "spec.peers",
        expression: UNIQUE,
        message: "peers: no name twice",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "pool-selectors-values",
        path: "spec.ipAddressPoolSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "ipAddressPoolSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "node-selectors-values",
        path: "spec.nodeSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "nodeSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "BGPAdvertisement",
        version: "v1beta1",
        id: "service-selectors-values",
        path: "spec.serviceSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "serviceSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "my-asn",
        path: "spec.myASN",
        expression: "self > 0",
        message: "myASN: not 0",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "peer-asn",
        path: "spec.peerASN",
        expression: "self > 0",
        message: "peerASN: not 0",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "peer-address",
        path: "spec.peerAddress",
        expression: "isIP(self)",
        message: "peerAddress: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "source-address",
        path: "spec.sourceAddress",
        expression: IP_OR_EMPTY,
        message: "sourceAddress: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "router-id",
        path: "spec.routerID",
        expression: IP_OR_EMPTY,
        message: "routerID: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "hold-time",
        path: "spec.holdTime",
        expression: "duration(self).getSeconds() == 0 || duration(self).getSeconds() >= 3",
        message: "holdTime: 0, or at least 3s",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "keepalive-time",
        path: "spec.keepaliveTime",
        expression: r#"duration(self) >= duration("0s")"#,
        message: "keepaliveTime: not negative",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "keepalive-hold",
        path: "spec",
        expression: "!has(self.keepaliveTime) || !has(self.holdTime) || duration(self.keepaliveTime) <= duration(self.holdTime)",
        message: "keepaliveTime: at most holdTime",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "multi-hop",
        path: "spec",
        expression: "!has(self.ebgpMultiHop) || !self.ebgpMultiHop || self.peerASN != self.myASN",
        message: "ebgpMultiHop: not for a peer in our own system (peerASN equals myASN)",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta1",
        id: "node-selectors-values",
        path: "spec.nodeSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "nodeSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "my-asn",
        path: "spec.myASN",
        expression: "self > 0",
        message: "myASN: not 0",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "peer-asn",
        path: "spec",
        expression: "(has(self.peerASN) && self.peerASN != 0) != has(self.dynamicASN)",
        message: "peerASN: exactly one of peerASN and dynamicASN",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "peer-address-or-interface",
        path: "spec",
        expression: r#"(has(self.peerAddress) && self.peerAddress != "") != (has(self.interface) && self.interface != "")"#,
        message: "peerAddress: exactly one of peerAddress and interface",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "peer-address",
        path: "spec.peerAddress",
        expression: IP_OR_EMPTY,
        message: "peerAddress: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "source-address",
        path: "spec.sourceAddress",
        expression: IP_OR_EMPTY,
        message: "sourceAddress: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "router-id",
        path: "spec.routerID",
        expression: IP_OR_EMPTY,
        message: "routerID: an IP address",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "hold-time",
        path: "spec.holdTime",
        expression: "duration(self).getSeconds() == 0 || duration(self).getSeconds() >= 3",
        message: "holdTime: 0, or at least 3s",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "keepalive-time",
        path: "spec.keepaliveTime",
        expression: r#"duration(self) >= duration("0s")"#,
        message: "keepaliveTime: not negative",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "keepalive-hold",
        path: "spec",
        expression: "!has(self.keepaliveTime) || !has(self.holdTime) || duration(self.keepaliveTime) <= duration(self.holdTime)",
        message: "keepaliveTime: at most holdTime",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "connect-time",
        path: "spec.connectTime",
        expression: "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535",
        message: "connectTime: from 1s to 65535s",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "connect-time-whole",
        path: "spec.connectTime",
        expression: "duration(self).getMilliseconds() % 1000 == 0",
        message: "connectTime: a whole number of seconds",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "password",
        path: "spec",
        expression: r#"!(has(self.password) && self.password != "" && has(self.passwordSecret) && has(self.passwordSecret.name) && self.passwordSecret.name != "")"#,
        message: "password: not together with passwordSecret",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "graceful-restart-immutable",
        path: "spec.enableGracefulRestart",
        expression: "self == oldSelf",
        message: "enableGracefulRestart: cannot be changed",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "multi-hop",
        path: "spec",
        expression: "!has(self.ebgpMultiHop) || !self.ebgpMultiHop || !has(self.peerASN) || self.peerASN != self.myASN",
        message: "ebgpMultiHop: not for a peer in our own system (peerASN equals myASN)",
    },
    Rule {
        kind: "BGPPeer",
        version: "v1beta2",
        id: "node-selectors-values",
        path: "spec.nodeSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "nodeSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "Community",
        version: "v1beta1",
        id: "communities-syntax",
        path: "spec.communities[]",
        expression: COMMUNITY_ALIAS,
        message: "value: A:B with 16 bits each, or large:A:B:C with 32 bits each",
    },
    Rule {
        kind: "Community",
        version: "v1beta1",
        id: "communities-unique",
        path: "spec.communities",
        expression: "self.all(x, !has(x.name) || self.exists_one(y, has(y.name) && y.name == x.name))",
        message: "communities: no name twice",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "pools-unique",
        path: "spec.ipAddressPools",
        expression: UNIQUE,
        message: "ipAddressPools: no name twice",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "service-selectors-values",
        path: "spec.serviceSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "serviceSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "drain-timeout",
        path: "spec.drainTimeout",
        expression: UP_TO_A_DAY,
        message: "drainTimeout: from 0s to 24h",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "slow-start",
        path: "spec.slowStart",
        expression: UP_TO_A_DAY,
        message: "slowStart: from 0s to 24h",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "interval",
        path: "spec.health.interval",
        expression: INTERVAL,
        message: "interval: from 100ms to 24h",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "fast-interval",
        path: "spec.health.fastInterval",
        expression: INTERVAL,
        message: "fastInterval: from 100ms to 24h",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "slow-interval",
        path: "spec.health.slowInterval",
        expression: INTERVAL,
        message: "slowInterval: from 100ms to 24h",
    },
    Rule {
        kind: "FrontProfile",
        version: "v1alpha1",
        id: "timeout",
        path: "spec.health.timeout",
        expression: TIMEOUT,
        message: "timeout: from 10ms to 24h",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "addresses-present",
        path: "spec.addresses",
        expression: "self.size() > 0",
        message: "addresses: at least one",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "addresses-syntax",
        path: "spec.addresses[]",
        expression: ADDRESSES,
        message: "addresses: a CIDR (192.0.2.0/24) or a range of one address family (192.0.2.10-192.0.2.20)",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "priority",
        path: "spec.serviceAllocation.priority",
        expression: "self >= -2147483648 && self <= 2147483647",
        message: "priority: a whole number of 32 bits",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "namespaces-unique",
        path: "spec.serviceAllocation.namespaces",
        expression: UNIQUE,
        message: "namespaces: no name twice",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "namespace-selectors-values",
        path: "spec.serviceAllocation.namespaceSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "namespaceSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "IPAddressPool",
        version: "v1beta1",
        id: "service-selectors-values",
        path: "spec.serviceAllocation.serviceSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "serviceSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "L2Advertisement",
        version: "v1beta1",
        id: "pools-unique",
        path: "spec.ipAddressPools",
        expression: UNIQUE,
        message: "ipAddressPools: no name twice",
    },
    Rule {
        kind: "L2Advertisement",
        version: "v1beta1",
        id: "pool-selectors-values",
        path: "spec.ipAddressPoolSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "ipAddressPoolSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "L2Advertisement",
        version: "v1beta1",
        id: "node-selectors-values",
        path: "spec.nodeSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "nodeSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "L2Advertisement",
        version: "v1beta1",
        id: "service-selectors-values",
        path: "spec.serviceSelectors[].matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "serviceSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "L2Advertisement",
        version: "v1beta1",
        id: "preferred-node-selectors-values",
        path: "spec.preferredNodeSelectors[].preference.matchExpressions[]",
        expression: SELECTOR_VALUES,
        message: "preferredNodeSelectors: the operators In and NotIn need values, Exists and DoesNotExist take none",
    },
    Rule {
        kind: "ServiceBGPStatus",
        version: "v1beta1",
        id: "node-immutable",
        path: "status.node",
        expression: "self == oldSelf",
        message: "node: cannot be changed",
    },
    Rule {
        kind: "ServiceBGPStatus",
        version: "v1beta1",
        id: "service-name-immutable",
        path: "status.serviceName",
        expression: "self == oldSelf",
        message: "serviceName: cannot be changed",
    },
    Rule {
        kind: "ServiceBGPStatus",
        version: "v1beta1",
        id: "service-namespace-immutable",
        path: "status.serviceNamespace",
        expression: "self == oldSelf",
        message: "serviceNamespace: cannot be changed",
    },
    Rule {
        kind: "ServiceL2Status",
        version: "v1beta1",
        id: "node-immutable",
        path: "status.node",
        expression: "self == oldSelf",
        message: "node: cannot be changed",
    },
    Rule {
        kind: "ServiceL2Status",
        version: "v1beta1",
        id: "service-name-immutable",
        path: "status.serviceName",
        expression: "self == oldSelf",
        message: "serviceName: cannot be changed",
    },
    Rule {
        kind: "ServiceL2Status",
        version: "v1beta1",
        id: "service-namespace-immutable",
        path: "status.serviceNamespace",
        expression: "self == oldSelf",
        message: "serviceNamespace: cannot be changed",
    },
];
