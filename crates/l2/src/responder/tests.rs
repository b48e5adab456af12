//! The responder as a whole, by subject.

mod answer_arp;
mod answer_nd;
