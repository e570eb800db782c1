//! The collation that a character set has if none is named.

use spanferry_core::schema::charset::Charset;

/// The default collation of a character set, as `information_schema.character_sets` gives it
/// (measured on MySQL 9.7 and MariaDB 10.11).
///
/// MySQL before 8.0 had `utf8mb4_general_ci` for utf8mb4. MariaDB from 11.6 on has `uca1400`
/// collations for Unicode, and always prints them.
pub fn default_collation(charset: Charset, mariadb: bool) -> String {
    let ending = match charset {
        Charset::Binary => return "binary".to_owned(),
        Charset::Utf8mb4 if !mariadb => "0900_ai_ci",
        Charset::Big5 | Charset::Gb2312 | Charset::Gbk | Charset::Gb18030 => "chinese_ci",
        Charset::Dec8 | Charset::Latin1 | Charset::Swe7 => "swedish_ci",
        Charset::Hp8 => "english_ci",
        Charset::Ujis | Charset::Sjis | Charset::Cp932 | Charset::Eucjpms => "japanese_ci",
        Charset::Tis620 => "thai_ci",
        Charset::Euckr => "korean_ci",
        Charset::Latin5 => "turkish_ci",
        Charset::Armscii8
        | Charset::Ascii
        | Charset::Cp1250
        | Charset::Cp1251
        | Charset::Cp1256
        | Charset::Cp1257
        | Charset::Cp850
        | Charset::Cp852
        | Charset::Cp866
        | Charset::Geostd8
        | Charset::Greek
        | Charset::Hebrew
        | Charset::Keybcs2
        | Charset::Koi8r
        | Charset::Koi8u
        | Charset::Latin2
        | Charset::Latin7
        | Charset::Macce
        | Charset::Macroman
        | Charset::Ucs2
        | Charset::Utf16
        | Charset::Utf16le
        | Charset::Utf32
        | Charset::Utf8mb3
        | Charset::Utf8mb4 => "general_ci",
    };
    format!("{}_{ending}", charset.name())
}
