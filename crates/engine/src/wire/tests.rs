//! The wire on a virtual LAN.
