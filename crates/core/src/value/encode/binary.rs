//! BYTES: Base64, as Spanner's wire form spells them.

use super::Refusal;
use super::limit::{CELL_BYTES_MAX, check_bytes};
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn bytes(scalar: Scalar<'_>, bytes_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Bytes(bytes) = scalar else {
        return form("bytes");
    };
    check_bytes(bytes.len(), bytes_max.min(CELL_BYTES_MAX))?;
    list_value::put_string_head(out, bytes.len().div_ceil(3) * 4);
    let mut groups = bytes.chunks_exact(3);
    for group in &mut groups {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        out.extend_from_slice(&[
            sextet(bits, 18),
            sextet(bits, 12),
            sextet(bits, 6),
            sextet(bits, 0),
        ]);
    }
    match *groups.remainder() {
        [a] => {
            let bits = u32::from(a) << 16;
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), b'=', b'=']);
        }
        [a, b] => {
            let bits = u32::from(a) << 16 | u32::from(b) << 8;
            out.extend_from_slice(&[sextet(bits, 18), sextet(bits, 12), sextet(bits, 6), b'=']);
        }
        _ => {}
    }
    Ok(())
}

/// The bytes of a Base64 text as `bytes` and Spanner write it.
pub(crate) fn base64_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = BASE64.iter().position(|known| known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    text.len().is_multiple_of(4).then_some(bytes)
}

fn sextet(bits: u32, shift: u32) -> u8 {
    BASE64[(bits >> shift & 63) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn bytes_are_read_back() {
        for bytes in [&b""[..], b"\0", b"\0\x01", b"\0\x01\xff", b"\xfb\xff\0\0"] {
            let mut out = Vec::new();
            super::bytes(Scalar::Bytes(bytes), 9, &mut out).unwrap();
            let Some(Ok(list_value::WireValue::String(text))) = list_value::WireReader::new(&out).next()
            else {
                panic!("expected one string")
            };
            assert_eq!(base64_bytes(text).as_deref(), Some(bytes));
        }
        for bad in [&b"AP8"[..], b"AP8-", b"=", b"A==="] {
            assert_eq!(base64_bytes(bad), None);
        }
    }

    #[test]
    fn bytes_have_a_limit() {
        let bytes = Encoding::Bytes { bytes_max: 4 };
        check(bytes, Scalar::Bytes(b"\0\x01\xff"), Ok("AAH/"));
        check(bytes, Scalar::Bytes(b"\xfb\xff\0\0"), Ok("+/8AAA=="));
        check(bytes, Scalar::Bytes(b"12345"), Err(Refusal::TooLong { limit: 4 }));
    }
}
