//! What servers said of sample texts, the edges of every encoding, and random bytes.

use super::{UndecodableText, of_collation};
use proptest::prelude::{any, proptest};
use spanferry_core::schema::charset::Charset;
use std::collections::BTreeSet;

/// Character set, bytes and the UTF-8 that MySQL 9.7.4 and MariaDB 10.5.23, 10.11.18 and 11.8.9
/// made of them, in hex.
const GOLDEN: &str = include_str!("../../charset-tables/golden.tsv");

fn decode(charset: Charset, bytes: &[u8]) -> Result<String, usize> {
    let mut scratch = b"earlier".to_vec();
    let decoded = super::decode(charset, bytes, &mut scratch).map(str::to_owned);
    decoded.map_err(|UndecodableText { offset }| offset)
}

fn check(charset: Charset, bytes: &[u8], expected: Result<&str, usize>) {
    assert_eq!(
        decode(charset, bytes),
        expected.map(str::to_owned),
        "{charset:?} {bytes:02X?}"
    );
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).expect("hex"))
        .collect()
}

#[test]
fn golden_samples() {
    let mut seen = BTreeSet::new();
    for line in GOLDEN.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let charset = Charset::from_name(fields[0]).expect("a known character set");
        let expected = String::from_utf8(from_hex(fields[2])).expect("the server wrote UTF-8");
        check(charset, &from_hex(fields[1]), Ok(&expected));
        seen.insert(charset.name());
    }
    assert_eq!(seen, Charset::ALL.iter().map(|charset| charset.name()).collect());
}

#[test]
fn edges_of_tables() {
    for charset in Charset::ALL {
        check(charset, b"", Ok(""));
    }
    check(
        Charset::Latin1,
        &[0x00, 0x3F, 0x81, 0x8D, 0x8F, 0x90, 0x9D, 0xFF],
        Ok("\0?\u{81}\u{8D}\u{8F}\u{90}\u{9D}ÿ"),
    );
    check(Charset::Ascii, b"ab\x80", Err(2));
    check(Charset::Swe7, b"[\x80", Err(1));
    check(Charset::Tis620, &[0xA1, 0xA0], Err(1));
    check(Charset::Big5, &[0xA4, 0xA4, 0xA1, 0x5A], Err(2));
    check(Charset::Big5, &[b'a', 0xA4], Err(1));
    check(Charset::Gbk, &[0x81, 0x7F], Err(0));
    check(Charset::Gbk, &[0x80], Err(0));
    check(Charset::Sjis, &[0x5C, 0x81, 0x5F, 0x7E], Ok("\\\\~"));
    check(Charset::Cp932, &[0x87, 0x82, 0xFA, 0x59], Ok("№№"));
    check(Charset::Ujis, &[0x8F, 0xB0, 0xA1, 0x8E], Err(3));
    check(Charset::Ujis, &[0x8F, 0xB0], Err(0));
    check(Charset::Eucjpms, &[0x00, 0xA8], Err(1));
    check(Charset::Euckr, &[0x81, 0x5B], Err(0));
}

#[test]
fn edges_of_gb18030() {
    let check = |bytes: &[u8], expected| check(Charset::Gb18030, bytes, expected);
    check(&[0x81, 0x30, 0x81, 0x30], Ok("\u{80}"));
    check(&[0x84, 0x31, 0xA4, 0x37], Ok("\u{FFFD}"));
    check(&[0x84, 0x31, 0xA4, 0x39], Ok("\u{FFFF}"));
    check(&[0x84, 0x31, 0xA5, 0x30], Err(0));
    check(&[0x90, 0x30, 0x81, 0x30], Ok("\u{10000}"));
    check(&[0xE3, 0x32, 0x9A, 0x35], Ok("\u{10FFFF}"));
    check(&[0xE3, 0x32, 0x9A, 0x36], Err(0));
    check(&[b'a', 0x81, 0x30, 0x81], Err(1));
    check(&[0x81, 0x30, 0x81, 0x40], Err(0));
}

#[test]
fn edges_of_unicode() {
    check(Charset::Utf8mb4, "a😀".as_bytes(), Ok("a😀"));
    check(Charset::Utf8mb4, &[b'a', 0xED, 0xA0, 0x80], Err(1));
    check(Charset::Utf8mb3, "é€\u{FFFF}".as_bytes(), Ok("é€\u{FFFF}"));
    check(Charset::Utf8mb3, "é😀".as_bytes(), Err(2));
    check(Charset::Utf8mb3, &[b'a', 0xF0, 0x9F, 0x98, 0x80, 0xFF], Err(1));
    check(Charset::Utf8mb3, &[b'a', 0xFF, 0xF0], Err(1));
    check(Charset::Ucs2, &[0, b'a', 0xD8, 0x3D, 0xDE, 0x00], Err(2));
    check(Charset::Ucs2, &[0, b'a', 0], Err(2));
    check(Charset::Utf16, &[0, b'a', 0xD8, 0x3D], Err(2));
    check(Charset::Utf16, &[0, b'a', 0xDE, 0x00], Err(2));
    check(Charset::Utf16, &[0xD8, 0x3D, 0, b'a'], Err(0));
    check(Charset::Utf16, &[0xFF, 0xFE, 0xFE, 0xFF], Ok("\u{FFFE}\u{FEFF}"));
    check(Charset::Utf16le, &[b'a', 0, b'b'], Err(2));
    check(Charset::Utf32, &[0, 0x10, 0xFF, 0xFF], Ok("\u{10FFFF}"));
    check(Charset::Utf32, &[0, 0x11, 0, 0], Err(0));
    check(Charset::Utf32, &[0, 0, 0, b'a', 0, 0, 0xD8, 0], Err(4));
}

#[test]
fn names_and_collations() {
    for charset in Charset::ALL {
        assert_eq!(Charset::from_name(charset.name()), Some(charset));
    }
    assert_eq!(Charset::from_name("UTF8"), Some(Charset::Utf8mb3));
    assert_eq!(Charset::from_name("filename"), None);
    let check = |id, expected| assert_eq!(of_collation(id), expected, "collation {id}");
    check(0, None);
    check(1, Some(Charset::Big5));
    check(8, Some(Charset::Latin1));
    check(33, Some(Charset::Utf8mb3));
    check(45, Some(Charset::Utf8mb4));
    check(63, Some(Charset::Binary));
    check(248, Some(Charset::Gb18030));
    check(255, Some(Charset::Utf8mb4));
    check(1057, Some(Charset::Utf8mb3));
    check(2048, Some(Charset::Utf8mb3));
    check(2304, Some(Charset::Utf8mb4));
    check(u16::MAX, None);
}

/// The claim of [`Charset::is_injective`], over every code of the character set.
#[test]
fn injective_where_said() {
    for charset in Charset::ALL {
        let mut seen = BTreeSet::new();
        let mut twice = false;
        for code in codes(charset.bytes_per_character_max()) {
            let mut scratch = Vec::new();
            let single = super::decode(charset, &code, &mut scratch)
                .ok()
                .filter(|text| text.chars().count() == 1);
            twice |= single.is_some_and(|text| !seen.insert(text.to_owned()));
        }
        assert_eq!(charset.is_injective(), !twice, "{charset:?}");
    }
}

/// Codes of one and two bytes, and of three where the character set has them.
fn codes(length_max: usize) -> impl Iterator<Item = Vec<u8>> {
    let ones = (0..=u8::MAX).map(|byte| vec![byte]);
    let twos = (0..=u16::MAX)
        .filter(move |_| length_max > 1)
        .map(|code| code.to_be_bytes().to_vec());
    let after_8f = |code: u16| [&[0x8F], &code.to_be_bytes()[..]].concat();
    ones.chain(twos)
        .chain((0..=u16::MAX).filter(move |_| length_max == 3).map(after_8f))
}

proptest! {
    #[test]
    fn random_bytes_decode_or_name_an_offset(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        for charset in Charset::ALL {
            if let Err(offset) = decode(charset, &bytes) {
                assert!(offset < bytes.len());
                assert!(decode(charset, &bytes[..offset]).is_ok(), "{charset:?}: what comes before is decodable");
            }
        }
    }
}

/// Decodes every code of up to three bytes of every character set.
#[test]
fn no_character_takes_more_bytes_in_utf8_than_is_said() {
    for charset in Charset::ALL {
        let most = usize::from(charset.utf8_bytes_per_character_max());
        let mut scratch = Vec::new();
        let mut check = |code: &[u8]| {
            if let Ok(text) = super::decode(charset, code, &mut scratch) {
                let widest = text.chars().map(char::len_utf8).max().unwrap_or(0);
                assert!(widest <= most, "{} {code:02x?}", charset.name());
            }
        };
        let bytes = || 0..=u8::MAX;
        bytes().for_each(|first| check(&[first]));
        bytes().for_each(|first| bytes().for_each(|second| check(&[first, second])));
        if charset.bytes_per_character_max() == 3 {
            // The three bytes of EUC begin with this one.
            bytes().for_each(|second| bytes().for_each(|third| check(&[0x8f, second, third])));
        }
    }
}
