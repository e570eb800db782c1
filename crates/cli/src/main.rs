//! The spanferry command: arguments, configuration, rendering and exit codes.
fn main() {}
