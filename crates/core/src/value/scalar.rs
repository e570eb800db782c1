//! One source value, borrowed: the common form between a connector's bytes and the conversion.

/// A calendar date as the source holds it; zero and partial dates are representable, so that they
/// can be refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 0 to 12; 0 only in a zero or partial date.
    pub month: u8,
    /// 0 to 31; 0 only in a zero or partial date.
    pub day: u8,
}

/// A date with a time of day, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DateTime {
    /// The day.
    pub date: Date,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999,999,999.
    pub nanosecond: u32,
}

/// A signed duration, MySQL's TIME: -838:59:59 to 838:59:59.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Below zero. `-00:00:00` does not exist at the source.
    pub negative: bool,
    /// 0 to 838.
    pub hours: u16,
    /// 0 to 59.
    pub minutes: u8,
    /// 0 to 59.
    pub seconds: u8,
    /// 0 to 999,999.
    pub microseconds: u32,
}

/// A span of calendar time as PostgreSQL keeps it: its three parts are not converted into one
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Months; 12 of them are printed as a year.
    pub months: i32,
    /// Days.
    pub days: i32,
    /// Microseconds.
    pub microseconds: i64,
}

/// One source value. Connectors decode their bytes into it without allocating; text is already
/// UTF-8.
///
/// A value arrives in the same variant family whichever road it took: the snapshot's integer text
/// as `Digits` and the stream's binary integer as `Signed` or `Unsigned` convert to the same bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// SQL NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of a signed type, YEAR included.
    Signed(i64),
    /// An integer of an unsigned type.
    Unsigned(u64),
    /// An integer as the server prints it: optional `-`, digits without leading zeros (ZEROFILL is
    /// stripped).
    Digits(&'a [u8]),
    /// A decimal as the server prints it: optional `-`, digits, optional `.` and digits; or `NaN`,
    /// which only PostgreSQL has.
    Decimal(&'a [u8]),
    /// A 4-byte float.
    Float32(f32),
    /// An 8-byte float.
    Float64(f64),
    /// Text, ENUM labels and SET lists included.
    Text(&'a str),
    /// Bytes: BINARY with its trailing zeros put back, BIT big-endian in its full width, GEOMETRY,
    /// VECTOR.
    Bytes(&'a [u8]),
    /// A date.
    Date(Date),
    /// DATETIME, or TIMESTAMP in UTC.
    DateTime(DateTime),
    /// TIME.
    Time(Time),
    /// A span of months, days and microseconds.
    Interval(Interval),
    /// A UUID's 16 bytes in the order in which they are printed.
    Uuid([u8; 16]),
    /// JSON text as the server prints it.
    Json(&'a str),
    /// A list of values of one type, NULL among them. The elements are no lists themselves.
    Array(&'a [Scalar<'a>]),
}
