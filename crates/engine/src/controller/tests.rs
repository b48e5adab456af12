//! The machine against a small API server.
