//! Test kit: real servers, fault proxy, workload generator, reference model and conformance suites.
//!
//! Nothing here is part of the shipped program. Servers are started by the scripts of the folder
//! `services`, each in a directory and on a port of its own, and end with the value that stands for
//! them.

pub mod crowd;
pub mod far;
pub mod hostile;
pub mod patience;
pub mod proxy;
pub mod random;
pub mod scenario;
pub mod server;
pub mod workload;
