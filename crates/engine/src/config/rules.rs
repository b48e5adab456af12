//! The twins of the CEL rules of the CustomResourceDefinitions.
//!
//! What the API server checks is checked here too, for manifests that never saw a server
//! and for objects stored before a rule existed. The checks themselves stand where the
//! objects are parsed ([`super::pools`], [`super::l2_advertisements`], [`super::bgp::bgp`]);
//! this is the list of them, so that a test can hold it against the definitions.

/// A rule by kind and id that is decided here as the server does, with the reason of the
/// problem it makes.
pub const TWINS: &[(&str, &str, &str)] = &[
    ("BGPAdvertisement", "aggregation-length", "InvalidField"),
    ("BGPAdvertisement", "aggregation-length-v6", "InvalidField"),
    ("BGPAdvertisement", "local-pref", "InvalidField"),
    (
        "BGPAdvertisement",
        "service-selectors-aggregation",
        "InvalidField",
    ),
    ("BGPAdvertisement", "communities-syntax", "InvalidCommunity"),
    ("BGPAdvertisement", "communities-unique", "Duplicate"),
    ("BGPAdvertisement", "pools-unique", "Duplicate"),
    ("BGPAdvertisement", "peers-unique", "Duplicate"),
    (
        "BGPAdvertisement",
        "pool-selectors-values",
        "InvalidSelector",
    ),
    (
        "BGPAdvertisement",
        "node-selectors-values",
        "InvalidSelector",
    ),
    (
        "BGPAdvertisement",
        "service-selectors-values",
        "InvalidSelector",
    ),
    ("BGPPeer", "my-asn", "InvalidField"),
    ("BGPPeer", "peer-asn", "InvalidField"),
    ("BGPPeer", "peer-address-or-interface", "InvalidField"),
    ("BGPPeer", "peer-address", "InvalidField"),
    ("BGPPeer", "source-address", "InvalidField"),
    ("BGPPeer", "router-id", "InvalidField"),
    ("BGPPeer", "hold-time", "InvalidField"),
    ("BGPPeer", "keepalive-time", "InvalidField"),
    ("BGPPeer", "keepalive-hold", "InvalidField"),
    ("BGPPeer", "connect-time", "InvalidField"),
    ("BGPPeer", "connect-time-whole", "InvalidField"),
    ("BGPPeer", "password", "InvalidField"),
    ("BGPPeer", "multi-hop", "InvalidField"),
    ("BGPPeer", "node-selectors-values", "InvalidSelector"),
    ("Community", "communities-syntax", "InvalidCommunity"),
    ("Community", "communities-unique", "Duplicate"),
    ("FrontProfile", "pools-unique", "Duplicate"),
    (
        "FrontProfile",
        "service-selectors-values",
        "InvalidSelector",
    ),
    ("FrontProfile", "drain-timeout", "InvalidField"),
    ("FrontProfile", "slow-start", "InvalidField"),
    ("FrontProfile", "interval", "InvalidField"),
    ("FrontProfile", "fast-interval", "InvalidField"),
    ("FrontProfile", "slow-interval", "InvalidField"),
    ("FrontProfile", "timeout", "InvalidField"),
    ("IPAddressPool", "addresses-present", "InvalidAddresses"),
    ("IPAddressPool", "addresses-syntax", "InvalidAddresses"),
    ("IPAddressPool", "priority", "InvalidField"),
    ("IPAddressPool", "namespaces-unique", "Duplicate"),
    (
        "IPAddressPool",
        "namespace-selectors-values",
        "InvalidSelector",
    ),
    (
        "IPAddressPool",
        "service-selectors-values",
        "InvalidSelector",
    ),
    ("L2Advertisement", "pools-unique", "Duplicate"),
    (
        "L2Advertisement",
        "pool-selectors-values",
        "InvalidSelector",
    ),
    (
        "L2Advertisement",
        "node-selectors-values",
        "InvalidSelector",
    ),
    (
        "L2Advertisement",
        "service-selectors-values",
        "InvalidSelector",
    ),
    (
        "L2Advertisement",
        "preferred-node-selectors-values",
        "InvalidSelector",
    ),
];
