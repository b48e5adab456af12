//! One wrapper over tokio's readiness for descriptors that tokio has no type for.
//!
//! Owns the argument why the registration is sound. Deliberately knows no protocol.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor which closes when it is dropped and never changes: what registration asks for.
///
/// Only types of this crate's choice are wrapped; each owns its descriptor for its whole life.
pub(crate) struct Ready<T: Owning>(AsyncFd<T>);

/// Types that own exactly one descriptor, keep it open till they are dropped and always report the same.
///
/// Private to the crate, and implemented here only, so that the promise can be checked in one place.
pub(crate) trait Owning: AsRawFd + AsFd {}

impl Owning for socket2::Socket {}
impl Owning for netlink_sys::Socket {}
impl Owning for std::os::fd::OwnedFd {}

impl<T: Owning> Ready<T> {
    /// Registers a non-blocking descriptor with the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        // SAFETY: `Owning` types keep one descriptor open for their whole life and always return that one;
        // `AsyncFd` owns the value and nothing here hands out a mutable reference that could replace it.
        let fd = unsafe { AsyncFd::register_with_interest(inner, READ_OR_ERROR) };
        fd.map(Self).map_err(|e| e.into_parts().1)
    }

    pub(crate) fn get(&self) -> &T {
        self.0.get_ref()
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }

    /// Waits until a read could give data or an error is pending. Cancel safe.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.ready(READ_OR_ERROR).await?.retain_ready();
        Ok(())
    }

    /// Waits until something has come since the last wait. Cancel safe.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.0.ready(READ_OR_ERROR).await?.clear_ready();
        Ok(())
    }

    /// Runs a non-blocking read; a read that would block is `None` and arms the readiness again.
    pub(crate) fn try_read<R>(
        &self,
        mut f: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<Option<R>> {
        // One after the other: tokio's `try_io` takes no combination, it would find neither ready.
        for interest in [Interest::READABLE, Interest::ERROR] {
            match self.0.try_io(interest, &mut f) {
                Ok(value) => return Ok(Some(value)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Says that the error queue was found empty, so that only a new error wakes [`readable`](Self::readable).
    pub(crate) fn no_more_errors(&self) {
        let empty = |_: &T| Err::<(), _>(io::ErrorKind::WouldBlock.into());
        // The error is the message.
        let _ = self.0.try_io(Interest::ERROR, empty);
    }
}

/// A pending error alone (an interface gone, an ICMP answer) is not "readable" to the poller, and yet only a
/// read takes it away.
const READ_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);
