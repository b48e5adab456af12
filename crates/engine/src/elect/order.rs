//! The order of the candidates of an address: MetalLB's, byte for byte.
//!
//! Owns the digest and the comparison. Does not know who is a candidate.

use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// The place of a node for an address: SHA-256 of ASCII `<node>#<address>`, the address
/// in canonical text (L2-82). Lower comes first.
pub fn digest(node: &str, address: IpAddr) -> [u8; 32] {
    with_suffix(node, &suffix(address))
}

/// What follows the node's name; the same for all nodes, so it is written once.
fn suffix(address: IpAddr) -> String {
    format!("#{address}")
}

fn with_suffix(node: &str, suffix: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(node.as_bytes());
    hash.update(suffix.as_bytes());
    hash.finalize().into()
}

/// The nodes with their scores, best first: the higher score, then the lower digest,
/// then (two equal digests do not happen) the name.
pub fn ordered<'a>(
    nodes: impl IntoIterator<Item = (&'a str, i64)>,
    address: IpAddr,
) -> Vec<&'a str> {
    let mut keyed: Vec<_> = nodes
        .into_iter()
        .map(|(node, score)| (std::cmp::Reverse(score), digest(node, address), node))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, node)| node).collect()
}

/// Positions in `names`, in the order of their digests for this address, scores aside.
pub(crate) fn permutation(names: &[String], address: IpAddr) -> Box<[u16]> {
    let suffix = suffix(address);
    let mut keyed: Vec<([u8; 32], u16)> = names
        .iter()
        .zip(0u16..)
        .map(|(name, index)| (with_suffix(name, &suffix), index))
        .collect();
    keyed.sort_unstable();
    // Not `into_iter`: collecting in place would keep room for the digests, seventeen times what stays.
    keyed.iter().map(|(_, index)| *index).collect()
}
