//! What one speaker does on real sockets: the real program on a node of the lab, the kernel and a made-up station
//! as its neighbours. Times are printed, never judged.

#[path = "lab_speaker/answers.rs"]
mod answers;
#[path = "lab_speaker/carriers.rs"]
mod carriers;
#[path = "lab_speaker/fastpath.rs"]
mod fastpath;
#[path = "lab_speaker/guard.rs"]
mod guard;
#[path = "lab_speaker/kit.rs"]
mod kit;
#[path = "lab_speaker/links.rs"]
mod links;
#[path = "lab_speaker/probes.rs"]
mod probes;
#[path = "lab_speaker/storms.rs"]
mod storms;
#[path = "lab_speaker/trouble.rs"]
mod trouble;

tests::enter_lab_at_start!();
