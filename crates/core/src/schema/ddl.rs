//! The target's DDL as text, for both dialects.

use crate::schema::target::{ByTarget, Dialect, TargetForeignKey, TargetIndex, TargetTable, TargetType};

/// Quotes an identifier.
pub fn quote(name: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::GoogleSql => format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`")),
        Dialect::PostgreSql => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A column type as DDL writes it.
pub fn type_name(ty: TargetType, dialect: Dialect) -> String {
    let google = dialect == Dialect::GoogleSql;
    let word = |google_word: &str, pg_word: &str| if google { google_word } else { pg_word }.to_owned();
    match ty {
        TargetType::Bool => word("BOOL", "boolean"),
        TargetType::Int64 => word("INT64", "bigint"),
        TargetType::Float32 => word("FLOAT32", "real"),
        TargetType::Float64 => word("FLOAT64", "double precision"),
        TargetType::Numeric => word("NUMERIC", "numeric"),
        TargetType::String(Some(length)) => word(&format!("STRING({length})"), &format!("varchar({length})")),
        TargetType::String(None) => word("STRING(MAX)", "text"),
        TargetType::Bytes(Some(length)) => word(&format!("BYTES({length})"), "bytea"),
        TargetType::Bytes(None) => word("BYTES(MAX)", "bytea"),
        TargetType::Date => word("DATE", "date"),
        TargetType::Timestamp => word("TIMESTAMP", "timestamptz"),
        TargetType::Json => word("JSON", "jsonb"),
        TargetType::Array { element, dimensions } => {
            let element = type_name(element.ty(), dialect);
            let (google_length, pg_length) = match dimensions {
                Some(length) => (
                    format!("(vector_length=>{length})"),
                    format!(" VECTOR LENGTH {length}"),
                ),
                None => (String::new(), String::new()),
            };
            word(
                &format!("ARRAY<{element}>{google_length}"),
                &format!("{element}[]{pg_length}"),
            )
        }
        TargetType::Uuid => word("UUID", "uuid"),
    }
}

/// `CREATE TABLE` with its primary key, without indexes and foreign keys.
pub fn create_table(table: &TargetTable, dialect: Dialect) -> String {
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let not_null = if column.not_null { " NOT NULL" } else { "" };
            format!(
                "  {} {}{not_null}{}",
                quote(&column.name, dialect),
                type_name(column.ty, dialect),
                by_target(column.by_target.as_ref(), dialect)
            )
        })
        .collect();
    let key = names(table, &table.primary_key, dialect);
    match dialect {
        Dialect::GoogleSql => {
            format!(
                "CREATE TABLE {} (\n{}\n) PRIMARY KEY ({key})",
                quote(&table.name, dialect),
                lines.join(",\n")
            )
        }
        Dialect::PostgreSql => {
            lines.push(format!("  PRIMARY KEY ({key})"));
            format!(
                "CREATE TABLE {} (\n{}\n)",
                quote(&table.name, dialect),
                lines.join(",\n")
            )
        }
    }
}

/// What says how the target fills a column by itself.
fn by_target(by_target: Option<&ByTarget>, dialect: Dialect) -> String {
    match (by_target, dialect) {
        (None, _) => String::new(),
        (Some(ByTarget::Default(expression)), _) => format!(" DEFAULT ({expression})"),
        (Some(ByTarget::Generated(expression)), Dialect::GoogleSql) => format!(" AS ({expression}) STORED"),
        (Some(ByTarget::Generated(expression)), Dialect::PostgreSql) => {
            format!(" GENERATED ALWAYS AS ({expression}) STORED")
        }
    }
}

/// `CREATE INDEX` of one index of a table.
pub fn create_index(table: &TargetTable, index: &TargetIndex, dialect: Dialect) -> String {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let filtered = if index.null_filtered && dialect == Dialect::GoogleSql {
        "NULL_FILTERED "
    } else {
        ""
    };
    let parts: Vec<String> = index
        .columns
        .iter()
        .map(|(column, descending)| {
            let order = if *descending { " DESC" } else { "" };
            format!("{}{order}", quote(&table.columns[*column].name, dialect))
        })
        .collect();
    let mut text = format!(
        "CREATE {unique}{filtered}INDEX {} ON {} ({})",
        quote(&index.name, dialect),
        quote(&table.name, dialect),
        parts.join(", ")
    );
    if index.null_filtered && dialect == Dialect::PostgreSql {
        let nullable = index
            .columns
            .iter()
            .map(|(column, _)| &table.columns[*column])
            .filter(|column| !column.not_null);
        let tests: Vec<String> = nullable
            .map(|column| format!("{} IS NOT NULL", quote(&column.name, dialect)))
            .collect();
        text.push_str(" WHERE ");
        text.push_str(&tests.join(" AND "));
    }
    text
}

/// `ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY`, without actions.
pub fn add_foreign_key(table: &TargetTable, key: &TargetForeignKey, dialect: Dialect) -> String {
    let parents: Vec<String> = key
        .parent_columns
        .iter()
        .map(|column| quote(column, dialect))
        .collect();
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({})",
        quote(&table.name, dialect),
        quote(&key.name, dialect),
        names(table, &key.columns, dialect),
        quote(&key.parent, dialect),
        parents.join(", ")
    )
}

/// `ALTER TABLE … DROP CONSTRAINT`.
pub fn drop_foreign_key(table: &TargetTable, key: &TargetForeignKey, dialect: Dialect) -> String {
    format!(
        "ALTER TABLE {} DROP CONSTRAINT {}",
        quote(&table.name, dialect),
        quote(&key.name, dialect)
    )
}

/// `DROP INDEX`.
pub fn drop_index(index: &TargetIndex, dialect: Dialect) -> String {
    format!("DROP INDEX {}", quote(&index.name, dialect))
}

/// `DROP TABLE`.
pub fn drop_table(table: &TargetTable, dialect: Dialect) -> String {
    format!("DROP TABLE {}", quote(&table.name, dialect))
}

fn names(table: &TargetTable, columns: &[usize], dialect: Dialect) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|column| quote(&table.columns[*column].name, dialect))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::target::TargetColumn;

    #[test]
    fn both_dialects() {
        let column = |name: &str, ty, not_null| TargetColumn {
            name: name.into(),
            ty,
            not_null,
            by_target: None,
        };
        let index = TargetIndex {
            name: "t_i".into(),
            unique: true,
            null_filtered: true,
            columns: vec![(1, true), (0, false)],
            origin: String::new(),
        };
        let key = TargetForeignKey {
            name: "fk".into(),
            columns: vec![1],
            parent: "order".into(),
            parent_columns: vec!["id".into()],
            origin: String::new(),
        };
        let table = TargetTable {
            name: "t".into(),
            columns: vec![
                column("id", TargetType::Int64, true),
                column("name", TargetType::String(Some(9)), false),
                column("data", TargetType::Bytes(Some(3)), false),
            ],
            primary_key: vec![0],
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        };
        let check = |dialect, expected: [&str; 3]| {
            let made = [
                create_table(&table, dialect),
                create_index(&table, &index, dialect),
                add_foreign_key(&table, &key, dialect),
            ];
            assert_eq!(made, expected);
        };
        check(
            Dialect::GoogleSql,
            [
                "CREATE TABLE `t` (\n  `id` INT64 NOT NULL,\n  `name` STRING(9),\n  `data` BYTES(3)\n) PRIMARY KEY (`id`)",
                "CREATE UNIQUE NULL_FILTERED INDEX `t_i` ON `t` (`name` DESC, `id`)",
                "ALTER TABLE `t` ADD CONSTRAINT `fk` FOREIGN KEY (`name`) REFERENCES `order` (`id`)",
            ],
        );
        check(
            Dialect::PostgreSql,
            [
                "CREATE TABLE \"t\" (\n  \"id\" bigint NOT NULL,\n  \"name\" varchar(9),\n  \"data\" bytea,\n  PRIMARY KEY (\"id\")\n)",
                "CREATE UNIQUE INDEX \"t_i\" ON \"t\" (\"name\" DESC, \"id\") WHERE \"name\" IS NOT NULL",
                "ALTER TABLE \"t\" ADD CONSTRAINT \"fk\" FOREIGN KEY (\"name\") REFERENCES \"order\" (\"id\")",
            ],
        );
    }
}
