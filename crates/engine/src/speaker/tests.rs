//! The speaker, alone and with others on a virtual LAN.
