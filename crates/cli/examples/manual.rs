//! Writes the man pages and the shell completions into a folder, for `cargo xtask dist`.

#[expect(dead_code, reason = "only the shape of the command line is used here")]
#[path = "../src/args.rs"]
mod args;
#[path = "../src/byte_size.rs"]
mod byte_size;
#[path = "../src/manual.rs"]
mod manual;

use std::io;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("usage: manual FOLDER"))?;
    manual::write(&folder)
}
