//! The speaker role: what this node announces, decided by the engine, carried to real sockets here.

pub mod brain;
pub mod forward;
pub mod health;
pub mod interfaces;
pub mod probe;
pub mod wire;
