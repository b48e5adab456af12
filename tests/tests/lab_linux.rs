//! What the `linux` crate and the lab claim about the kernel, shown on the kernel.

#[path = "lab_linux/fastpath.rs"]
mod fastpath;
#[path = "lab_linux/groups.rs"]
mod groups;
#[path = "lab_linux/kit.rs"]
mod kit;
#[path = "lab_linux/lab.rs"]
mod lab;
#[path = "lab_linux/links.rs"]
mod links;
#[path = "lab_linux/packet.rs"]
mod packet;

tests::enter_lab_at_start!();
