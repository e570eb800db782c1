//! Packed dates and times, in row images as in binary JSON (`my_*_to_binary` of the servers).

use spanferry_core::value::scalar::{Date, DateTime, Time};

use super::event::{Cursor, Malformed, big_endian};

/// Three bytes: day in 5 bits, month in 4, year in the rest.
pub(super) fn date(packed: u64) -> Result<Date, Malformed> {
    let year: u16 = small(packed >> 9)?;
    let date = Date {
        year,
        month: small(packed >> 5 & 15)?,
        day: small(packed & 31)?,
    };
    if year > 9999 || date.month > 12 {
        return Err(Malformed("a date out of range"));
    }
    Ok(date)
}

/// The fraction's bytes, big-endian in units of 1/100, 1/10,000 or 1/1,000,000, as microseconds.
fn microseconds(bytes: &[u8], fraction: usize) -> Result<u32, Malformed> {
    let value: u32 = small(big_endian(bytes))?;
    let scaled = match fraction.div_ceil(2) {
        0 => Some(0),
        1 => value.checked_mul(10_000),
        2 => value.checked_mul(100),
        _ => Some(value),
    };
    scaled
        .filter(|micros| *micros < 1_000_000)
        .ok_or(Malformed("a fraction of a second out of range"))
}

/// Five bytes, big-endian, offset by 2^39: year * 13 + month, day, hour, minute, second; then the
/// fraction.
pub(super) fn datetime2(bytes: &[u8], fraction: usize) -> Result<DateTime, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let packed = cursor
        .uint_be(5)?
        .checked_sub(1 << 39)
        .ok_or(Malformed("a negative DATETIME"))?;
    let microsecond = microseconds(cursor.rest(), fraction)?;
    datetime_parts(packed, microsecond)
}

/// The integer part of a packed DATETIME.
pub(super) fn datetime_parts(packed: u64, microsecond: u32) -> Result<DateTime, Malformed> {
    let (year_month, day) = (packed >> 22, packed >> 17 & 31);
    let (hour, minute, second) = (packed >> 12 & 31, packed >> 6 & 63, packed & 63);
    let date = Date {
        year: small(year_month / 13)?,
        month: small(year_month % 13)?,
        day: small(day)?,
    };
    if date.year > 9999 || hour > 23 || minute > 59 || second > 59 {
        return Err(Malformed("a DATETIME out of range"));
    }
    Ok(DateTime {
        date,
        hour: small(hour)?,
        minute: small(minute)?,
        second: small(second)?,
        nanosecond: microsecond * 1_000,
    })
}

/// Four bytes of seconds since 1970, big-endian, then the fraction. Zero is the zero date.
/// MariaDB 11.5 and later use all 32 bits (until 2106); MySQL's values stay below 2^31.
pub(super) fn timestamp2(bytes: &[u8], fraction: usize) -> Result<DateTime, Malformed> {
    let mut cursor = Cursor::new(bytes);
    let seconds = cursor.uint_be(4)?;
    let microsecond = microseconds(cursor.rest(), fraction)?;
    if seconds == 0 && microsecond == 0 {
        let date = Date {
            year: 0,
            month: 0,
            day: 0,
        };
        return Ok(DateTime {
            date,
            hour: 0,
            minute: 0,
            second: 0,
            nanosecond: 0,
        });
    }
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    Ok(DateTime {
        date: civil(days)?,
        hour: small(of_day / 3600)?,
        minute: small(of_day / 60 % 60)?,
        second: small(of_day % 60)?,
        nanosecond: microsecond * 1_000,
    })
}

/// The date that lies `days` behind 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn civil(days: u64) -> Result<Date, Malformed> {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Ok(Date {
        year: small(year)?,
        month: small(month)?,
        day: small(day)?,
    })
}

/// Three bytes and the fraction, big-endian, as one number offset by its half: the sign reaches
/// into the fraction.
pub(super) fn time2(bytes: &[u8], fraction: usize) -> Result<Time, Malformed> {
    let fraction_bytes = fraction.div_ceil(2);
    if bytes.len() != 3 + fraction_bytes {
        return Err(Malformed("a TIME of unexpected width"));
    }
    let zero = 1_u64 << (8 * bytes.len() - 1);
    let packed = big_endian(bytes);
    let (negative, size) = (packed < zero, packed.abs_diff(zero));
    let part = size & ((1 << (8 * fraction_bytes)) - 1);
    let microseconds = microseconds(&part.to_be_bytes(), fraction)?;
    time_parts(negative, size >> (8 * fraction_bytes), microseconds)
}

/// The integer part of a packed TIME.
pub(super) fn time_parts(negative: bool, packed: u64, microseconds: u32) -> Result<Time, Malformed> {
    let (hours, minutes, seconds) = (packed >> 12 & 1023, packed >> 6 & 63, packed & 63);
    if packed >> 22 != 0 || hours > 838 || minutes > 59 || seconds > 59 {
        return Err(Malformed("a TIME out of range"));
    }
    let negative = negative && (packed != 0 || microseconds != 0);
    Ok(Time {
        negative,
        hours: small(hours)?,
        minutes: small(minutes)?,
        seconds: small(seconds)?,
        microseconds,
    })
}

fn small<T: TryFrom<u64>>(value: u64) -> Result<T, Malformed> {
    T::try_from(value).map_err(|_| Malformed("a temporal part out of range"))
}
