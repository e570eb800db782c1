//! Binary decimals, in row images as in binary JSON.

use super::event::Malformed;

/// Digits in the high and low groups of a decimal take this many bytes.
const DIGIT_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];

/// Most digits of a decimal in the server's memory, nine groups of nine. A column has 65 at most;
/// binary JSON keeps what an expression left, with the whole part's empty digits up to the next
/// group.
const DIGITS_MAX: usize = 81;

/// Bytes of DECIMAL(precision, scale) in a row image (`decimal_bin_size`).
pub(super) fn decimal_bytes(precision: usize, scale: usize) -> Option<usize> {
    if precision > DIGITS_MAX || precision == 0 {
        return None;
    }
    let whole = precision.checked_sub(scale)?;
    Some(whole / 9 * 4 + DIGIT_BYTES[whole % 9] + scale / 9 * 4 + DIGIT_BYTES[scale % 9])
}

/// The text of a binary decimal (`bin2decimal`): no leading zeros but one before the point, all
/// digits of the scale.
pub(super) fn decimal_text(
    bytes: &[u8],
    precision: usize,
    scale: usize,
    text: &mut Vec<u8>,
) -> Result<(), Malformed> {
    if decimal_bytes(precision, scale) != Some(bytes.len()) {
        return Err(Malformed("a decimal of unexpected width"));
    }
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 == 0);
    let mut digits = Vec::with_capacity(DIGITS_MAX);
    let whole = precision - scale;
    let mut at = 0;
    let groups = [whole % 9]
        .into_iter()
        .chain(std::iter::repeat_n(9, whole / 9 + scale / 9))
        .chain([scale % 9]);
    for group in groups {
        let width = DIGIT_BYTES[group];
        let mut value = 0_u64;
        for (index, byte) in bytes.iter().enumerate().skip(at).take(width) {
            let byte = byte ^ if index == 0 { 0x80 } else { 0 };
            value = value << 8 | u64::from(if negative { !byte } else { byte });
        }
        at += width;
        let start = digits.len();
        digits.resize(start + group, b'0');
        for digit in digits[start..].iter_mut().rev() {
            *digit = b'0' + u8::try_from(value % 10).expect("a digit");
            value /= 10;
        }
        if value != 0 {
            return Err(Malformed("a decimal group with too many digits"));
        }
    }
    if negative && digits.iter().any(|digit| *digit != b'0') {
        text.push(b'-');
    }
    let (whole_digits, fraction) = digits.split_at(whole);
    let leading = whole_digits.iter().take_while(|digit| **digit == b'0').count();
    text.extend_from_slice(if leading == whole {
        b"0"
    } else {
        &whole_digits[leading..]
    });
    if scale > 0 {
        text.push(b'.');
        text.extend_from_slice(fraction);
    }
    Ok(())
}
