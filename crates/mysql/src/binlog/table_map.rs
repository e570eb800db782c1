//! TABLE_MAP events with their full metadata (`binlog_row_metadata=FULL`).
//!
//! Source: `Table_map_event` in `libs/mysql/binlog/event/rows_event.h` of MySQL,
//! `Table_map_log_event` of MariaDB, which share types 1 to 11 of the optional metadata.

use super::event::{Cursor, Malformed};

/// Column types as table maps number them (`enum_field_types`).
pub(crate) mod column_type {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const TIMESTAMP_OLD: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME_OLD: u8 = 11;
    pub(crate) const DATETIME_OLD: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const MARIADB_BLOB_COMPRESSED: u8 = 140;
    pub(crate) const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const TINY_BLOB: u8 = 249;
    pub(crate) const MEDIUM_BLOB: u8 = 250;
    pub(crate) const LONG_BLOB: u8 = 251;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// The names in front of a table map: enough to know whether the table is migrated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableMapHead<'a> {
    /// Number that the rows events name.
    pub(crate) table_id: u64,
    /// Schema, in the server's system charset (UTF-8).
    pub(crate) schema: &'a [u8],
    /// Table.
    pub(crate) table: &'a [u8],
    /// Everything behind the names: the same bytes mean the same schema.
    pub(crate) definition: &'a [u8],
}

impl<'a> TableMapHead<'a> {
    /// Parses the body of a TABLE_MAP event.
    pub(crate) fn parse(body: &'a [u8]) -> Result<TableMapHead<'a>, Malformed> {
        let mut cursor = Cursor::new(body);
        let table_id = cursor.uint(6)?;
        cursor.take(2)?;
        let schema = name(&mut cursor)?;
        let table = name(&mut cursor)?;
        Ok(TableMapHead {
            table_id,
            schema,
            table,
            definition: cursor.rest(),
        })
    }
}

/// A name behind a one-byte length, with a zero byte behind it.
fn name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let length = cursor.length(1)?;
    let bytes = cursor.take(length)?;
    cursor.take(1)?;
    Ok(bytes)
}

/// One column of a table map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MappedColumn {
    /// Type number; ENUM, SET and BINARY/CHAR are distinguished by their metadata.
    pub(crate) ty: u8,
    /// Type metadata, as little-endian number (NEWDECIMAL: precision in the low byte; STRING:
    /// length; BIT: bits).
    pub(crate) meta: u16,
    /// Whether NULL is allowed.
    pub(crate) nullable: bool,
    /// Name, if the metadata is full.
    pub(crate) name: Option<String>,
    /// Whether a numeric column is unsigned, if it is numeric.
    pub(crate) unsigned: Option<bool>,
    /// The same if YEAR columns are not counted among the numeric ones, as some versions may do.
    pub(crate) unsigned_beside_year: Option<bool>,
    /// Collation id of a character, ENUM or SET column.
    pub(crate) collation: Option<u16>,
    /// Labels of an ENUM or SET, in the column's charset.
    pub(crate) labels: Option<Vec<Vec<u8>>>,
    /// Geometry type number.
    pub(crate) geometry: Option<u32>,
    /// Elements of a VECTOR.
    pub(crate) dimensions: Option<u32>,
}

/// What a table map says about a table's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// Columns in order.
    pub(crate) columns: Vec<MappedColumn>,
    /// Column indexes of the primary key, with its prefix lengths (0: whole column); empty if
    /// unknown or none.
    pub(crate) primary_key: Vec<(usize, u64)>,
}

/// No table has more columns.
const COLUMNS_MAX: usize = 4096;

/// Most labels of all ENUM and SET columns of a table. One column has 65,535 at most, and hardly
/// any has a hundred.
const LABELS_MAX: usize = 1 << 20;

/// Most tables of which one transaction can change rows: far more than a server lets a statement
/// open.
pub(crate) const TRANSACTION_TABLES_MAX: usize = 1 << 16;

impl Definition {
    /// Parses `TableMapHead::definition`.
    ///
    /// MariaDB counts GEOMETRY among the columns with a charset, MySQL does not (both measured).
    pub(crate) fn parse(bytes: &[u8], mariadb: bool) -> Result<Definition, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.packed_length()?;
        if count > COLUMNS_MAX {
            return Err(Malformed("a table map with more than 4096 columns"));
        }
        let types = cursor.take(count)?;
        let mut metas = Cursor::new(cursor.packed_bytes()?);
        let mut columns = Vec::with_capacity(count);
        for ty in types {
            let (ty, meta) = type_and_meta(*ty, &mut metas)?;
            columns.push(MappedColumn {
                ty,
                meta,
                nullable: false,
                name: None,
                unsigned: None,
                unsigned_beside_year: None,
                collation: None,
                labels: None,
                geometry: None,
                dimensions: None,
            });
        }
        if !metas.is_empty() {
            return Err(Malformed("type metadata left over in a table map"));
        }
        let nulls = cursor.take(count.div_ceil(8))?;
        for (index, column) in columns.iter_mut().enumerate() {
            column.nullable = nulls[index / 8] & (1 << (index % 8)) != 0;
        }
        let mut definition = Definition {
            columns,
            primary_key: Vec::new(),
        };
        while !cursor.is_empty() {
            let field = cursor.u8()?;
            let value = cursor.packed_bytes()?;
            definition.optional(field, value, mariadb)?;
        }
        Ok(definition)
    }

    fn optional(&mut self, field: u8, value: &[u8], mariadb: bool) -> Result<(), Malformed> {
        let mut cursor = Cursor::new(value);
        match field {
            1 => self.signedness(value),
            2 => self.default_charset(cursor, &|ty| is_character(ty, mariadb)),
            3 => self.column_charset(cursor, &|ty| is_character(ty, mariadb)),
            4 => self.columns.iter_mut().try_for_each(|column| {
                let name = std::str::from_utf8(cursor.packed_bytes()?)
                    .map_err(|_| Malformed("a column name that is no UTF-8"))?;
                column.name = Some(name.to_owned());
                Ok(())
            }),
            5 => self.labels(cursor, column_type::SET),
            6 => self.labels(cursor, column_type::ENUM),
            7 => self.each(column_type::GEOMETRY, |column| {
                column.geometry = u32::try_from(cursor.packed()?).ok();
                Ok(())
            }),
            8 => self.key(cursor, false),
            9 => self.key(cursor, true),
            10 => self.default_charset(cursor, &is_labelled),
            11 => self.column_charset(cursor, &is_labelled),
            13 => self.each(column_type::VECTOR, |column| {
                column.dimensions = u32::try_from(cursor.packed()?).ok();
                Ok(())
            }),
            // 12 is column visibility; later ones are unknown. None of them changes how a row is
            // read.
            _ => Ok(()),
        }
    }

    /// The primary key's columns, perhaps each with the length of its prefix.
    fn key(&mut self, mut cursor: Cursor<'_>, has_prefixes: bool) -> Result<(), Malformed> {
        while !cursor.is_empty() {
            if self.primary_key.len() == self.columns.len() {
                return Err(Malformed("a primary key of more columns than the table has"));
            }
            let column = cursor.packed_length()?;
            let prefix = if has_prefixes { cursor.packed()? } else { 0 };
            self.primary_key.push((column, prefix));
        }
        Ok(())
    }

    /// One bit for each numeric column, the highest first. The servers at hand count YEAR as
    /// numeric.
    fn signedness(&mut self, bits: &[u8]) -> Result<(), Malformed> {
        let bit = |index: usize| bits.get(index / 8).map(|byte| byte & (0x80 >> (index % 8)) != 0);
        let (mut index, mut beside_year) = (0, 0);
        for column in self.columns.iter_mut().filter(|column| is_numeric(column.ty)) {
            column.unsigned = bit(index);
            column.unsigned_beside_year = bit(beside_year);
            index += 1;
            beside_year += usize::from(column.ty != column_type::YEAR);
        }
        if bits.len() < beside_year.div_ceil(8) {
            return Err(Malformed("signedness of too few columns"));
        }
        Ok(())
    }

    fn default_charset(
        &mut self,
        mut cursor: Cursor<'_>,
        applies: &dyn Fn(u8) -> bool,
    ) -> Result<(), Malformed> {
        let default = collation(&mut cursor)?;
        let mut columns: Vec<&mut MappedColumn> = self
            .columns
            .iter_mut()
            .filter(|column| applies(column.ty))
            .collect();
        for column in &mut columns {
            column.collation = Some(default);
        }
        while !cursor.is_empty() {
            let index = cursor.packed_length()?;
            let column = columns
                .get_mut(index)
                .ok_or(Malformed("charset of a column that does not exist"))?;
            column.collation = Some(collation(&mut cursor)?);
        }
        Ok(())
    }

    fn column_charset(
        &mut self,
        mut cursor: Cursor<'_>,
        applies: &dyn Fn(u8) -> bool,
    ) -> Result<(), Malformed> {
        for column in self.columns.iter_mut().filter(|column| applies(column.ty)) {
            column.collation = Some(collation(&mut cursor)?);
        }
        Ok(())
    }

    fn labels(&mut self, mut cursor: Cursor<'_>, ty: u8) -> Result<(), Malformed> {
        let mut left = LABELS_MAX;
        self.each(ty, |column| {
            let count = cursor.packed_length()?;
            left = left
                .checked_sub(count)
                .ok_or(Malformed("more than a million labels in a table map"))?;
            let mut labels = Vec::new();
            for _ in 0..count {
                labels.push(cursor.packed_bytes()?.to_vec());
            }
            column.labels = Some(labels);
            Ok(())
        })
    }

    fn each(
        &mut self,
        ty: u8,
        set: impl FnMut(&mut MappedColumn) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.columns
            .iter_mut()
            .filter(|column| column.ty == ty)
            .try_for_each(set)
    }
}

fn collation(cursor: &mut Cursor<'_>) -> Result<u16, Malformed> {
    u16::try_from(cursor.packed()?).map_err(|_| Malformed("a collation id above 65535"))
}

/// The real type and the number of its metadata.
fn type_and_meta(ty: u8, metas: &mut Cursor<'_>) -> Result<(u8, u16), Malformed> {
    use column_type::{
        BIT, BLOB, DATETIME2, DOUBLE, ENUM, FLOAT, GEOMETRY, JSON, LONG_BLOB, MARIADB_BLOB_COMPRESSED,
        MARIADB_VARCHAR_COMPRESSED, MEDIUM_BLOB, NEWDECIMAL, SET, STRING, TIME2, TIMESTAMP2, TINY_BLOB,
        VAR_STRING, VARCHAR, VECTOR,
    };
    match ty {
        FLOAT
        | DOUBLE
        | TIMESTAMP2
        | DATETIME2
        | TIME2
        | TINY_BLOB
        | MEDIUM_BLOB
        | LONG_BLOB
        | BLOB
        | GEOMETRY
        | JSON
        | VECTOR
        | MARIADB_BLOB_COMPRESSED => Ok((ty, u16::from(metas.u8()?))),
        VARCHAR | MARIADB_VARCHAR_COMPRESSED | NEWDECIMAL => Ok((ty, metas.u16()?)),
        BIT => {
            // Bits beyond whole bytes, then whole bytes.
            let (bits, bytes) = (u16::from(metas.u8()?), u16::from(metas.u8()?));
            Ok((ty, bytes * 8 + bits))
        }
        STRING | VAR_STRING | ENUM | SET => {
            let (high, low) = (metas.u8()?, metas.u8()?);
            // Lengths above 255 hide their two highest bits, inverted, in the type byte (bug
            // 37426).
            if high & 0x30 == 0x30 {
                Ok((high, u16::from(low)))
            } else {
                Ok((
                    high | 0x30,
                    u16::from(low) | (u16::from((high & 0x30) ^ 0x30) << 4),
                ))
            }
        }
        _ => Ok((ty, 0)),
    }
}

fn is_numeric(ty: u8) -> bool {
    use column_type::{DOUBLE, FLOAT, INT24, LONG, LONGLONG, NEWDECIMAL, SHORT, TINY, YEAR};
    matches!(
        ty,
        TINY | SHORT | INT24 | LONG | LONGLONG | NEWDECIMAL | FLOAT | DOUBLE | YEAR
    )
}

fn is_character(ty: u8, mariadb: bool) -> bool {
    use column_type::{
        BLOB, GEOMETRY, LONG_BLOB, MARIADB_BLOB_COMPRESSED, MARIADB_VARCHAR_COMPRESSED, MEDIUM_BLOB, STRING,
        TINY_BLOB, VAR_STRING, VARCHAR, VECTOR,
    };
    matches!(
        ty,
        STRING
            | VAR_STRING
            | VARCHAR
            | VECTOR
            | BLOB
            | TINY_BLOB
            | MEDIUM_BLOB
            | LONG_BLOB
            | MARIADB_BLOB_COMPRESSED
            | MARIADB_VARCHAR_COMPRESSED
    ) || (mariadb && ty == GEOMETRY)
}

fn is_labelled(ty: u8) -> bool {
    matches!(ty, column_type::ENUM | column_type::SET)
}
