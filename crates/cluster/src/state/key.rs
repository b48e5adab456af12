//! The membership key without a cluster: a file of mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Its name in the state folder.
pub(crate) const KEY_FILE: &str = "memberlist.key";
/// Bytes that are drawn, as MetalLB's controller does.
pub(crate) const KEY_BYTES: usize = 16;
/// Longest key file that is read, bytes.
const FILE_BYTES_MAX: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// Nobody has made one yet.
    #[error("the file does not exist")]
    Absent,
    /// Others may read it.
    #[error("mode {0:04o}: others may read it; run chmod 600")]
    TooOpen(u32),
    /// It cannot be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the key, white space around it dropped. The mode is checked on the open file.
pub(crate) fn read_key(path: &Path) -> Result<Vec<u8>, KeyError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Absent),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyError::TooOpen(metadata.mode() & 0o7777));
    }
    if metadata.len() == 0 || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("the file is empty or too long").into());
    }
    let text = io::read_to_string(file)?;
    Ok(text.trim().as_bytes().to_vec())
}

/// Makes the key unless there is one. Whole at once: of two processes that try, one makes it.
pub(crate) fn read_or_create(path: &Path) -> Result<Vec<u8>, KeyError> {
    match read_key(path) {
        Err(KeyError::Absent) => {}
        other => return other,
    }
    let text = crate::random::base64(KEY_BYTES)?;
    let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".new-key-{}", std::process::id()));
    // A leftover of a crash would carry another key, or another mode.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // A hard link fails where a rename would replace the key that another process just made.
    let linked = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => read_key(path),
    }
}
