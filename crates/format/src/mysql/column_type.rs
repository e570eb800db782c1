//! `COLUMN_TYPE` texts of information_schema, and types as SHOW CREATE TABLE prints them, parsed
//! exactly.

use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;

/// What a catalog or a definition says about a column's type.
#[derive(Debug, Clone, Copy)]
pub struct TypeText<'a> {
    /// `DATA_TYPE`, such as `int`.
    pub data_type: &'a str,
    /// `COLUMN_TYPE`, such as `int(10) unsigned`.
    pub column_type: &'a str,
    /// `CHARACTER_SET_NAME`, if it has one.
    pub charset: Option<&'a str>,
    /// `COLLATION_NAME`, if it has one.
    pub collation: Option<&'a str>,
    /// `CHARACTER_MAXIMUM_LENGTH`.
    pub characters: Option<u64>,
    /// MariaDB: the column has a `json_valid` check.
    pub json_checked: bool,
}

/// Widest BINARY that a server has: each value is padded to it.
const BINARY_BYTES_MAX: u32 = 255;

/// The type, `Unknown` with its text if any part of it is not understood.
pub fn parse(text: TypeText<'_>) -> MysqlType {
    known(text).unwrap_or_else(|| MysqlType::Unknown {
        text: text.column_type.to_owned(),
    })
}

/// Whether the server marks a column as stored in the format of before MySQL 5.6.
pub fn is_old_temporal(column_type: &str) -> bool {
    column_type.ends_with("/* mariadb-5.3 */")
}

fn known(text: TypeText<'_>) -> Option<MysqlType> {
    let attributes = text
        .column_type
        .rsplit_once(')')
        .map_or(text.column_type, |(_, attributes)| attributes);
    let unsigned = attributes.contains("unsigned") || attributes.contains("zerofill");
    let integer = |bits| Some(MysqlType::Integer { bits, unsigned });
    let fraction = || {
        numbers(text.column_type).map(|list| u8::try_from(list.first().copied().unwrap_or(0)).unwrap_or(0))
    };
    Some(match text.data_type.to_ascii_lowercase().as_str() {
        "tinyint" => return integer(8),
        "smallint" => return integer(16),
        "mediumint" => return integer(24),
        "int" => return integer(32),
        "bigint" => return integer(64),
        "decimal" => match numbers(text.column_type)?.as_slice() {
            [precision, scale] => MysqlType::Decimal {
                precision: u8::try_from(*precision).ok()?,
                scale: u8::try_from(*scale).ok()?,
            },
            _ => return None,
        },
        "float" => MysqlType::Float,
        "double" => MysqlType::Double,
        "bit" => MysqlType::Bit {
            bits: u8::try_from(*numbers(text.column_type)?.first()?).ok()?,
        },
        "char" | "varchar" => MysqlType::Varchar {
            characters: u32::try_from(text.characters?).ok()?,
            charset: Charset::from_name(text.charset?)?,
            collation: text.collation?.to_owned(),
        },
        "longtext" if text.json_checked => MysqlType::JsonText {
            charset: Charset::from_name(text.charset?)?,
        },
        "tinytext" | "text" | "mediumtext" | "longtext" => MysqlType::Text {
            charset: Charset::from_name(text.charset?)?,
            collation: text.collation?.to_owned(),
        },
        "binary" => MysqlType::Binary {
            bytes: u32::try_from(text.characters?)
                .ok()
                .filter(|bytes| *bytes <= BINARY_BYTES_MAX)?,
        },
        "varbinary" => MysqlType::Varbinary {
            bytes: u32::try_from(text.characters?).ok()?,
        },
        "tinyblob" => MysqlType::Blob { bytes_max: 255 },
        "blob" => MysqlType::Blob { bytes_max: 65_535 },
        "mediumblob" => MysqlType::Blob {
            bytes_max: 16_777_215,
        },
        "longblob" => MysqlType::Blob { bytes_max: u32::MAX },
        "enum" => MysqlType::Enum {
            labels: labels(text.column_type)?,
            charset: label_charset(text)?,
        },
        "set" => MysqlType::Set {
            labels: labels(text.column_type)?,
            charset: label_charset(text)?,
        },
        "json" => MysqlType::Json,
        "date" => MysqlType::Date,
        "datetime" => MysqlType::DateTime {
            fraction: fraction()?,
        },
        "timestamp" => MysqlType::Timestamp {
            fraction: fraction()?,
        },
        "time" => MysqlType::Time {
            fraction: fraction()?,
        },
        "year" => MysqlType::Year,
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geomcollection" | "geometrycollection" => MysqlType::Geometry,
        "vector" => MysqlType::Vector {
            dimensions: *numbers(text.column_type)?.first()?,
        },
        "uuid" => MysqlType::Uuid,
        "inet4" => MysqlType::Inet4,
        "inet6" => MysqlType::Inet6,
        _ => return None,
    })
}

/// MySQL names no character set for a binary ENUM or SET, MariaDB names `binary`.
fn label_charset(text: TypeText<'_>) -> Option<Charset> {
    Charset::from_name(text.charset.unwrap_or("binary"))
}

/// The numbers in the parentheses, none if there are no parentheses.
fn numbers(text: &str) -> Option<Vec<u32>> {
    let Some((_, rest)) = text.split_once('(') else {
        return Some(Vec::new());
    };
    let (inside, _) = rest.split_once(')')?;
    inside
        .split(',')
        .map(|number| number.trim().parse().ok())
        .collect()
}

/// The labels of `enum('a','b')`: quotes are doubled; backslash, newline, carriage return, zero
/// byte and Ctrl-Z follow a backslash.
fn labels(text: &str) -> Option<Vec<String>> {
    let mut rest = text.split_once('(')?.1;
    let mut labels = Vec::new();
    loop {
        let mut label = String::new();
        let mut letters = rest.strip_prefix('\'')?.char_indices();
        let end = loop {
            match letters.next()? {
                (_, '\'') if letters.as_str().starts_with('\'') => {
                    letters.next();
                    label.push('\'');
                }
                (at, '\'') => break at + 2,
                (_, '\\') => label.push(match letters.next()?.1 {
                    'n' => '\n',
                    'r' => '\r',
                    '0' => '\0',
                    'Z' => '\u{1a}',
                    't' => '\t',
                    other => other,
                }),
                (_, other) => label.push(other),
            }
        };
        labels.push(label);
        rest = &rest[end..];
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.starts_with(')').then_some(labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(column_type: &str, expected: Option<MysqlType>) {
        let data_type = column_type.split(['(', ' ']).next().unwrap();
        let text = TypeText {
            data_type,
            column_type,
            charset: Some("latin1"),
            collation: Some("latin1_bin"),
            characters: Some(7),
            json_checked: false,
        };
        let expected = expected.unwrap_or(MysqlType::Unknown {
            text: column_type.to_owned(),
        });
        assert_eq!(parse(text), expected, "{column_type}");
    }

    #[test]
    fn types() {
        check(
            "int",
            Some(MysqlType::Integer {
                bits: 32,
                unsigned: false,
            }),
        );
        check(
            "int(5) unsigned zerofill",
            Some(MysqlType::Integer {
                bits: 32,
                unsigned: true,
            }),
        );
        check(
            "bigint(20) unsigned",
            Some(MysqlType::Integer {
                bits: 64,
                unsigned: true,
            }),
        );
        check(
            "decimal(65,30)",
            Some(MysqlType::Decimal {
                precision: 65,
                scale: 30,
            }),
        );
        check("datetime", Some(MysqlType::DateTime { fraction: 0 }));
        check("time(6)", Some(MysqlType::Time { fraction: 6 }));
        check("bit(64)", Some(MysqlType::Bit { bits: 64 }));
        let compressed = "varchar(7) /*M!100301 COMPRESSED*/";
        check(
            compressed,
            Some(MysqlType::Varchar {
                characters: 7,
                charset: Charset::Latin1,
                collation: "latin1_bin".to_owned(),
            }),
        );
        check("xmltype", None);
        let labels = |labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Some(MysqlType::Enum {
                labels,
                charset: Charset::Latin1,
            })
        };
        check(
            r"enum('x''y','b\\c','d\ne','f,g','é','')",
            labels(&["x'y", "b\\c", "d\ne", "f,g", "é", ""]),
        );
        check("enum('''','(',')')", labels(&["'", "(", ")"]));
        check("enum('unsigned)", None);
    }

    /// Values are padded to the width that the server gives.
    #[test]
    fn no_binary_is_wider_than_a_server_has_it() {
        let parsed = |characters: u64| {
            parse(TypeText {
                data_type: "binary",
                column_type: "binary",
                charset: None,
                collation: None,
                characters: Some(characters),
                json_checked: false,
            })
        };
        assert_eq!(parsed(255), MysqlType::Binary { bytes: 255 });
        for characters in [256, u64::from(u32::MAX), u64::MAX] {
            assert!(matches!(parsed(characters), MysqlType::Unknown { .. }));
        }
    }
}
