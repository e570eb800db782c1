//! The type of a column as this connector knows it.

use spanferry_core::schema::mysql::MysqlType;
use spanferry_core::schema::source::SourceColumn;

/// Stands for the type of a column that another kind of server has: nothing reads or writes values
/// of it.
static FOREIGN: MysqlType = MysqlType::Unknown { text: String::new() };

/// The type of a column. One of another family of servers is unknown here, and refused wherever an
/// unknown type is.
pub(crate) fn own_type(column: &SourceColumn) -> &MysqlType {
    column.ty.mysql().unwrap_or(&FOREIGN)
}
