//! Conversion of each kind.
