//! MariaDB's UUID and INET types, as the server prints them.

use std::fmt::Write as _;

use super::event::{Malformed, big_endian};

/// The 16 bytes of a value from whose end zeros may have been stripped.
pub(super) fn padded(bytes: &[u8]) -> Result<[u8; 16], Malformed> {
    let mut full = [0_u8; 16];
    full.get_mut(..bytes.len())
        .ok_or(Malformed("a fixed value above 16 bytes"))?
        .copy_from_slice(bytes);
    Ok(full)
}

/// An IPv4 address in the first four bytes.
pub(super) fn inet4_text(bytes: &[u8; 16], text: &mut String) {
    dotted(&bytes[..4], text);
}

pub(super) fn uuid_text(bytes: &[u8; 16], text: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        push(text, format_args!("{byte:02x}"));
    }
}

/// An IPv6 address as MariaDB's `Inet6::to_string` prints it: the first longest run of zero groups,
/// even of one, becomes `::`; the last four bytes are dotted behind a run of six, or of five and
/// `ffff`.
pub(super) fn inet6_text(bytes: &[u8; 16], text: &mut String) {
    let groups: Vec<u64> = bytes.chunks(2).map(big_endian).collect();
    let (mut start, mut length) = (groups.len(), 0);
    for first in 0..groups.len() {
        let run = groups[first..].iter().take_while(|group| **group == 0).count();
        if run > length {
            (start, length) = (first, run);
        }
    }
    let ends_dotted = start == 0 && (length == 6 || (length == 5 && groups[5] == 0xffff));
    let mut index = 0;
    while index < groups.len() {
        if index == start {
            text.push_str(if index == 0 { "::" } else { ":" });
            index += length;
            continue;
        }
        if index == 6 && ends_dotted {
            return dotted(&bytes[12..], text);
        }
        push(text, format_args!("{:x}", groups[index]));
        index += 1;
        if index < groups.len() {
            text.push(':');
        }
    }
}

fn dotted(bytes: &[u8], text: &mut String) {
    for (index, byte) in bytes.iter().enumerate() {
        let point = if index == 0 { "" } else { "." };
        push(text, format_args!("{point}{byte}"));
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("writing to a String does not fail");
}
