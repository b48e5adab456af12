//! Tests of the health machine: each row of design/health.md, properties, and a simulation.

mod choices;
mod lab;
mod ladder;
mod many;
mod properties;
mod rows;
mod scopes;
