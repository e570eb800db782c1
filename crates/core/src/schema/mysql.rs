//! What only MySQL-family servers have in their catalogs: types with charsets, engines, numbered
//! columns.

use crate::schema::charset::Charset;

/// What a table of a MySQL-family server has besides what every source has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MysqlTable {
    /// Storage engine, as the server names it.
    pub engine: String,
    /// MariaDB `WITH SYSTEM VERSIONING`.
    pub system_versioned: bool,
}

/// What a column of a MySQL-family server has besides what every source has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MysqlColumn {
    /// `ON UPDATE CURRENT_TIMESTAMP`.
    pub on_update: bool,
    /// AUTO_INCREMENT.
    pub auto_increment: bool,
    /// MariaDB: a date and time in the storage format of before MySQL 5.6, whose width the binary
    /// log does not show.
    pub is_old_temporal: bool,
}

/// The type of a column of a MySQL-family server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MysqlType {
    /// TINYINT to BIGINT.
    Integer {
        /// 8, 16, 24, 32 or 64.
        bits: u8,
        /// UNSIGNED or ZEROFILL.
        unsigned: bool,
    },
    /// DECIMAL(precision, scale).
    Decimal {
        /// Digits in all, up to 65.
        precision: u8,
        /// Digits behind the point, up to 38.
        scale: u8,
    },
    /// FLOAT (4 bytes).
    Float,
    /// DOUBLE.
    Double,
    /// BIT(n).
    Bit {
        /// 1 to 64.
        bits: u8,
    },
    /// CHAR(n), VARCHAR(n).
    Varchar {
        /// Declared length in characters.
        characters: u32,
        /// How its bytes are to be read.
        charset: Charset,
        /// Collation's name: it decides equality and order at the source.
        collation: String,
    },
    /// TINYTEXT to LONGTEXT.
    Text {
        /// How its bytes are to be read.
        charset: Charset,
        /// Collation's name.
        collation: String,
    },
    /// BINARY(n): fixed width; the binlog strips trailing zero bytes, which must be put back.
    Binary {
        /// Declared width in bytes.
        bytes: u32,
    },
    /// VARBINARY(n).
    Varbinary {
        /// Declared maximum in bytes.
        bytes: u32,
    },
    /// TINYBLOB to LONGBLOB.
    Blob {
        /// 255, 65,535, 16,777,215 or 4,294,967,295.
        bytes_max: u32,
    },
    /// ENUM with its labels in order (index 1 first).
    Enum {
        /// Labels, decoded to UTF-8.
        labels: Vec<String>,
        /// The column's charset, in which the snapshot's bytes arrive.
        charset: Charset,
    },
    /// SET with its labels in order (bit 0 first).
    Set {
        /// Labels, decoded to UTF-8.
        labels: Vec<String>,
        /// The column's charset, in which the snapshot's bytes arrive.
        charset: Charset,
    },
    /// MySQL's binary JSON.
    Json,
    /// MariaDB's JSON: LONGTEXT with a `json_valid` check; the text is the value.
    JsonText {
        /// How its bytes are to be read: utf8mb4 as the server declares JSON, any other after
        /// `CONVERT TO CHARACTER SET`.
        charset: Charset,
    },
    /// DATE.
    Date,
    /// DATETIME(f).
    DateTime {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIMESTAMP(f).
    Timestamp {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// TIME(f).
    Time {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// YEAR.
    Year,
    /// Any spatial type: 4 bytes of SRID, then WKB.
    Geometry,
    /// MySQL's or MariaDB's VECTOR(n): little-endian 4-byte floats.
    Vector {
        /// Number of elements.
        dimensions: u32,
    },
    /// MariaDB UUID.
    Uuid,
    /// MariaDB INET4.
    Inet4,
    /// MariaDB INET6.
    Inet6,
    /// Anything else, with the text the server gives: refused by name.
    Unknown {
        /// `COLUMN_TYPE` of the catalog.
        text: String,
    },
}
