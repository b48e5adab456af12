//! The API server's audit log while it grows: the project's writes, counted by kind.
//!
//! Reads on from where it was, since a whole log is a hundred megabytes here; follows a rotation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::Result;
use serde::Deserialize;

/// A reader of the log's end.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    file: Option<File>,
    partial: Vec<u8>,
}

/// Writes by what they were: "patch services/status".
pub(super) type Counts = BTreeMap<String, usize>;

/// A write that went well, or did not.
#[derive(Debug, Clone)]
pub(super) struct Write {
    /// Verb and resource: "patch services/status".
    pub(super) what: String,
    /// Whether the server took it.
    pub(super) good: bool,
}

impl Tail {
    /// Of this log, from its present end.
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        let mut tail = Self {
            path,
            file: None,
            partial: Vec::new(),
        };
        tail.writes()?;
        Ok(tail)
    }

    /// The writes since the last call, in order; the Lease's renewals are left out.
    pub(super) fn writes(&mut self) -> Result<Vec<Write>> {
        let mut text = std::mem::take(&mut self.partial);
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut text)?;
        }
        if self.is_rotated() {
            // Nothing comes into the old one any more: what was written until the move has been read.
            if let Some(file) = &mut self.file {
                file.read_to_end(&mut text)?;
            }
            self.file = File::open(&self.path).ok();
            if let Some(file) = &mut self.file {
                file.read_to_end(&mut text)?;
            }
        }
        let whole = text
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        self.partial = text.split_off(whole);
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let mut writes = Vec::new();
        for line in lines {
            let entry: Entry = serde_json::from_slice(line)?;
            writes.extend(entry.write());
        }
        Ok(writes)
    }

    /// How many of each kind since the last call.
    pub(super) fn counts(&mut self) -> Result<Counts> {
        let mut counts = Counts::new();
        for write in self.writes()? {
            *counts.entry(write.what).or_default() += 1;
        }
        Ok(counts)
    }

    fn is_rotated(&self) -> bool {
        let inode = |it: std::io::Result<std::fs::Metadata>| it.ok().map(|it| it.ino());
        let there = inode(std::fs::metadata(&self.path));
        let open = self.file.as_ref().and_then(|file| inode(file.metadata()));
        there.is_some() && there != open
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    object_ref: Option<Object>,
    response_status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Object {
    resource: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Entry {
    fn write(self) -> Option<Write> {
        let object = self.object_ref?;
        let reads = matches!(self.verb.as_str(), "get" | "list" | "watch");
        if reads || object.resource == "leases" {
            return None;
        }
        let what = match object.subresource.as_str() {
            "" => format!("{} {}", self.verb, object.resource),
            sub => format!("{} {}/{sub}", self.verb, object.resource),
        };
        let code = self.response_status.and_then(|status| status.code);
        Some(Write {
            what,
            good: code.is_some_and(|code| code < 300),
        })
    }
}
