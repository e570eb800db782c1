//! Character sets that are encodings of Unicode: utf8mb4, utf8mb3, ascii, ucs2, utf16, utf16le and
//! utf32.

use super::undecodable::UndecodableText;
use std::str::from_utf8;

/// Bytes from this one on begin a UTF-8 character of four bytes.
const FOUR_BYTE_LEAD: u8 = 0xF0;

pub(super) fn utf8mb4(bytes: &[u8]) -> Result<&str, UndecodableText> {
    from_utf8(bytes).map_err(|error| UndecodableText {
        offset: error.valid_up_to(),
    })
}

pub(super) fn utf8mb3(bytes: &[u8]) -> Result<&str, UndecodableText> {
    let four_bytes = |bytes: &[u8]| bytes.iter().position(|&byte| byte >= FOUR_BYTE_LEAD);
    match from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(text),
        Ok(text) => four_bytes(bytes).map_or(Ok(text), |offset| Err(UndecodableText { offset })),
        Err(error) => {
            let valid = error.valid_up_to();
            Err(UndecodableText {
                offset: four_bytes(&bytes[..valid]).unwrap_or(valid),
            })
        }
    }
}

pub(super) fn ascii(bytes: &[u8]) -> Result<&str, UndecodableText> {
    match bytes.iter().position(|byte| !byte.is_ascii()) {
        None => Ok(from_utf8(bytes).expect("ASCII is UTF-8")),
        Some(offset) => Err(UndecodableText { offset }),
    }
}

pub(super) fn ucs2<'a>(bytes: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, UndecodableText> {
    each_unit(bytes, scratch, |rest: &[u8]| {
        let &[high, low, ..] = rest else { return None };
        Some((char::from_u32(u32::from(u16::from_be_bytes([high, low])))?, 2))
    })
}

pub(super) fn utf16<'a>(
    bytes: &[u8],
    scratch: &'a mut Vec<u8>,
    unit: impl Fn([u8; 2]) -> u16,
) -> Result<&'a str, UndecodableText> {
    each_unit(bytes, scratch, |rest: &[u8]| {
        let units = rest.chunks_exact(2).take(2).map(|pair| unit([pair[0], pair[1]]));
        let character = char::decode_utf16(units).next()?.ok()?;
        Some((character, 2 * character.len_utf16()))
    })
}

pub(super) fn utf32<'a>(bytes: &[u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, UndecodableText> {
    each_unit(bytes, scratch, |rest: &[u8]| {
        let &[a, b, c, d, ..] = rest else { return None };
        Some((char::from_u32(u32::from_be_bytes([a, b, c, d]))?, 4))
    })
}

/// Writes to `scratch` the characters that `next` finds at the start of what remains, with their
/// lengths in bytes.
fn each_unit<'a>(
    bytes: &[u8],
    scratch: &'a mut Vec<u8>,
    next: impl Fn(&[u8]) -> Option<(char, usize)>,
) -> Result<&'a str, UndecodableText> {
    scratch.clear();
    let mut offset = 0;
    while offset < bytes.len() {
        let (character, length) = next(&bytes[offset..]).ok_or(UndecodableText { offset })?;
        scratch.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        offset += length;
    }
    Ok(from_utf8(scratch).expect("written from characters"))
}
