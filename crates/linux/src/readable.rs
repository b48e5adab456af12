//! Waiting until a descriptor that somebody else reads has something to read.
//!
//! Owns a duplicate of the descriptor. Deliberately reads nothing.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::Error;
use crate::fd::Ready;

/// A duplicate of a non-blocking descriptor, registered with the current runtime.
pub struct Readable(Ready<OwnedFd>);

impl Readable {
    /// Duplicates and registers it.
    ///
    /// # Errors
    /// No descriptor is left.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(fd: BorrowedFd<'_>) -> Result<Self, Error> {
        let own = fd.try_clone_to_owned();
        let ready = own.and_then(Ready::new);
        ready
            .map(Self)
            .map_err(Error::io("watch", || "a descriptor".to_owned()))
    }

    /// Waits until something has come since the last wait. Cancel safe. The owner has to read all there is, or
    /// the rest is told of no more.
    ///
    /// # Errors
    /// The runtime is going.
    pub async fn changed(&self) -> Result<(), Error> {
        self.0
            .changed()
            .await
            .map_err(Error::io("wait for", || "a descriptor".to_owned()))
    }
}

impl std::fmt::Debug for Readable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Readable").finish()
    }
}
