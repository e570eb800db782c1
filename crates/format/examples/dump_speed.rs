//! How fast a dump is read: `cargo run --release -p spanferry-format --example dump_speed FILE`.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use spanferry_format::mysql::dump::{Limits, Reader, Reading, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("name a dump")?;
    let mut file = std::fs::File::open(path)?;
    let limits = Limits {
        statement_bytes_max: 1 << 20,
        row_bytes_max: 64 << 20,
    };
    let mut reader = Reader::new(limits, Reading::plain(false));
    let mut piece = vec![0; 1 << 20];
    let (started, mut rows, mut cells) = (Instant::now(), 0_u64, 0_usize);
    let bytes = loop {
        match reader.next()? {
            Step::More => match file.read(&mut piece)? {
                0 => reader.finish(),
                length => reader.feed(&piece[..length]),
            },
            Step::Row(row) => {
                rows += 1;
                cells += row.cells().count();
            }
            Step::Refused { .. } | Step::Statement(_) => {}
            Step::End(ending) => break ending.bytes,
        }
    };
    let took = started.elapsed();
    writeln!(
        std::io::stdout(),
        "{bytes} bytes, {rows} rows, {cells} cells in {took:?}"
    )?;
    Ok(())
}
