//! Events without a cluster: one JSON line each, rotated, the same one counted.

use engine::write::Event;
use serde_json::json;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Size at which the file becomes `events.jsonl.1`, bytes; so at most twice this is kept.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Events remembered for counting repetitions.
const REMEMBERED_MAX: usize = 1_024;

/// The file and what was last written to it by this process.
#[derive(Debug)]
pub(crate) struct EventLog {
    folder: PathBuf,
    file_bytes_max: u64,
    recent: VecDeque<(Event, u64)>,
}

impl EventLog {
    /// A log in the state folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file_bytes_max: FILE_BYTES_MAX,
            recent: VecDeque::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn rotated_at(mut self, bytes: u64) -> Self {
        self.file_bytes_max = bytes;
        self
    }

    /// Appends one. A repetition is written with its count when the count doubles, so that an
    /// event of every second costs a line now and then.
    pub(crate) fn append(&mut self, event: &Event, source: &str) -> io::Result<()> {
        let count = self.count(event);
        if !count.is_power_of_two() {
            return Ok(());
        }
        let line = json!({
            "time": crate::clock::now_text(),
            "source": source,
            "type": if event.warning { "Warning" } else { "Normal" },
            "reason": event.reason,
            "object": format!("Service/{}", event.service),
            "uid": event.uid,
            "message": event.message,
            "count": count,
        });
        fs::create_dir_all(&self.folder)?;
        // Several processes append: the lock makes size check, rotation and line one step.
        let lock = File::create(self.folder.join("events.lock"))?;
        lock.lock()?;
        let path = self.folder.join("events.jsonl");
        if fs::metadata(&path).is_ok_and(|file| file.len() >= self.file_bytes_max) {
            fs::rename(&path, self.folder.join("events.jsonl.1"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    fn count(&mut self, event: &Event) -> u64 {
        let at = self.recent.iter().position(|(known, _)| known == event);
        let count = at
            .and_then(|at| self.recent.remove(at))
            .map_or(1, |(_, count)| count + 1);
        if self.recent.len() == REMEMBERED_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((event.clone(), count));
        count
    }
}
