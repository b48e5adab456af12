//! Tests of the machine: the table, one peer against a scripted router, two of our own on a wire, and models.

mod announce;
mod collide;
mod ending;
mod hostile;
mod model;
mod offers;
mod pair;
mod pure;
mod refresh;
mod rig;
mod session;
mod shown;
mod speed;
mod table;
mod timing;
mod wire;
