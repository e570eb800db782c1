//! Measures append and sync, and reading back: `cargo run --release -p spanferry-log --example log_bench [DIRECTORY]`.
//!
//! Each line: 300-byte records (ten to a piece of a transaction of its own), so many bytes for each sync.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use spanferry_core::change_log::{ChangeLog, ChangeLogWriter, Piece, PieceKind, Sequence};
use spanferry_core::position::Position;
use spanferry_log::{DiskLog, LogOptions};

const RECORD_BYTES: usize = 300;
const RECORDS_PER_PIECE: usize = 10;
const PIECE_BYTES: usize = RECORD_BYTES * RECORDS_PER_PIECE;

/// Bytes for each sync, and how many syncs.
const CASES: [(usize, usize); 3] = [(30_000, 3000), (300_000, 1500), (3_000_000, 300)];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    for (bytes, syncs) in CASES {
        let directory = base.join(format!("spanferry-log-bench-{}", std::process::id()));
        let line = measure(&directory, bytes, syncs).await;
        std::fs::remove_dir_all(&directory)?;
        writeln!(stdout(), "{}", line?)?;
    }
    Ok(())
}

async fn measure(directory: &Path, bytes: usize, syncs: usize) -> Result<String, Box<dyn Error>> {
    let log = DiskLog::create(
        directory,
        "bench",
        &Position::parse("mariadb:")?,
        LogOptions::default(),
    )
    .await?;
    let mut writer = log.writer().await?;
    let begun = Instant::now();
    let mut transaction = 0;
    let mut pieces: Vec<Piece> = vec![new_piece(); bytes / PIECE_BYTES];
    for _ in 0..syncs {
        for piece in &mut pieces {
            transaction += 1;
            piece.transaction = format!("0-1-{transaction}");
        }
        writer.append(&mut pieces).await?;
        writer.sync().await?;
    }
    let written = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let mut reader = log.reader(Sequence(1)).await?;
    let mut read = 0;
    while read < transaction {
        read += u64::try_from(reader.next_chunk().await?.len())?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let megabytes = as_float(bytes * syncs) / 1e6;
    let records = megabytes / as_float(RECORD_BYTES);
    Ok(format!(
        "{:>5} KB per sync: {:>6.0} syncs/s {:>6.0} MB/s {:>5.2}M records/s; read back {:>6.0} MB/s {:>5.2}M records/s",
        bytes / 1000,
        as_float(syncs) / written,
        megabytes / written,
        records / written,
        megabytes / seconds,
        records / seconds,
    ))
}

fn new_piece() -> Piece {
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last: true,
        kind: PieceKind::Transaction,
        transaction: String::new(),
        committed_at_us: 0,
        body: vec![0x5a; PIECE_BYTES],
    }
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
