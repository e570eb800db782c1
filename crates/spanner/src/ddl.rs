//! DDL text in both dialects: quoting, type names, tables, indexes, foreign keys.

use std::fmt::Write;

use spanferry_core::target_schema::{Dialect, TargetForeignKey, TargetIndex, TargetTable, TargetType};

/// An identifier in quotes, its own quotes escaped.
pub fn quoted(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::GoogleSql => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
        Dialect::PostgreSql => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A type as it is written in a column's definition.
pub fn type_name(dialect: Dialect, ty: TargetType) -> String {
    match dialect {
        Dialect::GoogleSql => google_type(ty),
        Dialect::PostgreSql => postgres_type(ty),
    }
}

fn google_type(ty: TargetType) -> String {
    let sized = |name: &str, length: Option<u32>| match length {
        Some(length) => format!("{name}({length})"),
        None => format!("{name}(MAX)"),
    };
    match ty {
        TargetType::Int64 => "INT64".to_owned(),
        TargetType::Float32 => "FLOAT32".to_owned(),
        TargetType::Float64 => "FLOAT64".to_owned(),
        TargetType::Numeric => "NUMERIC".to_owned(),
        TargetType::String(length) => sized("STRING", length),
        TargetType::Bytes(length) => sized("BYTES", length),
        TargetType::Date => "DATE".to_owned(),
        TargetType::Timestamp => "TIMESTAMP".to_owned(),
        TargetType::Json => "JSON".to_owned(),
        TargetType::Float32Array(None) => "ARRAY<FLOAT32>".to_owned(),
        TargetType::Float32Array(Some(length)) => format!("ARRAY<FLOAT32>(vector_length=>{length})"),
        TargetType::Uuid => "UUID".to_owned(),
    }
}

fn postgres_type(ty: TargetType) -> String {
    match ty {
        TargetType::Int64 => "bigint".to_owned(),
        TargetType::Float32 => "real".to_owned(),
        TargetType::Float64 => "double precision".to_owned(),
        TargetType::Numeric => "numeric".to_owned(),
        TargetType::String(Some(length)) => format!("varchar({length})"),
        TargetType::String(None) => "text".to_owned(),
        TargetType::Bytes(_) => "bytea".to_owned(),
        TargetType::Date => "date".to_owned(),
        TargetType::Timestamp => "timestamptz".to_owned(),
        TargetType::Json => "jsonb".to_owned(),
        TargetType::Float32Array(None) => "real[]".to_owned(),
        TargetType::Float32Array(Some(length)) => format!("real[] VECTOR LENGTH {length}"),
        TargetType::Uuid => "uuid".to_owned(),
    }
}

/// `CREATE TABLE` without indexes and foreign keys, which come after the data.
pub fn create_table(dialect: Dialect, table: &TargetTable) -> String {
    let mut out = format!("CREATE TABLE {} (\n", quoted(dialect, &table.name));
    for column in &table.columns {
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        put(
            &mut out,
            format_args!(
                "  {} {}{not_null},\n",
                quoted(dialect, &column.name),
                type_name(dialect, column.ty)
            ),
        );
    }
    let key = table
        .primary_key
        .iter()
        .map(|index| quoted(dialect, &table.columns[*index].name));
    let key = key.collect::<Vec<_>>().join(", ");
    match dialect {
        Dialect::GoogleSql => {
            out.truncate(out.len() - ",\n".len());
            put(&mut out, format_args!("\n) PRIMARY KEY ({key})"));
        }
        Dialect::PostgreSql => put(&mut out, format_args!("  PRIMARY KEY ({key})\n)")),
    }
    out
}

/// `CREATE INDEX`.
pub fn create_index(dialect: Dialect, table: &TargetTable, index: &TargetIndex) -> String {
    let name = |column: usize| quoted(dialect, &table.columns[column].name);
    let unique = if index.unique { "UNIQUE " } else { "" };
    let google_filter = dialect == Dialect::GoogleSql && index.null_filtered;
    let filtered = if google_filter { "NULL_FILTERED " } else { "" };
    let parts = index.columns.iter().map(|(column, descending)| {
        let order = if *descending { " DESC" } else { "" };
        format!("{}{order}", name(*column))
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    let mut out = format!(
        "CREATE {unique}{filtered}INDEX {} ON {} ({parts})",
        quoted(dialect, &index.name),
        quoted(dialect, &table.name)
    );
    if dialect == Dialect::PostgreSql && index.null_filtered {
        let nullable = index
            .columns
            .iter()
            .map(|(column, _)| format!("{} IS NOT NULL", name(*column)));
        put(
            &mut out,
            format_args!(" WHERE {}", nullable.collect::<Vec<_>>().join(" AND ")),
        );
    }
    out
}

/// `ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY`, without an action.
pub fn add_foreign_key(dialect: Dialect, table: &TargetTable, key: &TargetForeignKey) -> String {
    let columns = key
        .columns
        .iter()
        .map(|column| quoted(dialect, &table.columns[*column].name));
    let parents = key.parent_columns.iter().map(|column| quoted(dialect, column));
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})",
        quoted(dialect, &table.name),
        quoted(dialect, &key.name),
        columns.collect::<Vec<_>>().join(", "),
        quoted(dialect, &key.parent),
        parents.collect::<Vec<_>>().join(", ")
    )
}

/// `ALTER TABLE … DROP CONSTRAINT`.
pub fn drop_constraint(dialect: Dialect, table: &str, constraint: &str) -> String {
    format!(
        "ALTER TABLE {} DROP CONSTRAINT {}",
        quoted(dialect, table),
        quoted(dialect, constraint)
    )
}

/// `DROP INDEX`.
pub fn drop_index(dialect: Dialect, index: &str) -> String {
    format!("DROP INDEX {}", quoted(dialect, index))
}

/// `DROP TABLE`.
pub fn drop_table(dialect: Dialect, table: &str) -> String {
    format!("DROP TABLE {}", quoted(dialect, table))
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

/// The type that INFORMATION_SCHEMA's `spanner_type` names, if we create such.
pub fn parse_type(dialect: Dialect, text: &str) -> Option<TargetType> {
    match dialect {
        Dialect::GoogleSql => parse_google_type(text),
        Dialect::PostgreSql => parse_postgres_type(text),
    }
}

fn parse_google_type(text: &str) -> Option<TargetType> {
    let sized = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
    let length = |text: &str| {
        if text == "MAX" {
            Some(None)
        } else {
            text.parse().ok().map(Some)
        }
    };
    Some(match text {
        "INT64" => TargetType::Int64,
        "FLOAT32" => TargetType::Float32,
        "FLOAT64" => TargetType::Float64,
        "NUMERIC" => TargetType::Numeric,
        "DATE" => TargetType::Date,
        "TIMESTAMP" => TargetType::Timestamp,
        "JSON" => TargetType::Json,
        "UUID" => TargetType::Uuid,
        "ARRAY<FLOAT32>" => TargetType::Float32Array(None),
        _ => {
            if let Some(text) = sized("STRING(") {
                TargetType::String(length(text)?)
            } else if let Some(text) = sized("BYTES(") {
                TargetType::Bytes(length(text)?)
            } else {
                TargetType::Float32Array(Some(sized("ARRAY<FLOAT32>(vector_length=>")?.parse().ok()?))
            }
        }
    })
}

fn parse_postgres_type(text: &str) -> Option<TargetType> {
    Some(match text {
        "bigint" => TargetType::Int64,
        "real" => TargetType::Float32,
        "double precision" => TargetType::Float64,
        "numeric" => TargetType::Numeric,
        "text" | "character varying" => TargetType::String(None),
        "bytea" => TargetType::Bytes(None),
        "date" => TargetType::Date,
        "timestamp with time zone" => TargetType::Timestamp,
        "jsonb" => TargetType::Json,
        "uuid" => TargetType::Uuid,
        "real[]" => TargetType::Float32Array(None),
        _ => {
            if let Some(length) = text.strip_prefix("character varying(") {
                TargetType::String(Some(length.strip_suffix(')')?.parse().ok()?))
            } else {
                TargetType::Float32Array(Some(text.strip_prefix("real[] vector length ")?.parse().ok()?))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use spanferry_core::target_schema::TargetColumn;

    use super::*;

    fn table() -> TargetTable {
        let column = |name: &str, ty, not_null| TargetColumn {
            name: name.to_owned(),
            ty,
            not_null,
        };
        TargetTable {
            name: "or`d\"er".to_owned(),
            columns: vec![
                column("id", TargetType::Int64, true),
                column("name", TargetType::String(Some(20)), false),
                column("vector", TargetType::Float32Array(Some(3)), false),
            ],
            primary_key: vec![0],
            indexes: vec![TargetIndex {
                name: "by_name".to_owned(),
                unique: true,
                null_filtered: true,
                columns: vec![(1, true), (0, false)],
            }],
            foreign_keys: vec![TargetForeignKey {
                name: "fk".to_owned(),
                columns: vec![1],
                parent: "p".to_owned(),
                parent_columns: vec!["x".to_owned()],
            }],
        }
    }

    #[test]
    fn statements() {
        let table = table();
        let check = |dialect, expected: [&str; 3]| {
            assert_eq!(create_table(dialect, &table), expected[0]);
            assert_eq!(create_index(dialect, &table, &table.indexes[0]), expected[1]);
            assert_eq!(
                add_foreign_key(dialect, &table, &table.foreign_keys[0]),
                expected[2]
            );
        };
        check(
            Dialect::GoogleSql,
            [
                "CREATE TABLE `or\\`d\"er` (\n  `id` INT64 NOT NULL,\n  `name` STRING(20),\n  `vector` ARRAY<FLOAT32>(vector_length=>3)\n) PRIMARY KEY (`id`)",
                "CREATE UNIQUE NULL_FILTERED INDEX `by_name` ON `or\\`d\"er` (`name` DESC, `id`)",
                "ALTER TABLE `or\\`d\"er` ADD CONSTRAINT `fk` FOREIGN KEY (`name`) REFERENCES `p` (`x`)",
            ],
        );
        check(
            Dialect::PostgreSql,
            [
                "CREATE TABLE \"or`d\"\"er\" (\n  \"id\" bigint NOT NULL,\n  \"name\" varchar(20),\n  \"vector\" real[] VECTOR LENGTH 3,\n  PRIMARY KEY (\"id\")\n)",
                "CREATE UNIQUE INDEX \"by_name\" ON \"or`d\"\"er\" (\"name\" DESC, \"id\") WHERE \"name\" IS NOT NULL AND \"id\" IS NOT NULL",
                "ALTER TABLE \"or`d\"\"er\" ADD CONSTRAINT \"fk\" FOREIGN KEY (\"name\") REFERENCES \"p\" (\"x\")",
            ],
        );
    }

    #[test]
    fn google_types_parse_back() {
        use TargetType::{
            Bytes, Date, Float32, Float32Array, Float64, Int64, Json, Numeric, String, Timestamp, Uuid,
        };
        let sized = [
            String(None),
            String(Some(7)),
            Bytes(None),
            Bytes(Some(7)),
            Float32Array(None),
            Float32Array(Some(3)),
        ];
        for ty in [Int64, Float32, Float64, Numeric, Date, Timestamp, Json, Uuid]
            .into_iter()
            .chain(sized)
        {
            assert_eq!(
                parse_type(Dialect::GoogleSql, &type_name(Dialect::GoogleSql, ty)),
                Some(ty)
            );
        }
        assert_eq!(parse_type(Dialect::GoogleSql, "ARRAY<INT64>"), None);
        assert_eq!(parse_type(Dialect::PostgreSql, "bigint[]"), None);
    }
}
