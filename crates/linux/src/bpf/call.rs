//! The system call `bpf(2)`, one function for each command that is used.
//!
//! Owns the `unsafe` of it and the layouts of its arguments. Deliberately knows neither programs nor tables.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_MAP_CREATE` and its kin.
const MAP_CREATE: i32 = 0;
const MAP_LOOKUP: i32 = 1;
const MAP_UPDATE: i32 = 2;
const MAP_DELETE: i32 = 3;
const PROG_LOAD: i32 = 5;
const PROG_TEST_RUN: i32 = 10;
const LINK_CREATE: i32 = 28;

/// Programs that judge frames (`BPF_PROG_TYPE_SCHED_CLS`).
const SCHED_CLS: u32 = 3;
/// `BPF_TCX_INGRESS`.
const TCX_INGRESS: u32 = 46;

/// What `bpftool` shows.
const NAME: [u8; 16] = *b"harbinger_arp\0\0\0";
/// The program calls nothing that is for GPL programs only.
const LICENSE: &[u8] = b"Apache-2.0\0";

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Load {
    kind: u32,
    insn_count: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct TestRun {
    program_fd: u32,
    result: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
struct LinkCreate {
    program_fd: u32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    padding: u32,
    revision: u64,
}

/// The kernel's form of an instruction: code, both registers, offset, immediate.
pub(super) type RawInsn = [u8; 8];

pub(super) fn map_create(
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attr = MapCreate {
        kind,
        key_size,
        value_size,
        max_entries,
        flags,
        inner_fd: 0,
        numa_node: 0,
        name: NAME,
    };
    // SAFETY: the argument holds no pointer.
    unsafe { descriptor(MAP_CREATE, &mut attr) }
}

/// False when there is no such key. `key` and `value` have the sizes that the map was made with.
pub(super) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    // SAFETY: the kernel reads the map's key size from `key` and writes its value size to `value`; the caller checks
    // that both slices are as long.
    found(unsafe { element(MAP_LOOKUP, map, key, value.as_mut_ptr() as u64) })
}

/// Sizes as for [`lookup`].
pub(super) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads key and value of the sizes that the caller checks.
    unsafe { element(MAP_UPDATE, map, key, value.as_ptr() as u64) }
}

/// False when there was no such key. Size as for [`lookup`].
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    // SAFETY: the kernel reads a key of the size that the caller checks, and no value.
    found(unsafe { element(MAP_DELETE, map, key, 0) })
}

fn found(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Loads a program; what the verifier says goes to `log`, which may be empty.
pub(super) fn load(insns: &[RawInsn], log: &mut [u8]) -> io::Result<OwnedFd> {
    let mut attr = Load {
        kind: SCHED_CLS,
        insn_count: size(insns.len())?,
        insns: insns.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: size(log.len())?,
        log: if log.is_empty() {
            0
        } else {
            log.as_mut_ptr() as u64
        },
        kernel_version: 0,
        flags: 0,
        name: NAME,
    };
    // SAFETY: each pointer is to a live slice with its true length beside it, the licence ends by zero, and the
    // kernel writes to the log alone.
    unsafe { descriptor(PROG_LOAD, &mut attr) }
}

/// Runs a program once on a frame, on the loopback; its result, and the octets it left in `out`.
pub(super) fn test_run(
    program: BorrowedFd<'_>,
    frame: &[u8],
    out: &mut [u8],
) -> io::Result<(u32, usize)> {
    let mut attr = TestRun {
        program_fd: number(program),
        result: 0,
        size_in: size(frame.len())?,
        size_out: size(out.len())?,
        data_in: frame.as_ptr() as u64,
        data_out: out.as_mut_ptr() as u64,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: both pointers are to live slices with their true lengths beside them.
    unsafe { command(PROG_TEST_RUN, &mut attr) }?;
    Ok((attr.result, attr.size_out as usize))
}

/// Puts a program on an interface's ingress, after those that are there; gone with the descriptor.
pub(super) fn link(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        program_fd: number(program),
        ifindex,
        attach_type: TCX_INGRESS,
        flags: 0,
        relative_fd: 0,
        padding: 0,
        revision: 0,
    };
    // SAFETY: the argument holds no pointer.
    unsafe { descriptor(LINK_CREATE, &mut attr) }
}

/// # Safety
/// `key`, and `value` where the command uses it, are as long as the map's keys and values; `value` may be written by
/// a lookup.
unsafe fn element(what: i32, map: BorrowedFd<'_>, key: &[u8], value: u64) -> io::Result<()> {
    let mut attr = Element {
        map_fd: number(map),
        padding: 0,
        key: key.as_ptr() as u64,
        value,
        flags: 0,
    };
    // SAFETY: the caller's promise.
    unsafe { command(what, &mut attr) }.map(drop)
}

/// # Safety
/// As [`command`], and the command gives a new descriptor.
unsafe fn descriptor<T>(what: i32, attr: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { command(what, attr) }?;
    // SAFETY: the kernel has just made this descriptor for us (it is closed on exec), and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
/// Every pointer in `attr` is good for what this command does with it.
unsafe fn command<T>(what: i32, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is live and as long as is said; the kernel takes a shorter argument than its own as one that
    // ends with zeros. The rest is the caller's promise.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            what,
            std::ptr::from_mut(attr),
            size_of::<T>(),
        )
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(done).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn size(length: usize) -> io::Result<u32> {
    u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}
