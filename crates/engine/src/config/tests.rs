//! Tables of the rules of pools and advertisements.
