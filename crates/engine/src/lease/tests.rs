//! The election against a store with faults.
