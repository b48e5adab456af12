//! Tables and properties of the allocation.

mod build;
mod table;
