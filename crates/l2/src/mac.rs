//! The 48-bit Ethernet address.
//!
//! Owns the type, its text form, the two questions the responder asks of it, and a few prefixes that people know.

use std::fmt;

/// An Ethernet address, in the order of the wire.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    /// 00:00:00:00:00:00, which no station has.
    pub const ZERO: MacAddr = MacAddr([0; 6]);

    /// The six octets in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Group bit set; true for broadcast too (IEEE 802.3 §3.2.3).
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Could be the address of one station: neither a group nor all zero.
    pub fn is_station(self) -> bool {
        !self.is_multicast() && self != Self::ZERO
    }
}

/// Prefixes that tell a person at once what kind of station it is. Not a registry: those that stand for a
/// virtual machine, a container, a first-hop redundancy protocol or a small board, which are what takes addresses.
const VENDORS: &[(&[u8], &str)] = &[
    (&[0x00, 0x00, 0x5e, 0x00, 0x01], "a VRRP router"),
    (&[0x00, 0x00, 0x5e, 0x00, 0x02], "a VRRP router"),
    (&[0x00, 0x05, 0x69], "VMware"),
    (&[0x00, 0x0c, 0x29], "VMware"),
    (&[0x00, 0x15, 0x5d], "Hyper-V"),
    (&[0x00, 0x16, 0x3e], "Xen"),
    (&[0x00, 0x1c, 0x42], "Parallels"),
    (&[0x00, 0x50, 0x56], "VMware"),
    (&[0x02, 0x42], "a container of Docker"),
    (&[0x08, 0x00, 0x27], "VirtualBox"),
    (&[0x28, 0xcd, 0xc1], "Raspberry Pi"),
    (&[0x52, 0x54, 0x00], "QEMU/KVM"),
    (&[0xb8, 0x27, 0xeb], "Raspberry Pi"),
    (&[0xbc, 0x24, 0x11], "Proxmox"),
    (&[0xd8, 0x3a, 0xdd], "Raspberry Pi"),
    (&[0xdc, 0xa6, 0x32], "Raspberry Pi"),
    (&[0xe4, 0x5f, 0x01], "Raspberry Pi"),
];

impl MacAddr {
    /// What its prefix says about the station, for people; none for most.
    pub fn vendor(self) -> Option<&'static str> {
        VENDORS
            .iter()
            .find(|(prefix, _)| self.0.starts_with(prefix))
            .map(|(_, vendor)| *vendor)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> Self {
        MacAddr(octets)
    }
}
