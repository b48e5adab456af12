//! Programs and tables inside the kernel (`bpf(2)`), and their place on an interface's ingress (TCX, Linux 6.6).
//!
//! Owns descriptors: a table lives while a program or a descriptor has it, a program while it is loaded or attached,
//! and the place on the interface exactly as long as its descriptor, so that the end of the process, by whatever
//! signal, is the end of it. Deliberately absent: what a program does, and pinning, with which anything could outlive
//! the process. CAP_BPF and CAP_NET_ADMIN in the first user namespace are needed for all of it.

mod call;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::Error;
use call::RawInsn;

/// One instruction of the kernel's virtual machine (RFC 9669).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    /// Class and operation.
    pub code: u8,
    /// Register that is written.
    pub destination: u8,
    /// Register that is read; 1 with code 0x18: the immediate is a place in the list of maps given to
    /// [`Program::load`].
    pub source: u8,
    /// Of memory or of a jump.
    pub offset: i16,
    /// Operand.
    pub immediate: i32,
}

/// What keys a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any; memory is taken as entries come.
    Hash,
    /// Any; a full table gives up the entry that was not used for longest.
    LruHash,
    /// Numbers (`u32`) below the number of entries, all there from the start, with values of zeros.
    Array,
}

/// A table shared with programs.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    /// Makes one for `entries` entries, with keys and values of so many octets.
    ///
    /// # Errors
    /// Permission, memory, sizes that the kernel refuses.
    pub fn new(kind: Kind, key: u32, value: u32, entries: u32) -> Result<Self, Error> {
        /// `BPF_MAP_TYPE_*` and `BPF_F_NO_PREALLOC`.
        const NO_PREALLOC: u32 = 1;
        let (number, flags) = match kind {
            Kind::Hash => (1, NO_PREALLOC),
            Kind::LruHash => (9, 0),
            Kind::Array => (2, 0),
        };
        let fd = call::map_create(number, key, value, entries, flags)
            .map_err(Error::io("make", || format!("a BPF table ({kind:?})")))?;
        Ok(Self {
            fd,
            key: key as usize,
            value: value as usize,
        })
    }

    /// Writes an entry, a new one or over the old one.
    ///
    /// # Errors
    /// No room; lengths that are not the table's. The old entry stays.
    pub fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.check(key, value.len())?;
        call::update(self.fd.as_fd(), key, value)
    }

    /// Reads an entry; false if there is none.
    ///
    /// # Errors
    /// Lengths that are not the table's.
    pub fn get(&self, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
        self.check(key, value.len())?;
        call::lookup(self.fd.as_fd(), key, value)
    }

    /// Removes an entry; false if there was none. A program that runs at this moment may have read it already.
    ///
    /// # Errors
    /// Lengths that are not the table's; an array's entries stay.
    pub fn remove(&self, key: &[u8]) -> io::Result<bool> {
        self.check(key, self.value)?;
        call::delete(self.fd.as_fd(), key)
    }

    fn check(&self, key: &[u8], value: usize) -> io::Result<()> {
        if key.len() == self.key && value == self.value {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }
}

/// A loaded program that judges frames (`BPF_PROG_TYPE_SCHED_CLS`).
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
}

impl Program {
    /// Gives a program to the kernel, which verifies it. Where it loads a map, the immediate is the map's place in
    /// `maps`.
    ///
    /// # Errors
    /// Permission; refused by the verifier, whose last words are in the error.
    pub fn load(insns: &[Insn], maps: &[&Map]) -> Result<Self, Error> {
        let raw: Vec<RawInsn> = insns
            .iter()
            .map(|insn| encode(insn, maps))
            .collect::<io::Result<_>>()
            .map_err(Error::io("load", || "a BPF program".to_owned()))?;
        match call::load(&raw, &mut []) {
            Ok(fd) => Ok(Self { fd }),
            Err(source) => Err(refused(&raw, source)),
        }
    }

    /// Runs it once on a frame of at least an Ethernet header, as if the loopback had received it; its result, and the
    /// frame it leaves. Nothing is sent.
    ///
    /// # Errors
    /// Permission; a frame that is too short or too long.
    pub fn test_run(&self, frame: &[u8]) -> io::Result<(u32, Vec<u8>)> {
        /// Room for what a program may add.
        const GROWTH_BYTES: usize = 256;
        let mut out = vec![0; frame.len() + GROWTH_BYTES];
        let (result, length) = call::test_run(self.fd.as_fd(), frame, &mut out)?;
        out.truncate(length);
        Ok((result, out))
    }
}

/// The refusal, with the verifier's last words if it has any.
fn refused(raw: &[RawInsn], source: io::Error) -> Error {
    /// The verifier's report is cut there; the reason stands at its end, and it says so if it does not fit.
    const LOG_BYTES: usize = 1 << 18;
    const SHOWN_CHARS: usize = 400;
    let mut object = "a BPF program".to_owned();
    if source.raw_os_error() != Some(libc::EPERM) {
        let mut log = vec![0; LOG_BYTES];
        // The same refusal once more, for its words.
        let _ = call::load(raw, &mut log);
        let end = log.iter().position(|octet| *octet == 0).unwrap_or(0);
        let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default()).into_owned();
        let skip = text.chars().count().saturating_sub(SHOWN_CHARS);
        let last: String = text.trim_end().chars().skip(skip).collect();
        object = format!("a BPF program ({})", last.replace('\n', "; "));
    }
    Error::io("load", || object)(source)
}

fn encode(insn: &Insn, maps: &[&Map]) -> io::Result<RawInsn> {
    /// Code and source of an instruction that loads a map.
    const LOAD_MAP: (u8, u8) = (0x18, 1);
    let immediate = if (insn.code, insn.source) == LOAD_MAP {
        let place = usize::try_from(insn.immediate).ok();
        let map = place.and_then(|place| maps.get(place));
        map.ok_or(io::ErrorKind::InvalidInput)?.fd.as_raw_fd()
    } else {
        insn.immediate
    };
    let registers = if cfg!(target_endian = "little") {
        insn.source << 4 | insn.destination
    } else {
        insn.destination << 4 | insn.source
    };
    let [a, b] = insn.offset.to_ne_bytes();
    let [c, d, e, f] = immediate.to_ne_bytes();
    Ok([insn.code, registers, a, b, c, d, e, f])
}

/// A program on an interface's ingress; taken off when dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct Ingress {
    _link: OwnedFd,
}

impl Ingress {
    /// Puts a program behind those that are on the interface already; what it does not take goes on to the others and
    /// to the host. Waits for the kernel's RTNL lock.
    ///
    /// # Errors
    /// Permission, no such interface in the thread's network namespace (`ENODEV`), a kernel before 6.6 (`EINVAL`).
    pub fn attach(program: &Program, ifindex: u32) -> Result<Self, Error> {
        let link = call::link(program.fd.as_fd(), ifindex).map_err(Error::io("attach", || {
            format!("a BPF program to interface {ifindex}")
        }))?;
        Ok(Self { _link: link })
    }
}

/// Whether programs can be loaded and put on an ingress here; changes nothing.
///
/// # Errors
/// They cannot, and why.
pub fn ingress_available() -> Result<(), Error> {
    /// `r0 = -1; exit`
    const NEXT: [Insn; 2] = [
        Insn {
            code: 0xb7,
            destination: 0,
            source: 0,
            offset: 0,
            immediate: -1,
        },
        Insn {
            code: 0x95,
            destination: 0,
            source: 0,
            offset: 0,
            immediate: 0,
        },
    ];
    let program = Program::load(&NEXT, &[])?;
    // There is no interface 0: a kernel that knows the place says so, another says that it does not.
    match Ingress::attach(&program, 0) {
        Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Err(Error::Answer {
            operation: "attach",
            object: "BPF programs".to_owned(),
            reason: "the kernel has no TCX (Linux 6.6 or newer)",
        }),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The time `after` an instant as programs read the clock (`bpf_ktime_get_ns`), nanoseconds; earlier than that where
/// this process is held up meanwhile, never later.
///
/// # Errors
/// The kernel's clock cannot be read.
pub fn ktime(since: Instant, after: Duration) -> io::Result<u64> {
    let clock = crate::sys::monotonic()?;
    // Read after the clock: a pause between the two makes the result earlier.
    let instant = clock.saturating_sub(since.elapsed()) + after;
    u64::try_from(instant.as_nanos()).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
