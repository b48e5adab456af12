//! System calls that neither socket2 nor netlink-sys wrap as we need them: `recvmsg` with control messages,
//! raw socket options.
//!
//! Owns the `unsafe` around them. Deliberately knows no protocol: control messages come out as bytes.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Room for control messages of one datagram, in bytes: the largest we ask for is an extended error with an
/// IPv6 offender and its header, under 100.
const CONTROL_BYTES: usize = 256;

/// A buffer for control messages, aligned as `cmsghdr` must be.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

/// One received datagram's particulars.
pub(crate) struct Received {
    /// Bytes of the datagram on the wire; more than the buffer holds when it was cut.
    pub(crate) len: usize,
    /// The sender's address as the kernel wrote it.
    pub(crate) name: libc::sockaddr_storage,
    control: Control,
    control_len: usize,
}

impl Received {
    /// The first control message of this level and type.
    pub(crate) fn control(&self, level: i32, kind: i32) -> Option<&[u8]> {
        let header = size_of::<libc::cmsghdr>();
        let mut rest = self.control.0.get(..self.control_len)?;
        loop {
            let head = rest.get(..header)?;
            let len = usize::from_ne_bytes(head.get(..size_of::<usize>())?.try_into().ok()?);
            let word = size_of::<usize>();
            let got_level = i32::from_ne_bytes(head.get(word..word + 4)?.try_into().ok()?);
            let got_kind = i32::from_ne_bytes(head.get(word + 4..word + 8)?.try_into().ok()?);
            let body = rest.get(header..len)?;
            if got_level == level && got_kind == kind {
                return Some(body);
            }
            rest = rest.get(len.checked_next_multiple_of(word)?..)?;
        }
    }
}

/// `recvmsg` without blocking, with the sender's address and control messages.
pub(crate) fn recvmsg(fd: BorrowedFd<'_>, buf: &mut [u8], flags: i32) -> io::Result<Received> {
    // SAFETY: both structs are plain data for which all zeros is a valid value.
    let mut name: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: as above.
    let mut msg: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut control = Control([0; CONTROL_BYTES]);
    let mut iov = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    msg.msg_name = (&raw mut name).cast();
    msg.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (&raw mut control.0).cast();
    msg.msg_controllen = CONTROL_BYTES as _;
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: every pointer in `msg` is to a live local or to `buf`, with its true length beside it.
    let len = unsafe { libc::recvmsg(fd.as_raw_fd(), &raw mut msg, flags) };
    if len < 0 {
        return Err(io::Error::last_os_error());
    }
    // The field is 32 bits wide in musl's struct.
    #[allow(clippy::unnecessary_cast)]
    let control_len = (msg.msg_controllen as usize).min(CONTROL_BYTES);
    Ok(Received {
        len: len as usize,
        name,
        control,
        control_len,
    })
}

/// Sets a socket option whose value is a plain C struct or integer.
pub(crate) fn set_option<T: Copy>(
    fd: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of a live `T`.
    let done = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (value as *const T).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Reads the counters of a packet socket; the kernel sets them to zero by this.
pub(crate) fn packet_statistics(fd: BorrowedFd<'_>) -> io::Result<libc::tpacket_stats> {
    let mut stats = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `stats`, which is plain integers.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut stats).cast(),
            &raw mut len,
        )
    };
    if done == 0 {
        Ok(stats)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Attaches a classic filter program; the kernel swaps it for an earlier one in one step.
pub(crate) fn attach_filter(fd: BorrowedFd<'_>, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = libc::sock_fprog {
        len,
        // The kernel only reads the program; the struct has one type for both directions.
        filter: program.as_ptr().cast_mut(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// Binds a packet socket to an interface and an Ethernet type.
pub(crate) fn bind_packet(fd: BorrowedFd<'_>, ifindex: i32, ethertype: u16) -> io::Result<()> {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ethertype.to_be();
    address.sll_ifindex = ifindex;
    // SAFETY: the pointer is to a live `sockaddr_ll` and the length is its size.
    let done = unsafe {
        libc::bind(
            fd.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The hardware address, now, of the interface a packet socket is bound to.
pub(crate) fn packet_mac(fd: BorrowedFd<'_>) -> Option<[u8; 6]> {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `address`.
    let done =
        unsafe { libc::getsockname(fd.as_raw_fd(), (&raw mut address).cast(), &raw mut len) };
    if done != 0 || address.sll_halen != 6 {
        return None;
    }
    address.sll_addr.first_chunk::<6>().copied()
}

/// The link-level address in a received name, if it is one.
pub(crate) fn link_address(name: &libc::sockaddr_storage) -> Option<libc::sockaddr_ll> {
    if i32::from(name.ss_family) != libc::AF_PACKET {
        return None;
    }
    // SAFETY: `sockaddr_storage` is larger than and as aligned as `sockaddr_ll`, and the family says the
    // kernel wrote one; any bytes are a valid `sockaddr_ll`.
    Some(unsafe { (&raw const *name).cast::<libc::sockaddr_ll>().read() })
}

/// The IPv4 address in a received name, if it is one.
pub(crate) fn inet_address(name: &libc::sockaddr_storage) -> Option<libc::sockaddr_in> {
    if i32::from(name.ss_family) != libc::AF_INET {
        return None;
    }
    // SAFETY: as in `link_address`.
    Some(unsafe { (&raw const *name).cast::<libc::sockaddr_in>().read() })
}

/// The IPv6 address in a received name, if it is one.
pub(crate) fn inet6_address(name: &libc::sockaddr_storage) -> Option<libc::sockaddr_in6> {
    if i32::from(name.ss_family) != libc::AF_INET6 {
        return None;
    }
    // SAFETY: as in `link_address`.
    Some(unsafe { (&raw const *name).cast::<libc::sockaddr_in6>().read() })
}

/// The index of the interface of this name in the caller's network namespace.
pub(crate) fn name_to_index(name: &str) -> Option<u32> {
    let name = std::ffi::CString::new(name).ok()?;
    // SAFETY: a live string ended by zero.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => None,
        index => Some(index),
    }
}

/// Octets in a TCP socket's send queue that the other side has not acknowledged.
pub(crate) fn send_queue(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one int, the type of `bytes`.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 {
        Ok(usize::try_from(bytes).unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Puts the calling thread under a scheduling policy.
pub(crate) fn set_scheduler(policy: i32, priority: i32) -> io::Result<()> {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut param: libc::sched_param = unsafe { MaybeUninit::zeroed().assume_init() };
    param.sched_priority = priority;
    // The system call and not the C library's function: musl's refuses without asking the kernel, as POSIX
    // means processes and Linux means threads.
    // SAFETY: the kernel reads one live `sched_param`, whose first field is the one it knows.
    let done = unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const param) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The name of the interface of this index in the caller's network namespace.
pub(crate) fn index_to_name(index: u32) -> Option<std::ffi::CString> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the function is told to need.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    Some(std::ffi::CStr::from_bytes_until_nul(&name).ok()?.to_owned())
}

/// Datagrams that a socket dropped since it was opened (`SK_MEMINFO_DROPS`).
pub(crate) fn socket_drops(fd: BorrowedFd<'_>) -> io::Result<u32> {
    /// `SO_MEMINFO`, the number of its words, and the place of the drops.
    const SO_MEMINFO: i32 = 55;
    const WORDS: usize = 9;
    const DROPS: usize = 8;
    let mut words = [0u32; WORDS];
    let mut len = size_of::<[u32; WORDS]>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes, the size of `words`.
    let done = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if done == 0 {
        Ok(words.get(DROPS).copied().unwrap_or(0))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `ETHTOOL_GLINK`: whether an interface has a carrier.
pub(crate) fn link_detected(fd: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    /// `struct ethtool_value`.
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const ETHTOOL_GLINK: u32 = 0x0a;
    const SIOCETHTOOL: u32 = 0x8946;
    let mut value = Value {
        command: ETHTOOL_GLINK,
        data: 0,
    };
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    // The last octet stays zero.
    let room = request.ifr_name.len() - 1;
    if name.is_empty() || name.len() > room {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the kernel reads the name, which ends by zero, and reads and writes the eight bytes of `value`, which
    // lives until the call returns.
    let done = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if done == 0 {
        Ok(value.data != 0)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `CLOCK_MONOTONIC`.
pub(crate) fn monotonic() -> io::Result<std::time::Duration> {
    // SAFETY: plain data, for which all zeros is a valid value.
    let mut time: libc::timespec = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the kernel writes one `timespec`, the type of `time`.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    if done != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Ok(std::time::Duration::new(seconds, nanos))
}
