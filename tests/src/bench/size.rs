//! The size of the static binary.

use anyhow::Result;

use super::{Bench, Figure, Samples};
use crate::fleet;

/// MB, as people count files: 10^6 octets.
const TARGET_MB: f64 = 16.0;

pub(super) fn run(_: &mut Bench) -> Result<Vec<Figure>> {
    let path = fleet::binary()?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    let is_static = path.to_string_lossy().contains("musl");
    let how = if is_static {
        "static musl"
    } else {
        "NOT the static binary"
    };
    let figure = Figure::new("binary, static musl", "MB", Samples::new([megabytes]))
        .target("<= 16 MB", is_static && megabytes <= TARGET_MB)
        .how(how);
    Ok(vec![figure])
}
