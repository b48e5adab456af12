//! The twins of the CEL rules of the CustomResourceDefinitions.
//!
//! What the API server checks there is checked here too, for manifests that never saw a
//! server and for objects stored before a rule existed.
