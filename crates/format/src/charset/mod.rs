//! The exact UTF-8 text of bytes in a server's character set, and which character set a collation
//! id means.
//!
//! The text is what `CONVERT(x USING utf8mb4)` of MySQL 9.7 and MariaDB 10.5, 10.11 and 11.8
//! yields. Bytes for which the servers write `?`, or which they call ill-formed, are refused. The
//! tables come from those servers (see `charset-tables/README.md`); on every code that text can
//! hold they agree, so there is no flag for the server. MariaDB alone decodes a lone surrogate of
//! ucs2 or utf32, to bytes that are not UTF-8: refused.

mod collations;
mod grid;
mod single_byte;
mod tabled;
#[cfg(test)]
mod tests;
mod undecodable;
mod unicode;

use spanferry_core::schema::charset::Charset;

use tabled::CodeTable;
pub use undecodable::UndecodableText;

/// The character set of a collation id, as the binary log's table map and result set metadata carry
/// it. No id means one character set to MySQL and another to MariaDB.
pub fn of_collation(id: u16) -> Option<Charset> {
    let ranges = collations::COLLATIONS;
    let index = ranges.partition_point(|&(_, last, _)| last < id);
    let &(first, _, charset) = ranges.get(index)?;
    (first <= id).then_some(charset)
}

/// The text of `bytes`, borrowed from them where they are that text already, otherwise from
/// `scratch`, whose content is replaced. Never a replacement character for what cannot be decoded.
pub fn decode<'a>(
    charset: Charset,
    bytes: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a str, UndecodableText> {
    match Encoding::of(charset) {
        Encoding::Utf8 => unicode::utf8mb4(bytes),
        Encoding::Utf8ThreeBytes => unicode::utf8mb3(bytes),
        Encoding::Ascii => unicode::ascii(bytes),
        Encoding::Ucs2 => unicode::ucs2(bytes, scratch),
        Encoding::Utf16BigEndian => unicode::utf16(bytes, scratch, u16::from_be_bytes),
        Encoding::Utf16LittleEndian => unicode::utf16(bytes, scratch, u16::from_le_bytes),
        Encoding::Utf32 => unicode::utf32(bytes, scratch),
        Encoding::Tabled(table) => table.decode(bytes, scratch),
    }
}

/// How the bytes of a character set are read.
#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf8ThreeBytes,
    Ascii,
    Ucs2,
    Utf16BigEndian,
    Utf16LittleEndian,
    Utf32,
    Tabled(&'static CodeTable),
}

impl Encoding {
    const fn of(charset: Charset) -> Self {
        match charset {
            Charset::Utf8mb4 | Charset::Binary => Self::Utf8,
            Charset::Utf8mb3 => Self::Utf8ThreeBytes,
            Charset::Ascii => Self::Ascii,
            Charset::Ucs2 => Self::Ucs2,
            Charset::Utf16 => Self::Utf16BigEndian,
            Charset::Utf16le => Self::Utf16LittleEndian,
            Charset::Utf32 => Self::Utf32,
            Charset::Armscii8 => Self::Tabled(&tabled::ARMSCII8),
            Charset::Big5 => Self::Tabled(&tabled::BIG5),
            Charset::Cp1250 => Self::Tabled(&tabled::CP1250),
            Charset::Cp1251 => Self::Tabled(&tabled::CP1251),
            Charset::Cp1256 => Self::Tabled(&tabled::CP1256),
            Charset::Cp1257 => Self::Tabled(&tabled::CP1257),
            Charset::Cp850 => Self::Tabled(&tabled::CP850),
            Charset::Cp852 => Self::Tabled(&tabled::CP852),
            Charset::Cp866 => Self::Tabled(&tabled::CP866),
            Charset::Cp932 => Self::Tabled(&tabled::CP932),
            Charset::Dec8 => Self::Tabled(&tabled::DEC8),
            Charset::Eucjpms => Self::Tabled(&tabled::EUCJPMS),
            Charset::Euckr => Self::Tabled(&tabled::EUCKR),
            Charset::Gb18030 => Self::Tabled(&tabled::GB18030),
            Charset::Gb2312 => Self::Tabled(&tabled::GB2312),
            Charset::Gbk => Self::Tabled(&tabled::GBK),
            Charset::Geostd8 => Self::Tabled(&tabled::GEOSTD8),
            Charset::Greek => Self::Tabled(&tabled::GREEK),
            Charset::Hebrew => Self::Tabled(&tabled::HEBREW),
            Charset::Hp8 => Self::Tabled(&tabled::HP8),
            Charset::Keybcs2 => Self::Tabled(&tabled::KEYBCS2),
            Charset::Koi8r => Self::Tabled(&tabled::KOI8R),
            Charset::Koi8u => Self::Tabled(&tabled::KOI8U),
            Charset::Latin1 => Self::Tabled(&tabled::LATIN1),
            Charset::Latin2 => Self::Tabled(&tabled::LATIN2),
            Charset::Latin5 => Self::Tabled(&tabled::LATIN5),
            Charset::Latin7 => Self::Tabled(&tabled::LATIN7),
            Charset::Macce => Self::Tabled(&tabled::MACCE),
            Charset::Macroman => Self::Tabled(&tabled::MACROMAN),
            Charset::Sjis => Self::Tabled(&tabled::SJIS),
            Charset::Swe7 => Self::Tabled(&tabled::SWE7),
            Charset::Tis620 => Self::Tabled(&tabled::TIS620),
            Charset::Ujis => Self::Tabled(&tabled::UJIS),
        }
    }
}
