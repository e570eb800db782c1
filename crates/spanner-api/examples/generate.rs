//! Generates `src/generated` from `protos`. Run it after a change there: see `protos/README.md`.

use std::error::Error;
use std::fs;
use std::path::Path;

/// The definitions to start from; what they import comes along.
const ROOTS: [&str; 6] = [
    "google/spanner/v1/spanner.proto",
    "google/spanner/admin/database/v1/spanner_database_admin.proto",
    "google/spanner/admin/instance/v1/spanner_instance_admin.proto",
    "google/longrunning/operations.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
];

/// Packages that hold nothing but options of the definitions, which the stubs do not use.
const OPTIONS_ONLY: [&str; 1] = ["google.api.rs"];

fn main() -> Result<(), Box<dyn Error>> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = package.join("src/generated");
    let definitions = protox::compile(ROOTS, [package.join("protos")])?;
    tonic_prost_build::configure()
        .bytes(".")
        .out_dir(&output)
        .compile_fds(definitions)?;
    for name in OPTIONS_ONLY {
        fs::remove_file(output.join(name))?;
    }
    // The generator escapes the keyword in the package's name; a file name needs no escape.
    fs::rename(output.join("google.r#type.rs"), output.join("google.type.rs"))?;
    Ok(())
}
