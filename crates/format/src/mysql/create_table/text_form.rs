//! The character set and collation of a column.

use spanferry_core::schema::charset::Charset;

use super::default_collation::default_collation;
use super::surroundings::Surroundings;
use super::tree::{ColumnDefinition, CreateTable};

/// The character set that every server of today gives a database that names none.
const SERVER_CHARSET: Charset = Charset::Utf8mb4;
/// Character set and collation of a text.
pub(super) struct TextForm {
    pub(super) charset: Option<Charset>,
    pub(super) collation: String,
}

impl CreateTable {
    /// The character set and collation of a column: its own, else the table's, the database's or
    /// the server's.
    pub(super) fn text_form(&self, column: &ColumnDefinition, around: &Surroundings<'_>) -> TextForm {
        let own = column.charset.as_deref().or(column.ty.charset);
        let levels = [
            (own, column.collation.as_deref()),
            (self.charset.as_deref(), self.collation.as_deref()),
            (
                around.defaults.charset.as_deref(),
                around.defaults.collation.as_deref(),
            ),
            (Some(SERVER_CHARSET.name()), None),
        ];
        let named = levels
            .into_iter()
            .find(|(charset, collation)| charset.is_some() || collation.is_some());
        let (charset, collation) = named.expect("the server has a character set");
        let collation = collation.map(full_collation);
        let charset = match (charset, &collation) {
            (Some(charset), _) => Charset::from_name(charset),
            (None, Some(collation)) => of_collation(collation),
            (None, None) => None,
        };
        let filled =
            || charset.map_or_else(String::new, |charset| default_collation(charset, around.mariadb));
        let collation = match charset {
            Some(charset) if column.is_binary && column.collation.is_none() => {
                format!("{}_bin", charset.name())
            }
            _ => collation.unwrap_or_else(filled),
        };
        TextForm { charset, collation }
    }
}

/// The full name of a collation: `utf8` is the old name of utf8mb3.
fn full_collation(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix("utf8_") {
        Some(rest) => format!("utf8mb3_{rest}"),
        None => name,
    }
}

/// The character set that a collation's name begins with.
fn of_collation(name: &str) -> Option<Charset> {
    Charset::from_name(name.split('_').next().unwrap_or(name))
}
