//! MetalLB's file `excludel2.yaml`.

#[cfg(test)]
mod tests;

use serde::Deserialize;

/// Longest file that is read, bytes; a ConfigMap holds 1 MiB.
const BYTES_MAX: usize = 1 << 20;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "announcedInterfacesToExclude", default)]
    patterns: Option<Vec<String>>,
}

/// The patterns, or why they cannot be read. An empty file excludes nothing.
pub(super) fn parse(text: &str) -> Result<Vec<String>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_saphyr::from_str::<File>(text)
        .map(|file| file.patterns.unwrap_or_default())
        .map_err(|error| error.to_string())
}
