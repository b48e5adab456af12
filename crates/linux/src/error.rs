//! What can fail in this crate: one kind, which names the operation and the object.
//!
//! Owns the error type. Deliberately decides nothing: the caller retries, reports or gives up.

use std::io;

/// A kernel operation that failed. Whatever was being opened is closed again; objects that existed before
/// are unchanged unless the method says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("cannot {operation} {object}: {source}")]
    Io {
        /// What was tried, as a verb phrase: "bind", "attach the filter to".
        operation: &'static str,
        /// What it was tried on: "packet socket on interface 3".
        object: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's answer could not be understood.
    #[error("cannot {operation} {object}: {reason}")]
    Answer {
        /// What was tried.
        operation: &'static str,
        /// What it was tried on.
        object: String,
        /// What was wrong with the answer.
        reason: &'static str,
    },
    /// A file under `/proc` did not hold what was expected.
    #[error("cannot read {path}: unexpected content {content:?}")]
    Content {
        /// The file.
        path: String,
        /// Its content, cut to 80 characters.
        content: String,
    },
}

impl Error {
    /// The errno of the failed system call, if there was one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            Self::Answer { .. } | Self::Content { .. } => None,
        }
    }

    /// Whether the kernel refused for lack of a capability.
    pub fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether somebody else has the address or port.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }

    /// Adds operation and object to an [`io::Error`]: `.map_err(Error::io("bind", || name))`.
    pub(crate) fn io(
        operation: &'static str,
        object: impl FnOnce() -> String,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            object: object(),
            source,
        }
    }
}
