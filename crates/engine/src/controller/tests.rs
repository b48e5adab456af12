//! The machine against a small API server.

mod server;
mod stories;

use server::Server;
