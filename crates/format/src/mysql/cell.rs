//! Cells as MySQL and MariaDB print them, as scalars, without allocating.

use spanferry_core::schema::charset::Charset;
use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::value::encode::Refusal;
use spanferry_core::value::scalar::Scalar;

use crate::cell::{date, date_time, digits, finite_float, time, utf8, without_leading_zeros};
use crate::charset::decode;

/// Reads a cell: the text that the server prints for a value of this type, in the character set of
/// its column; BIT and binary types as their bytes. A FLOAT must be printed as `f * 1e0`. `scratch`
/// takes text that is not UTF-8 already.
pub fn scalar<'a>(ty: &MysqlType, cell: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Scalar<'a>, Refusal> {
    Ok(match ty {
        MysqlType::Integer { .. } => Scalar::Digits(without_leading_zeros(cell)),
        MysqlType::Decimal { .. } => Scalar::Decimal(without_leading_zeros(cell)),
        MysqlType::Float => Scalar::Float32(float32(cell)?),
        MysqlType::Double => Scalar::Float64(finite_float(cell)?),
        MysqlType::Bit { bits } => Scalar::Bytes(full_width(cell, usize::from(bits.div_ceil(8)), scratch)),
        MysqlType::Varchar { charset, .. }
        | MysqlType::Text { charset, .. }
        | MysqlType::Enum { charset, .. }
        | MysqlType::Set { charset, .. } => Scalar::Text(text(*charset, cell, scratch)?),
        MysqlType::Binary { .. }
        | MysqlType::Varbinary { .. }
        | MysqlType::Blob { .. }
        | MysqlType::Geometry
        | MysqlType::Vector { .. } => Scalar::Bytes(cell),
        MysqlType::Json => Scalar::Json(utf8(cell)?),
        MysqlType::JsonText { charset } => Scalar::Json(text(*charset, cell, scratch)?),
        MysqlType::Date => Scalar::Date(date(cell).ok_or(Refusal::Form { expected: "date" })?),
        MysqlType::DateTime { .. } | MysqlType::Timestamp { .. } => {
            Scalar::DateTime(date_time(cell).ok_or(Refusal::Form {
                expected: "date with time",
            })?)
        }
        MysqlType::Time { .. } => Scalar::Time(time(cell).ok_or(Refusal::Form { expected: "time" })?),
        MysqlType::Year => Scalar::Signed(i64::from(digits(cell).ok_or(Refusal::Form { expected: "year" })?)),
        MysqlType::Uuid | MysqlType::Inet4 | MysqlType::Inet6 => Scalar::Text(utf8(cell)?),
        MysqlType::Unknown { .. } => {
            return Err(Refusal::Form {
                expected: "known type",
            });
        }
    })
}

/// The text of `f * 1e0` is the shortest that gives the same double, which is exact for every
/// FLOAT.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the double is one that came from a float; anything else is refused"
)]
fn float32(cell: &[u8]) -> Result<f32, Refusal> {
    let wide = finite_float(cell)?;
    let narrow = wide as f32;
    if f64::from(narrow).to_bits() == wide.to_bits() {
        Ok(narrow)
    } else {
        Err(Refusal::Form {
            expected: "4-byte float",
        })
    }
}

/// The text of a cell, which arrives in its column's own character set.
fn text<'a>(charset: Charset, cell: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a str, Refusal> {
    decode(charset, cell, scratch).map_err(|error| Refusal::Undecodable {
        charset: charset.name(),
        offset: error.offset,
    })
}

fn full_width<'a>(cell: &'a [u8], width: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if cell.len() >= width {
        return cell;
    }
    scratch.clear();
    scratch.resize(width - cell.len(), 0);
    scratch.extend_from_slice(cell);
    scratch
}

#[cfg(test)]
mod tests {
    use super::*;
    use spanferry_core::value::scalar::{Date, DateTime, Time};

    fn check(ty: &MysqlType, cell: &str, expected: Option<Scalar<'_>>) {
        let mut scratch = Vec::new();
        assert_eq!(scalar(ty, cell.as_bytes(), &mut scratch).ok(), expected, "{cell}");
    }

    #[test]
    fn json_text_is_read_in_its_own_charset() {
        let mut scratch = Vec::new();
        let mut check = |charset, cell: &[u8], expected: Option<&str>| {
            let found = scalar(&MysqlType::JsonText { charset }, cell, &mut scratch);
            assert_eq!(found.ok(), expected.map(Scalar::Json), "{charset:?}");
        };
        check(Charset::Utf8mb4, "\"é\"".as_bytes(), Some("\"é\""));
        check(Charset::Latin1, b"\"\xe9\"", Some("\"é\""));
        check(Charset::Utf16, b"\0\"\0\xe9\0\"", Some("\"é\""));
        check(Charset::Sjis, b"\"\x83\x5c\"", Some("\"ソ\""));
        check(Charset::Sjis, b"\"\x81\xad\"", None);
        check(Charset::Utf8mb4, b"\"\xe9\"", None);
    }

    #[test]
    fn cells() {
        let day = |year, month, day| Date { year, month, day };
        check(
            &MysqlType::Integer {
                bits: 32,
                unsigned: true,
            },
            "00005",
            Some(Scalar::Digits(b"5")),
        );
        check(
            &MysqlType::Integer {
                bits: 32,
                unsigned: true,
            },
            "00000",
            Some(Scalar::Digits(b"0")),
        );
        check(
            &MysqlType::Integer {
                bits: 32,
                unsigned: false,
            },
            "-7",
            Some(Scalar::Digits(b"-7")),
        );
        check(
            &MysqlType::Decimal {
                precision: 5,
                scale: 2,
            },
            "000.50",
            Some(Scalar::Decimal(b"0.50")),
        );
        check(
            &MysqlType::Float,
            "0.10000000149011612",
            Some(Scalar::Float32(0.1)),
        );
        check(&MysqlType::Float, "0.1", None);
        check(&MysqlType::Double, "5e-324", Some(Scalar::Float64(5e-324)));
        check(&MysqlType::Bit { bits: 10 }, "A", Some(Scalar::Bytes(b"\0A")));
        check(&MysqlType::Date, "0000-00-00", Some(Scalar::Date(day(0, 0, 0))));
        check(&MysqlType::Date, "2024-2-29", None);
        let moment = DateTime {
            date: day(2024, 2, 29),
            hour: 23,
            minute: 59,
            second: 58,
            nanosecond: 5_000,
        };
        check(
            &MysqlType::DateTime { fraction: 6 },
            "2024-02-29 23:59:58.000005",
            Some(Scalar::DateTime(moment)),
        );
        let span = Time {
            negative: true,
            hours: 838,
            minutes: 59,
            seconds: 59,
            microseconds: 500_000,
        };
        check(
            &MysqlType::Time { fraction: 1 },
            "-838:59:59.5",
            Some(Scalar::Time(span)),
        );
        check(&MysqlType::Time { fraction: 0 }, "12:00", None);
        check(&MysqlType::Year, "0000", Some(Scalar::Signed(0)));
    }
}
