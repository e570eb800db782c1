//! Values of MariaDB's COMPRESSED columns: stored as they are behind a zero byte, or deflated
//! behind their length.
//!
//! The first byte holds the method in its upper half (0 none, 8 zlib), a flag for a stream without
//! zlib's own header (8), and the number of bytes of the length, most significant first. Source:
//! `compress_zlib` in MariaDB's `sql/field_comp.cc`.

use flate2::{Decompress, FlushDecompress, Status};

use super::event::{Cursor, Malformed};

const METHOD: u8 = 0xf0;
const ZLIB: u8 = 0x80;
const WITHOUT_HEADER: u8 = 0x08;
const LENGTH_BYTES: u8 = 0x07;
/// Most bytes of a value: no server sends a longer one.
const INFLATED_BYTES_MAX: usize = 1 << 30;
/// No deflated byte stands for more than this many; a greater length is false, and no memory is
/// taken for it.
const INFLATION_MAX: usize = 1032;

/// Writes the value that `bytes` store to `into`, which is cleared first.
pub(crate) fn inflate(bytes: &[u8], into: &mut Vec<u8>) -> Result<(), Malformed> {
    into.clear();
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(());
    };
    match first & METHOD {
        0 => {
            into.extend_from_slice(rest);
            Ok(())
        }
        ZLIB => {
            let mut cursor = Cursor::new(rest);
            let digits = cursor.take(usize::from(first & LENGTH_BYTES))?;
            let length = digits
                .iter()
                .try_fold(0_usize, |length, digit| {
                    length.checked_mul(256)?.checked_add(usize::from(*digit))
                })
                .ok_or(Malformed("a length beyond this machine"))?;
            inflate_zlib(cursor.rest(), first & WITHOUT_HEADER == 0, length, into)
        }
        _ => Err(Malformed("an unknown compression method")),
    }
}

fn inflate_zlib(deflated: &[u8], header: bool, length: usize, into: &mut Vec<u8>) -> Result<(), Malformed> {
    if length
        > deflated
            .len()
            .saturating_mul(INFLATION_MAX)
            .min(INFLATED_BYTES_MAX)
    {
        return Err(Malformed("a compressed value with a false length"));
    }
    // One byte more than needed, so that a longer value shows.
    into.reserve_exact(length + 1);
    let mut stream = Decompress::new(header);
    let status = stream.decompress_vec(deflated, into, FlushDecompress::Finish);
    if matches!(status, Ok(Status::StreamEnd)) && into.len() == length {
        return Ok(());
    }
    Err(Malformed("a compressed value that cannot be inflated"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{Random, bytes};

    /// 200 times `a`, deflated without zlib's header.
    const RAW: &str = "89c84b4c1c1e0000";

    fn check(stored: &[u8], expected: Option<&[u8]>) {
        let mut value = vec![1];
        let result = inflate(stored, &mut value);
        assert_eq!(
            result.ok().map(|()| value),
            expected.map(<[u8]>::to_vec),
            "{stored:02x?}"
        );
    }

    #[test]
    fn stored_values() {
        check(b"", Some(b""));
        check(b"\0", Some(b""));
        check(b"\0text", Some(b"text"));
        let raw = bytes(RAW);
        check(&raw, Some(&[b'a'; 200]));
        for damage in [
            &raw[..raw.len() - 1],
            &[0x10, 1],
            &[0x81],
            &[0x8c, 0xff, 0xff, 0xff, 0xff, 3, 0],
        ] {
            check(damage, None);
        }
    }

    #[test]
    fn fuzz_compressed_values_never_panic() {
        let mut random = Random(0x5eed);
        for _ in 0..20_000 {
            let mut stored = bytes(RAW);
            random.damage(&mut stored);
            let mut value = Vec::new();
            let _outcome = inflate(&stored, &mut value);
            assert!(value.capacity() <= (stored.len() + 1) * INFLATION_MAX);
        }
    }
}
