//! One wrapper over tokio's readiness for descriptors that tokio has no type for.
//!
//! Owns the argument why the registration is sound. Deliberately knows no protocol.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use std::os::fd::AsFd;
use tokio::io::Interest;
use tokio::io::Ready as Readiness;
use tokio::io::unix::AsyncFd;

/// A descriptor which closes when it is dropped and never changes: what registration asks for.
///
/// Only types of this crate's choice are wrapped; each owns its descriptor for its whole life.
pub(crate) struct Ready<T: Owning>(AsyncFd<T>);

/// Types that own exactly one descriptor, keep it open till they are dropped and always report the same.
///
/// Private to the crate, and implemented here only, so that the promise can be checked in one place.
pub(crate) trait Owning: AsRawFd + AsFd {}

impl Owning for OwnedFd {}
impl Owning for socket2::Socket {}
impl Owning for netlink_sys::Socket {}

impl<T: Owning> Ready<T> {
    /// Registers a non-blocking descriptor with the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
        // SAFETY: `Owning` types keep one descriptor open for their whole life and always return that one;
        // `AsyncFd` owns the value and nothing here hands out a mutable reference that could replace it.
        let fd = unsafe { AsyncFd::register_with_interest(inner, interest) };
        fd.map(Self).map_err(|e| e.into_parts().1)
    }

    pub(crate) fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }

    /// Waits until a read could give data or an error is pending. Cancel safe. An error readiness is
    /// consumed by this call, so the caller must look for errors before it waits again.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        let mut guard = self.0.ready(Interest::READABLE | Interest::ERROR).await?;
        if guard.ready().is_error() {
            guard.clear_ready_matching(Readiness::ERROR);
        }
        guard.retain_ready();
        Ok(())
    }

    /// Runs a non-blocking read; a read that would block is `None` and arms the readiness again.
    pub(crate) fn try_read<R>(&self, f: impl FnOnce(&T) -> io::Result<R>) -> io::Result<Option<R>> {
        match self.0.try_io(Interest::READABLE, f) {
            Ok(value) => Ok(Some(value)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }
}
