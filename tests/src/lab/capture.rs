//! A capture on one interface of a host.
//!
//! Owns a thread with a packet socket and the frames it has seen, stamped by the kernel.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Frame, Host};

/// Frames kept; what comes later is counted only. A lab that needs more asks a narrower question.
const FRAMES_MAX: usize = 500_000;

/// Octets kept of each frame: a whole one of the usual size.
const SNAP_BYTES: usize = 2048;

/// Kernel memory for frames not yet read.
const BUFFER_BYTES: usize = 32 << 20;

/// `ETH_P_ALL`.
const EVERY_TYPE: u16 = 3;

/// A running capture; it ends when dropped.
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Seen>,
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    frames: Mutex<Vec<Frame>>,
    more: Condvar,
}

impl Capture {
    /// Starts on interface `name` of `host`. Every frame after the return of this call is seen.
    ///
    /// # Errors
    /// No such interface, or no permission.
    pub fn start(host: &Host, name: &str) -> Result<Self> {
        let index = host.index(name)? as usize;
        let socket = host.run(open).context("packet socket")?;
        let (stop, stopped) = UnixStream::pair()?;
        let seen = Arc::new(Seen::default());
        let thread = {
            let seen = Arc::clone(&seen);
            // Reading needs no namespace: the socket stays where it was opened.
            std::thread::spawn(move || capture(&socket, &stopped.into(), index, &seen))
        };
        Ok(Self {
            seen,
            stop,
            thread: Some(thread),
        })
    }

    /// What was seen so far.
    pub fn frames(&self) -> Vec<Frame> {
        self.lock().clone()
    }

    /// How many frames seen so far hold a condition.
    pub fn count(&self, wanted: impl Fn(&Frame) -> bool) -> usize {
        self.lock().iter().filter(|f| wanted(f)).count()
    }

    /// Forgets what was seen so far.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// The first frame for which `wanted` holds, among those seen and those still to come within `time`.
    pub fn wait(&self, time: Duration, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        let deadline = Instant::now() + time;
        let mut frames = self.lock();
        let mut looked = 0;
        loop {
            if let Some(found) = frames.iter().skip(looked).find(|f| wanted(f)) {
                return Some(found.clone());
            }
            looked = frames.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            let (guard, _) = self
                .seen
                .more
                .wait_timeout(frames, left)
                .unwrap_or_else(PoisonError::into_inner);
            frames = guard;
            // Somebody may have cleared it meanwhile.
            looked = looked.min(frames.len());
        }
    }

    /// As [`wait`](Self::wait), for frames that the kernel saw at `after` or later.
    pub fn wait_after(
        &self,
        after: Instant,
        time: Duration,
        wanted: impl Fn(&Frame) -> bool,
    ) -> Option<Frame> {
        self.wait(time, |f| f.at >= after && wanted(f))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.seen
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        // Both fail only when the thread has ended already.
        let _ = self.stop.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A socket that hears all frames of all interfaces, the host's own included.
fn open() -> Result<Socket> {
    let protocol = Protocol::from(i32::from(EVERY_TYPE.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // As much as the host allows.
    socket.set_recv_buffer_size(BUFFER_BYTES)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

fn capture(socket: &Socket, stop: &OwnedFd, index: usize, seen: &Seen) {
    let mut buf = vec![0; SNAP_BYTES];
    loop {
        let mut fds = [
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(stop.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
        if fds[1].any() == Some(true) {
            return;
        }
        let mut new = Vec::new();
        while let Some((frame, ifindex)) = receive(socket, &mut buf) {
            if ifindex == index {
                new.push(frame);
            }
        }
        if !new.is_empty() {
            let mut frames = seen.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let room = FRAMES_MAX.saturating_sub(frames.len());
            frames.extend(new.into_iter().take(room));
            seen.more.notify_all();
        }
    }
}

fn receive(socket: &Socket, buf: &mut [u8]) -> Option<(Frame, usize)> {
    /// `PACKET_OUTGOING`.
    const OUTGOING: u8 = 4;
    let mut control = nix::cmsg_space!(TimeSpec);
    let (len, from, stamp) = {
        let mut iov = [IoSliceMut::new(buf)];
        let flags = MsgFlags::MSG_DONTWAIT;
        let got =
            recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut iov, Some(&mut control), flags).ok()?;
        let stamp = got.cmsgs().ok()?.find_map(|c| match c {
            ControlMessageOwned::ScmTimestampns(t) => Some(t),
            _ => None,
        });
        (got.bytes, got.address?, stamp)
    };
    let frame = Frame {
        at: stamp.map_or_else(Instant::now, instant),
        outgoing: from.pkttype() == OUTGOING,
        bytes: buf[..len].to_vec(),
    };
    Some((frame, from.ifindex()))
}

/// The kernel stamps with the wall clock; both clocks are read now to tell how long ago that was.
fn instant(stamp: TimeSpec) -> Instant {
    let stamp = SystemTime::UNIX_EPOCH + Duration::from(stamp);
    let ago = SystemTime::now().duration_since(stamp).unwrap_or_default();
    Instant::now().checked_sub(ago).unwrap_or_else(Instant::now)
}
