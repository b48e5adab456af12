//! The BFD endpoint over the sockets of `linux`, against FRR, BIRD, itself and forgers, in namespaces.

#[path = "lab_bfd/accuracy.rs"]
mod accuracy;
#[path = "lab_bfd/hostile.rs"]
mod hostile;
#[path = "lab_bfd/peers.rs"]
mod peers;
#[path = "lab_bfd/speaker.rs"]
mod speaker;
#[path = "lab_bfd/wire.rs"]
mod wire;

tests::enter_lab_at_start!();
