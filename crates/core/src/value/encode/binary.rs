//! BYTES: Base64, as Spanner's wire form spells them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Refusal;
use super::limit::{CELL_BYTES_MAX, check_bytes};
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn bytes(scalar: Scalar<'_>, bytes_max: u32, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Scalar::Bytes(bytes) = scalar else {
        return form("bytes");
    };
    check_bytes(bytes.len(), bytes_max.min(CELL_BYTES_MAX))?;
    let length = bytes.len().div_ceil(3) * 4;
    list_value::put_string_head(out, length);
    let at = out.len();
    out.resize(at + length, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[at..]);
    assert_eq!(written, Ok(length), "the room is of the length of the text");
    Ok(())
}

/// The bytes of a Base64 text as `bytes` and Spanner write it.
pub(crate) fn base64_bytes(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
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
        for bad in [&b"AP8"[..], b"AP8-", b"=", b"A===", b"AP9="] {
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
