//! Secrets drawn from the operating system; nothing here comes from the logged seed.

use std::io;

/// `bytes` random bytes in base64 without padding, as MetalLB's Secret's `stringData` holds them.
pub(crate) fn base64(bytes: usize) -> io::Result<String> {
    let mut drawn = vec![0; bytes];
    getrandom::fill(&mut drawn).map_err(io::Error::other)?;
    // The encoder of k8s-openapi is the only base64 in reach: it writes a JSON string.
    match serde_json::to_value(k8s_openapi::ByteString(drawn)) {
        Ok(serde_json::Value::String(text)) => Ok(text.trim_end_matches('=').to_owned()),
        _ => Err(io::Error::other("no base64")),
    }
}

/// A number for jitter.
pub(crate) fn number() -> u64 {
    getrandom::u64().unwrap_or_default()
}
