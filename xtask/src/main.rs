//! The doors to demo, tests, benchmarks and soak runs.
fn main() {}
