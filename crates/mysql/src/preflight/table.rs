//! Tables that cannot be carried exactly: engines, missing keys, key types, unknown types.

use spanferry_core::code;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::schema::{IndexPart, SourceTable, SourceType};

use super::Check;

impl Check<'_> {
    pub(super) fn tables(&mut self) {
        let selected = self
            .catalog
            .tables
            .iter()
            .filter(|table| self.request.tables.contains(&table.name.table));
        let found: Vec<Finding> = selected.flat_map(examine).collect();
        self.findings.extend(found);
    }
}

fn examine(table: &SourceTable) -> Vec<Finding> {
    let name = &table.name.table;
    let mut found = Vec::new();
    let mut refuse = |text: String, remedy: Option<String>| {
        let finding = Finding::new(
            code::SOURCE_TABLE_UNSUPPORTED,
            Severity::Blocking,
            Subject::table(name),
            text,
        );
        found.push(match remedy {
            Some(remedy) => finding.remedy(remedy),
            None => finding.remedy(format!("--exclude {name}")),
        });
    };
    if !table.engine.eq_ignore_ascii_case("InnoDB") {
        let text = format!(
            "engine {}: without transactions a snapshot of it is not consistent",
            table.engine
        );
        refuse(
            text,
            Some(format!(
                "ALTER TABLE {} ENGINE = InnoDB",
                crate::sql::identifier(name)
            )),
        );
    }
    if table.system_versioned {
        refuse(
            "system versioning: its hidden columns and history rows are not carried".to_owned(),
            None,
        );
    }
    let key = key(table);
    if key.is_none() {
        let text = "no primary key, and no unique key over NOT NULL columns".to_owned();
        refuse(
            text,
            Some(format!(
                "ALTER TABLE {} ADD PRIMARY KEY (…)",
                crate::sql::identifier(name)
            )),
        );
    }
    for column in &table.columns {
        if let SourceType::Unknown { text } = &column.ty {
            let text = format!("type `{text}` is not known");
            found.push(Finding::new(
                code::TYPE_REFUSED,
                Severity::Blocking,
                Subject::part(name, &column.name),
                text,
            ));
        }
    }
    for column in key.into_iter().flatten().map(|index| &table.columns[index]) {
        if let Some(reason) = not_injective(&column.ty) {
            let subject = Subject::part(name, &column.name);
            found.push(
                Finding::new(code::KEY_NOT_INJECTIVE, Severity::Blocking, subject, reason)
                    .remedy(format!("--exclude {name}")),
            );
        }
    }
    for (trigger, timing) in &table.triggers {
        let text = format!(
            "trigger {timing}: its effects are in the binary log and are carried, the trigger itself is not"
        );
        found.push(Finding::new(
            code::SOURCE_NOTICE,
            Severity::Notice,
            Subject::part(name, trigger),
            text,
        ));
    }
    found
}

/// The primary key, or the first unique key over whole NOT NULL columns.
fn key(table: &SourceTable) -> Option<Vec<usize>> {
    if !table.primary_key.is_empty() {
        return Some(table.primary_key.clone());
    }
    table
        .indexes
        .iter()
        .filter(|index| index.unique)
        .find_map(|index| {
            let columns = index.parts.iter().map(|part| match part {
                IndexPart::Column {
                    column, prefix: None, ..
                } if !table.columns[*column].nullable => Some(*column),
                IndexPart::Column { .. } | IndexPart::Expression { .. } => None,
            });
            columns.collect()
        })
}

/// Why two source keys of this type could become one target key, or why it cannot be a key at all.
fn not_injective(ty: &SourceType) -> Option<String> {
    match ty {
        SourceType::Float | SourceType::Double => {
            Some("a floating point key: 0 and -0 are one key at the target".to_owned())
        }
        SourceType::Json | SourceType::JsonText => Some("JSON cannot be a key at the target".to_owned()),
        SourceType::Geometry | SourceType::Vector { .. } => {
            Some("this type cannot be a key at the target".to_owned())
        }
        SourceType::Set { labels, .. } | SourceType::Enum { labels, .. }
            if labels.iter().any(String::is_empty) =>
        {
            Some("an empty label: it and the value 0 print the same".to_owned())
        }
        SourceType::Varchar { charset, .. }
        | SourceType::Text { charset, .. }
        | SourceType::Enum { charset, .. }
        | SourceType::Set { charset, .. } => (!charset.is_injective()).then(|| {
            format!(
                "character set {}: two of its byte sequences decode to one text",
                charset.name()
            )
        }),
        SourceType::Integer { .. }
        | SourceType::Decimal { .. }
        | SourceType::Bit { .. }
        | SourceType::Binary { .. }
        | SourceType::Varbinary { .. }
        | SourceType::Blob { .. }
        | SourceType::Date
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::Time { .. }
        | SourceType::Year
        | SourceType::Uuid
        | SourceType::Inet4
        | SourceType::Inet6
        | SourceType::Unknown { .. } => None,
    }
}
