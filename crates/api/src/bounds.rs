//! The bounds that our definitions add to MetalLB's.
//!
//! Owns their numbers and reasons. LIMIT: each is far above what is used; most exist because the
//! API server estimates the cost of a rule from the largest object there may be, and refuses the
//! definition when that is above its budget.

/// Entries of a pool. With [`ADDRESS_CHARS_MAX`] the rule on their syntax is in the budget.
pub(crate) const ADDRESSES_MAX: u32 = 256;

/// Characters of an entry: two IPv6 addresses written in full with IPv4 in their end (45 each), a
/// dash and spaces.
pub(crate) const ADDRESS_CHARS_MAX: u32 = 96;

/// Namespaces of a pool; the rule that none is there twice compares each with each.
pub(crate) const NAMESPACES_MAX: u32 = 512;

/// Characters of a namespace's name (RFC 1123 §2.1 label, Kubernetes' own limit).
pub(crate) const NAMESPACE_CHARS_MAX: u32 = 63;

/// Names of pools or peers in one advertisement; each is compared with each.
pub(crate) const NAMES_MAX: u32 = 256;

/// Characters of an object's name (Kubernetes' own limit).
pub(crate) const NAME_CHARS_MAX: u32 = 253;

/// Communities of one advertisement.
pub(crate) const COMMUNITIES_MAX: u32 = 64;

/// Characters of a community or of the name of one. At 253 the server refuses the rule on their
/// syntax (2.7 times the budget).
pub(crate) const COMMUNITY_CHARS_MAX: u32 = 128;

/// Names in one Community object.
pub(crate) const ALIASES_MAX: u32 = 256;

/// Characters of a community that is no name: `large:` and three numbers are 38.
pub(crate) const COMMUNITY_VALUE_CHARS_MAX: u32 = 64;

/// Characters of an address: IPv6 in full with IPv4 in its end.
pub(crate) const IP_CHARS_MAX: u32 = 45;

/// Characters of a duration.
pub(crate) const DURATION_CHARS_MAX: u32 = 64;

/// Characters of a password; the kernel's key for TCP MD5 has at most 80 bytes.
pub(crate) const PASSWORD_CHARS_MAX: u32 = 80;

/// Interfaces of one advertisement.
pub(crate) const INTERFACES_MAX: u32 = 64;

/// Characters of an interface's or VRF's name (Linux: IFNAMSIZ less the final zero).
pub(crate) const INTERFACE_CHARS_MAX: u32 = 15;

/// Preferences of one advertisement.
pub(crate) const PREFERENCES_MAX: u32 = 64;

/// Selectors in one list.
pub(crate) const SELECTORS_MAX: u32 = 64;

/// Requirements in one selector.
pub(crate) const EXPRESSIONS_MAX: u32 = 64;

/// Characters of a label value (Kubernetes' own limit).
pub(crate) const LABEL_VALUE_CHARS_MAX: u32 = 63;

/// Characters of a label key: a prefix of 253, a slash and a name of 63.
pub(crate) const LABEL_KEY_CHARS_MAX: u32 = 317;
