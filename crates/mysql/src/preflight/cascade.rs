//! Foreign keys whose cascades change migrated rows without a trace in the binary log.

use spanferry_core::report::code;
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::{CascadeLog, QualifiedName};

use super::Check;
use crate::foreign_key;

/// What such a foreign key means, whichever it is.
const HIDDEN: &str =
    "it is a foreign key by whose actions the server changes rows without writing that to its binary log";

impl Check<'_> {
    /// A cascade changes the child: it matters when the child is migrated, wherever the parent
    /// lives. SET DEFAULT changes nothing (`ForeignKeyAction::changes_rows`).
    pub(super) fn cascades(&mut self) {
        if self.catalog.cascades.log == CascadeLog::Logged {
            return;
        }
        for edge in self.catalog.cascades.edges.clone() {
            if !self.request.tables.contains(&edge.child) {
                continue;
            }
            let text = format!(
                "it is a foreign key to `{}.{}` with ON DELETE {} and ON UPDATE {}: the server changes rows of this table by it, and does \
                 not write these changes to its binary log",
                edge.parent.schema,
                edge.parent.table,
                edge.on_delete.words(),
                edge.on_update.words()
            );
            let subject = Subject::part(&edge.child, &edge.name);
            let finding = Finding::new(code::SOURCE_TABLE_UNSUPPORTED, Severity::Blocking, subject, text)
                .meaning_of(HIDDEN);
            let remedy = self.without_actions(&edge.child, &edge.name);
            self.findings.push(match remedy {
                Some(remedy) => finding.remedy(remedy),
                None => finding,
            });
        }
    }

    /// The statements that create the foreign key again, without actions.
    fn without_actions(&self, table: &QualifiedName, name: &str) -> Option<Remedy> {
        let mut tables = self.catalog.tables.iter();
        let table = tables.find(|known| known.name == *table)?;
        let key = table.foreign_keys.iter().find(|key| key.name == name)?;
        let remedy = Remedy::Source {
            statements: foreign_key::without_actions(table, key),
            note: None,
        };
        Some(remedy.note(
            "the application then loses these actions: it must change or delete the child rows itself, before the parent row. \
             The second statement rebuilds the table",
        ))
    }
}
