//! A digest of the rows that a transaction changed, the same on the server where it began and on
//! its replicas.
//!
//! Replicas give tables other numbers, stand at other places of their logs, cut rows events
//! elsewhere, name statements otherwise or not at all, and may compress. So only this is read: for
//! each run of rows of one table and one kind of change, the table's name, the kind and the columns
//! that are there; and the bytes of the rows.

use flate2::{Decompress, FlushDecompress, Status};
use hashbrown::HashMap;
use spanferry_core::position::ContentDigest;

use super::event::{Cursor, Header, Malformed, kind};
use super::rows::{Change, RowsEvent, change};
use super::table_map::{TRANSACTION_TABLES_MAX, TableMapHead};

/// Room for a part of inflated rows.
const INFLATED_BYTES: usize = 16 << 10;

/// The digest of a transaction that is being read.
#[derive(Debug, Default)]
pub(super) struct Content {
    hasher: blake3::Hasher,
    /// Schema and table, each behind its length, by the number that rows events name.
    tables: HashMap<u64, Vec<u8>>,
    /// What the present run of rows is about.
    run: Vec<u8>,
    /// Rows came in a form that is not read: there is no digest.
    is_unreadable: bool,
}

impl Content {
    /// Takes the transaction's next event.
    pub(super) fn event(&mut self, header: &Header, body: &[u8]) {
        if !self.is_unreadable && self.take(header.kind, body).is_err() {
            self.is_unreadable = true;
        }
    }

    /// The digest of all events, if all of them could be read.
    pub(super) fn finish(self) -> Option<ContentDigest> {
        let hash = self.hasher.finalize();
        let first = hash.as_bytes().first_chunk::<8>().expect("32 bytes");
        (!self.is_unreadable).then_some(ContentDigest(u64::from_be_bytes(*first)))
    }

    fn take(&mut self, number: u8, body: &[u8]) -> Result<(), Malformed> {
        match number {
            kind::TABLE_MAP => {
                let head = TableMapHead::parse(body)?;
                let mut name = Vec::new();
                for part in [head.schema, head.table] {
                    name.extend_from_slice(&(part.len() as u64).to_le_bytes());
                    name.extend_from_slice(part);
                }
                if self.tables.len() >= TRANSACTION_TABLES_MAX && !self.tables.contains_key(&head.table_id) {
                    return Err(Malformed("a transaction of more than 65536 tables"));
                }
                self.tables.insert(head.table_id, name);
                Ok(())
            }
            kind::PARTIAL_UPDATE_ROWS | kind::TRANSACTION_PAYLOAD => {
                Err(Malformed("rows in a form that is not read"))
            }
            _ => match rows_form(number) {
                Some(form) => self.rows(&form, body),
                None => Ok(()),
            },
        }
    }

    fn rows(&mut self, form: &RowsForm, body: &[u8]) -> Result<(), Malformed> {
        let event = RowsEvent::parse(body, form.change, form.version_2)?;
        if event.images.is_empty() {
            return Ok(());
        }
        let table = self
            .tables
            .get(&event.table_id)
            .ok_or(Malformed("rows without a table map"))?;
        let mut run = table.clone();
        run.push(match form.change {
            Change::Insert => 0,
            Change::Update => 1,
            Change::Delete => 2,
        });
        run.extend_from_slice(&(event.columns as u64).to_le_bytes());
        run.extend_from_slice(event.first_columns);
        run.extend_from_slice(event.second_columns);
        if run != self.run {
            self.hasher.update(&run);
            self.run = run;
        }
        if form.compressed {
            inflate(event.images, |rows| {
                self.hasher.update(rows);
            })
        } else {
            self.hasher.update(event.images);
            Ok(())
        }
    }
}

/// What the number of a rows event says of its form.
struct RowsForm {
    change: Change,
    version_2: bool,
    /// MariaDB's `log_bin_compress`.
    compressed: bool,
}

fn rows_form(number: u8) -> Option<RowsForm> {
    let compressed = kind::MARIADB_COMPRESSED_ROWS;
    let plain = if compressed.contains(&number) {
        // Both runs of numbers are in the order insert, update, delete.
        let at = number - compressed.start();
        let first = if at < 3 {
            kind::WRITE_ROWS_V1
        } else {
            kind::WRITE_ROWS
        };
        first + at % 3
    } else {
        number
    };
    let (change, version_2) = change(plain)?;
    Some(RowsForm {
        change,
        version_2,
        compressed: plain != number,
    })
}

/// Inflates what MariaDB's `binlog_buf_compress` made: a byte with the number of length bytes, the
/// length, and zlib's stream.
fn inflate(compressed: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Malformed> {
    const LENGTH_BYTES: u8 = 0x07;
    const ALGORITHM: u8 = 0x70;
    let wrong = Malformed("compressed rows that cannot be inflated");
    let mut cursor = Cursor::new(compressed);
    let first = cursor.u8()?;
    if first & ALGORITHM != 0 {
        return Err(wrong);
    }
    let length = cursor.uint_be(usize::from(first & LENGTH_BYTES))?;
    let mut rest = cursor.rest();
    let mut stream = Decompress::new(true);
    let mut part = vec![0; INFLATED_BYTES];
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(rest, &mut part, FlushDecompress::None)
            .map_err(|_| wrong)?;
        let taken = usize::try_from(stream.total_in() - read).map_err(|_| wrong)?;
        let made = usize::try_from(stream.total_out() - written).map_err(|_| wrong)?;
        rest = &rest[taken..];
        take(&part[..made]);
        match status {
            Status::StreamEnd if stream.total_out() == length => return Ok(()),
            Status::StreamEnd => return Err(wrong),
            Status::Ok | Status::BufError if taken == 0 && made == 0 => return Err(wrong),
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// An event of the tests: its kind, and its body.
    type Event = (u8, Vec<u8>);

    fn table_map(number: u64, table: &str) -> Event {
        let mut body = number.to_le_bytes()[..6].to_vec();
        body.extend_from_slice(&[1, 0]);
        for name in ["shop", table] {
            body.push(u8::try_from(name.len()).unwrap());
            body.extend_from_slice(name.as_bytes());
            body.push(0);
        }
        body.extend_from_slice(&[1, 3, 0, 1]);
        (kind::TABLE_MAP, body)
    }

    fn rows(kind_number: u8, number: u64, images: &[u8]) -> Event {
        let mut body = number.to_le_bytes()[..6].to_vec();
        body.extend_from_slice(&[0, 0]);
        if (kind::WRITE_ROWS..=kind::DELETE_ROWS).contains(&kind_number) {
            body.extend_from_slice(&[2, 0]);
        }
        body.extend_from_slice(&[1, 0xff]);
        if matches!(kind_number, kind::UPDATE_ROWS_V1 | kind::UPDATE_ROWS | 167) {
            body.push(0xff);
        }
        body.extend_from_slice(images);
        (kind_number, body)
    }

    fn compressed(images: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(images).unwrap();
        let length = u32::try_from(images.len()).unwrap().to_be_bytes();
        [&[0x84][..], &length, &encoder.finish().unwrap()].concat()
    }

    fn digest(events: &[Event]) -> Option<ContentDigest> {
        let mut content = Content::default();
        for (number, body) in events {
            let header = Header {
                timestamp: 1,
                kind: *number,
                server_id: 1,
                size: 0,
                log_position: 0,
                flags: 0,
            };
            content.event(&header, body);
        }
        content.finish()
    }

    const INSERT: u8 = kind::WRITE_ROWS_V1;

    #[test]
    fn what_replicas_write_otherwise_changes_nothing() {
        let plain = digest(&[table_map(7, "t"), rows(INSERT, 7, b"abcdef")]);
        let check = |events: &[Event]| assert_eq!(digest(events), plain, "{events:?}");
        assert!(plain.is_some());
        // Another number, another version of the event, another cut, a statement's text,
        // compression.
        check(&[table_map(9, "t"), rows(INSERT, 9, b"abcdef")]);
        check(&[table_map(7, "t"), rows(kind::WRITE_ROWS, 7, b"abcdef")]);
        check(&[
            table_map(7, "t"),
            rows(INSERT, 7, b"abc"),
            table_map(7, "t"),
            rows(INSERT, 7, b"def"),
        ]);
        check(&[
            (kind::MARIADB_ANNOTATE_ROWS, b"INSERT".to_vec()),
            table_map(7, "t"),
            rows(INSERT, 7, b"abcdef"),
            rows(INSERT, 0x00ff_ffff, b""),
            (kind::XID, vec![0; 8]),
        ]);
        check(&[table_map(7, "t"), rows(166, 7, &compressed(b"abcdef"))]);
        let long: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(
            digest(&[table_map(7, "t"), rows(166, 7, &compressed(&long))]),
            digest(&[table_map(7, "t"), rows(INSERT, 7, &long)])
        );
    }

    #[test]
    fn other_rows_have_another_digest() {
        let different = [
            vec![],
            vec![table_map(7, "t"), rows(INSERT, 7, b"abcdef")],
            vec![table_map(7, "t"), rows(INSERT, 7, b"abcdeg")],
            vec![table_map(7, "u"), rows(INSERT, 7, b"abcdef")],
            vec![table_map(7, "t"), rows(kind::DELETE_ROWS_V1, 7, b"abcdef")],
            vec![table_map(7, "t"), rows(kind::UPDATE_ROWS_V1, 7, b"abcdef")],
            vec![
                table_map(7, "t"),
                table_map(8, "u"),
                rows(INSERT, 7, b"abc"),
                rows(INSERT, 8, b"def"),
            ],
        ];
        for (at, events) in different.iter().enumerate() {
            assert!(digest(events).is_some());
            for other in &different[..at] {
                assert_ne!(digest(events), digest(other), "{events:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_digest() {
        let good = compressed(b"abcdef");
        let cut = &good[..good.len() - 1];
        let longer = [&[0x84, 0, 0, 0, 7][..], &good[5..]].concat();
        let algorithm = [&[0x94][..], &good[1..]].concat();
        for images in [cut, &longer, &algorithm, &[0x84], &[0x80]] {
            assert_eq!(
                digest(&[table_map(7, "t"), rows(166, 7, images)]),
                None,
                "{images:?}"
            );
        }
        assert_eq!(digest(&[rows(INSERT, 7, b"abc")]), None, "no table map");
        assert_eq!(digest(&[(kind::TRANSACTION_PAYLOAD, vec![1])]), None);
        assert_eq!(digest(&[(kind::PARTIAL_UPDATE_ROWS, vec![1])]), None);
    }
}
