//! Measures append and sync, and reading back:
//! `cargo run --release -p spanferry-log --example log_bench [DIRECTORY]`.
//!
//! Each line: transactions of one piece with a body of so many bytes, so many bytes of bodies for
//! each sync.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

use spanferry_core::port::change_log::{ChangeLog, ChangeLogWriter, LogId, Piece, PieceKind, Sequence};
use spanferry_core::position::Bookmark;
use spanferry_log::{DiskLog, LogOptions};

/// Bodies of a tiny and of a usual small transaction.
const BODY_BYTES: [usize; 2] = [300, 3000];

/// Bytes for each sync, and how many syncs.
const CASES: [(usize, usize); 3] = [(30_000, 3000), (300_000, 1500), (3_000_000, 300)];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    for (body_bytes, (bytes, syncs)) in BODY_BYTES
        .into_iter()
        .flat_map(|body| CASES.map(|case| (body, case)))
    {
        let directory = base.join(format!("spanferry-log-bench-{}", std::process::id()));
        let line = measure(&directory, body_bytes, bytes, syncs).await;
        std::fs::remove_dir_all(&directory)?;
        writeln!(stdout(), "{}", line?)?;
    }
    Ok(())
}

async fn measure(
    directory: &Path,
    body_bytes: usize,
    bytes: usize,
    syncs: usize,
) -> Result<String, Box<dyn Error>> {
    let log = DiskLog::create(
        directory,
        &LogId("00000000-0000-0000-0000-000000000001".to_owned()),
        "bench",
        &Bookmark::parse("mariadb:")?,
        LogOptions::default(),
    )
    .await?;
    let mut writer = log.writer().await?;
    let begun = Instant::now();
    let mut transaction = 0;
    let mut pieces: Vec<Piece> = vec![new_piece(body_bytes); bytes / body_bytes];
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
    let transactions = megabytes / as_float(body_bytes);
    Ok(format!(
        "{body_bytes:>4} B {:>5} KB per sync: {:>6.0} syncs/s {:>6.0} MB/s {:>5.2}M transactions/s; read back {:>6.0} MB/s {:>5.2}M transactions/s",
        bytes / 1000,
        as_float(syncs) / written,
        megabytes / written,
        transactions / written,
        megabytes / seconds,
        transactions / seconds,
    ))
}

fn new_piece(body_bytes: usize) -> Piece {
    Piece {
        sequence: Sequence::ZERO,
        number: 0,
        last: true,
        kind: PieceKind::Transaction,
        transaction: String::new(),
        committed_at_us: 0,
        body: vec![0x5a; body_bytes],
    }
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
