//! What a front does on real sockets: the real program on a machine before the cluster, nodes with a NodePort each, and
//! clients that open connections.

#[path = "lab_front/kit.rs"]
mod kit;
#[path = "lab_front/nodes.rs"]
mod nodes;
#[path = "lab_front/ports.rs"]
mod ports;
#[path = "lab_front/stops.rs"]
mod stops;

tests::enter_lab_at_start!();
