//! The twins of the CEL rules of the CustomResourceDefinitions.
//!
//! What the API server checks is checked here too, for manifests that never saw a server
//! and for objects stored before a rule existed. The checks themselves stand where the
//! objects are parsed ([`super::pools`], [`super::l2_advertisements`]); this is the list
//! of them, so that a test can hold it against the definitions.
//!
//! GAP: the kinds of BGP (BGPPeer, BGPAdvertisement, BFDProfile, Community) are read with
//! the issue that brings BGP; until then only the schema judges them.

/// A rule by kind and id that [`super::pools`] or [`super::l2_advertisements`] decides as
/// the server does, with the reason of the problem it makes.
pub const TWINS: &[(&str, &str, &str)] = &[
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
