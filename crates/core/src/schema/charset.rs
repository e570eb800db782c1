//! Character sets of MySQL-family servers by name, and what of them a mapping depends on.
//!
//! How their bytes are read is known to `spanferry-format` (`charset`), whose tests prove what is
//! said here of their characters.

/// A character set of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// ARMSCII-8, Armenian.
    Armscii8,
    /// US ASCII: bytes from 0x80 are undecodable.
    Ascii,
    /// Big5, traditional Chinese.
    Big5,
    /// No character set: bytes. `spanferry-format` decodes them as `utf8mb4`, as the server's
    /// `CONVERT` does.
    Binary,
    /// Windows Central European.
    Cp1250,
    /// Windows Cyrillic.
    Cp1251,
    /// Windows Arabic.
    Cp1256,
    /// Windows Baltic.
    Cp1257,
    /// DOS West European.
    Cp850,
    /// DOS Central European.
    Cp852,
    /// DOS Russian.
    Cp866,
    /// Shift JIS as Windows has it.
    Cp932,
    /// DEC West European.
    Dec8,
    /// EUC Japanese as Windows has it (`ujis` with the characters of cp932).
    Eucjpms,
    /// EUC-KR, Korean, with the extension of Windows code page 949.
    Euckr,
    /// GB 18030, Chinese. MySQL only.
    Gb18030,
    /// GB 2312, simplified Chinese.
    Gb2312,
    /// GBK, simplified Chinese.
    Gbk,
    /// GEOSTD8, Georgian.
    Geostd8,
    /// ISO 8859-7, Greek.
    Greek,
    /// ISO 8859-8, Hebrew.
    Hebrew,
    /// HP West European.
    Hp8,
    /// DOS Kamenicky, Czech and Slovak.
    Keybcs2,
    /// KOI8-R, Russian.
    Koi8r,
    /// KOI8-U, Ukrainian.
    Koi8u,
    /// The server's latin1: Windows code page 1252, with its five holes decoded to U+0081, U+008D,
    /// U+008F, U+0090, U+009D.
    Latin1,
    /// ISO 8859-2, Central European.
    Latin2,
    /// ISO 8859-9, Turkish.
    Latin5,
    /// ISO 8859-13, Baltic.
    Latin7,
    /// Mac Central European.
    Macce,
    /// Mac West European.
    Macroman,
    /// Shift JIS.
    Sjis,
    /// Seven-bit Swedish: the only one here whose lower half is not ASCII.
    Swe7,
    /// TIS 620, Thai.
    Tis620,
    /// The Basic Multilingual Plane in two bytes, big-endian.
    Ucs2,
    /// EUC Japanese.
    Ujis,
    /// UTF-16, big-endian, with surrogate pairs.
    Utf16,
    /// UTF-16, little-endian, with surrogate pairs.
    Utf16le,
    /// UTF-32, big-endian.
    Utf32,
    /// UTF-8 of the Basic Multilingual Plane, up to three bytes a character; `utf8` to older
    /// servers.
    Utf8mb3,
    /// UTF-8, up to four bytes a character.
    Utf8mb4,
}

impl Charset {
    /// Every character set of MySQL and MariaDB.
    #[rustfmt::skip]
    pub const ALL: [Self; 41] = [
        Self::Armscii8, Self::Ascii, Self::Big5, Self::Binary, Self::Cp1250, Self::Cp1251, Self::Cp1256, Self::Cp1257,
        Self::Cp850, Self::Cp852, Self::Cp866, Self::Cp932, Self::Dec8, Self::Eucjpms, Self::Euckr, Self::Gb18030,
        Self::Gb2312, Self::Gbk, Self::Geostd8, Self::Greek, Self::Hebrew, Self::Hp8, Self::Keybcs2, Self::Koi8r,
        Self::Koi8u, Self::Latin1, Self::Latin2, Self::Latin5, Self::Latin7, Self::Macce, Self::Macroman, Self::Sjis,
        Self::Swe7, Self::Tis620, Self::Ucs2, Self::Ujis, Self::Utf16, Self::Utf16le, Self::Utf32, Self::Utf8mb3,
        Self::Utf8mb4,
    ];

    /// The character set of that name, in any letter case; `utf8` means [`Charset::Utf8mb3`].
    pub fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("utf8") {
            return Some(Self::Utf8mb3);
        }
        Self::ALL
            .into_iter()
            .find(|charset| charset.name().eq_ignore_ascii_case(name))
    }

    /// The name servers give it (`utf8mb3` also where an older server says `utf8`).
    #[rustfmt::skip]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Armscii8 => "armscii8", Self::Ascii => "ascii", Self::Big5 => "big5", Self::Binary => "binary",
            Self::Cp1250 => "cp1250", Self::Cp1251 => "cp1251", Self::Cp1256 => "cp1256", Self::Cp1257 => "cp1257",
            Self::Cp850 => "cp850", Self::Cp852 => "cp852", Self::Cp866 => "cp866", Self::Cp932 => "cp932",
            Self::Dec8 => "dec8", Self::Eucjpms => "eucjpms", Self::Euckr => "euckr", Self::Gb18030 => "gb18030",
            Self::Gb2312 => "gb2312", Self::Gbk => "gbk", Self::Geostd8 => "geostd8", Self::Greek => "greek",
            Self::Hebrew => "hebrew", Self::Hp8 => "hp8", Self::Keybcs2 => "keybcs2", Self::Koi8r => "koi8r",
            Self::Koi8u => "koi8u", Self::Latin1 => "latin1", Self::Latin2 => "latin2", Self::Latin5 => "latin5",
            Self::Latin7 => "latin7", Self::Macce => "macce", Self::Macroman => "macroman", Self::Sjis => "sjis",
            Self::Swe7 => "swe7", Self::Tis620 => "tis620", Self::Ucs2 => "ucs2", Self::Ujis => "ujis",
            Self::Utf16 => "utf16", Self::Utf16le => "utf16le", Self::Utf32 => "utf32", Self::Utf8mb3 => "utf8mb3",
            Self::Utf8mb4 => "utf8mb4",
        }
    }

    /// The most bytes one character takes (`maxlen` of `information_schema.character_sets`).
    #[rustfmt::skip]
    pub const fn bytes_per_character_max(self) -> usize {
        match self {
            Self::Gb18030 | Self::Utf16 | Self::Utf16le | Self::Utf32 | Self::Utf8mb4 => 4,
            Self::Eucjpms | Self::Ujis | Self::Utf8mb3 => 3,
            Self::Big5 | Self::Cp932 | Self::Euckr | Self::Gb2312 | Self::Gbk | Self::Sjis | Self::Ucs2 => 2,
            Self::Armscii8 | Self::Ascii | Self::Binary | Self::Cp1250 | Self::Cp1251 | Self::Cp1256 | Self::Cp1257
            | Self::Cp850 | Self::Cp852 | Self::Cp866 | Self::Dec8 | Self::Geostd8 | Self::Greek | Self::Hebrew
            | Self::Hp8 | Self::Keybcs2 | Self::Koi8r | Self::Koi8u | Self::Latin1 | Self::Latin2 | Self::Latin5
            | Self::Latin7 | Self::Macce | Self::Macroman | Self::Swe7 | Self::Tis620 => 1,
        }
    }

    /// The most bytes that one character takes once it is decoded to UTF-8.
    #[rustfmt::skip]
    pub const fn utf8_bytes_per_character_max(self) -> u8 {
        match self {
            Self::Ascii => 1,
            Self::Binary | Self::Gb18030 | Self::Utf16 | Self::Utf16le | Self::Utf32 | Self::Utf8mb4 => 4,
            Self::Armscii8 | Self::Big5 | Self::Cp1250 | Self::Cp1251 | Self::Cp1256 | Self::Cp1257 | Self::Cp850
            | Self::Cp852 | Self::Cp866 | Self::Cp932 | Self::Dec8 | Self::Eucjpms | Self::Euckr | Self::Gb2312
            | Self::Gbk | Self::Geostd8 | Self::Greek | Self::Hebrew | Self::Hp8 | Self::Keybcs2 | Self::Koi8r
            | Self::Koi8u | Self::Latin1 | Self::Latin2 | Self::Latin5 | Self::Latin7 | Self::Macce
            | Self::Macroman | Self::Sjis | Self::Swe7 | Self::Tis620 | Self::Ucs2 | Self::Ujis
            | Self::Utf8mb3 => 3,
        }
    }

    /// Whether no two different byte strings decode to the same text. Where they do, distinct keys
    /// of the source could become one key of the target: armscii8 has six characters twice, sjis
    /// and ujis the backslash (ujis the tilde too), cp932 and eucjpms the NEC and IBM duplicates.
    #[rustfmt::skip]
    pub const fn is_injective(self) -> bool {
        match self {
            Self::Armscii8 | Self::Cp932 | Self::Eucjpms | Self::Sjis | Self::Ujis => false,
            Self::Ascii | Self::Big5 | Self::Binary | Self::Cp1250 | Self::Cp1251 | Self::Cp1256 | Self::Cp1257
            | Self::Cp850 | Self::Cp852 | Self::Cp866 | Self::Dec8 | Self::Euckr | Self::Gb18030 | Self::Gb2312
            | Self::Gbk | Self::Geostd8 | Self::Greek | Self::Hebrew | Self::Hp8 | Self::Keybcs2 | Self::Koi8r
            | Self::Koi8u | Self::Latin1 | Self::Latin2 | Self::Latin5 | Self::Latin7 | Self::Macce | Self::Macroman
            | Self::Swe7 | Self::Tis620 | Self::Ucs2 | Self::Utf16 | Self::Utf16le | Self::Utf32 | Self::Utf8mb3
            | Self::Utf8mb4 => true,
        }
    }
}
