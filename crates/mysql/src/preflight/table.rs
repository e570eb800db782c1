//! Tables whose engine or history keeps them from being read exactly. Keys, types and what is left out are told by the mapping.

use spanferry_core::code;
use spanferry_core::finding::{Finding, Severity, Subject};
use spanferry_core::schema::SourceTable;

use super::Check;
use crate::sql;

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
    let mut found = Vec::new();
    let mut refuse = |text: String, remedy: String| {
        let subject = Subject::table(&table.name.table);
        let finding = Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text);
        found.push(finding.remedy(remedy));
    };
    if !table.engine.eq_ignore_ascii_case("InnoDB") {
        refuse(
            format!(
                "engine {}: without transactions a snapshot of it is not consistent",
                table.engine
            ),
            format!(
                "ALTER TABLE {}.{} ENGINE = InnoDB",
                sql::identifier(&table.name.schema),
                sql::identifier(&table.name.table)
            ),
        );
    }
    if table.system_versioned {
        refuse(
            "system versioning: its hidden columns and history rows are not carried".to_owned(),
            format!("--exclude {}", table.name.table),
        );
    }
    found
}
