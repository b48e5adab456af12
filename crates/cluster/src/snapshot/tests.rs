//! Joining and differences.
