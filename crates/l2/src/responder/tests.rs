//! The responder as a whole, by subject.

mod answer_arp;
mod answer_nd;
mod gratuitous;
mod guard;
mod hostile;
mod link;
mod property;
