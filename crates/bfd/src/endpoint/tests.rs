//! The endpoint as a whole, by subject.

mod demux;
mod hostile;
mod life;
mod poll;
mod timers;
mod wire;
