//! UUIDs, in lower case.

use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::Refusal;
use super::refusal::form;
use crate::value::scalar::Scalar;
use crate::wire::list_value;

pub(super) fn uuid(scalar: Scalar<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let text = match scalar {
        Scalar::Text(text) => text,
        Scalar::Uuid(bytes) => {
            list_value::put_string(out, &self::text(bytes));
            return Ok(());
        }
        _ => return form("UUID"),
    };
    let is_dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    let fits = |(index, byte): (usize, u8)| {
        if is_dash(index) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    if text.len() != 36 || !text.bytes().enumerate().all(fits) {
        return form("UUID");
    }
    list_value::put_string_head(out, 36);
    out.extend(text.bytes().map(|byte| byte.to_ascii_lowercase()));
    Ok(())
}

/// The text of a UUID's bytes: 8, 4, 4, 4 and 12 hexadecimal digits in lower case.
pub(super) fn text(bytes: [u8; 16]) -> [u8; 36] {
    let mut text = [0; Hyphenated::LENGTH];
    Uuid::from_bytes(bytes).hyphenated().encode_lower(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::encode::Encoding;
    use crate::value::encode::check::check;

    #[test]
    fn uuids() {
        let text = "6CCD780c-baba-1026-9564-5b8c656024db";
        check(
            Encoding::Uuid,
            Scalar::Text(text),
            Ok("6ccd780c-baba-1026-9564-5b8c656024db"),
        );
        let bytes = 0x6ccd_780c_baba_1026_9564_5b8c_6560_24db_u128.to_be_bytes();
        check(
            Encoding::Uuid,
            Scalar::Uuid(bytes),
            Ok("6ccd780c-baba-1026-9564-5b8c656024db"),
        );
        check(
            Encoding::String { characters_max: 36 },
            Scalar::Uuid(bytes),
            Ok("6ccd780c-baba-1026-9564-5b8c656024db"),
        );
        for bad in [
            "",
            &text[1..],
            "6ccd780cxbaba-1026-9564-5b8c656024db",
            "gccd780c-baba-1026-9564-5b8c656024db",
        ] {
            check(Encoding::Uuid, Scalar::Text(bad), form("UUID"));
        }
    }
}
