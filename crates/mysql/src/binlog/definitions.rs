//! What table maps mean for the migrated tables, compiled once for each definition.

use std::sync::Arc;

use hashbrown::HashMap;

use super::columns::ImageReader;
use super::count::ChangeCounter;
use super::event::{Cursor, Malformed};
use super::table_map::{Definition, TableMapHead};
use super::tables::Tables;

/// Table maps kept, with their readers compiled; a definition changes only by DDL, so this is far
/// above what is needed.
const DEFINITIONS_MAX: usize = 16_384;

/// Most bytes of table maps kept. One that is longer than all of them is compiled each time.
const DEFINITION_BYTES_MAX: usize = 64 << 20;

/// The reader of one definition, or what about it does not fit.
pub(super) type Compiled = Result<Arc<ImageReader>, Arc<str>>;

/// The table's index, how its rows are read, and how they are counted; `None` for a table that is
/// not migrated.
pub(super) type Mapped = Option<(usize, Compiled, Arc<ChangeCounter>)>;

/// The definitions that were seen, by the bytes of their table maps without the changing number.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    maps: HashMap<Vec<u8>, Mapped>,
    /// Bytes of the keys of `maps`.
    bytes: usize,
}

impl Definitions {
    /// The number that a table map gives its table, and what it means.
    pub(super) fn find(
        &mut self,
        body: &[u8],
        tables: &Tables,
        mariadb: bool,
    ) -> Result<(u64, Mapped), Malformed> {
        let parts = table_map_parts(body);
        if let Some((number, content)) = parts
            && let Some(known) = self.maps.get(content)
        {
            return Ok((number, known.clone()));
        }
        let head = TableMapHead::parse(body)?;
        let index = tables.index_of(&head);
        let mapped = index.map(|index| compile(tables, index, head.definition, mariadb));
        if let Some((_, content)) = parts {
            self.keep(content, &mapped);
        }
        Ok((head.table_id, mapped))
    }

    /// How many table maps are kept, and their bytes.
    #[cfg(test)]
    pub(super) fn kept(&self) -> (usize, usize) {
        (self.maps.len(), self.bytes)
    }

    /// Keeps what a table map means, within bounds.
    pub(super) fn keep(&mut self, content: &[u8], mapped: &Mapped) {
        if content.len() > DEFINITION_BYTES_MAX {
            return;
        }
        if self.maps.len() >= DEFINITIONS_MAX || self.bytes + content.len() > DEFINITION_BYTES_MAX {
            self.maps.clear();
            self.bytes = 0;
        }
        self.bytes += content.len();
        self.maps.insert(content.to_vec(), mapped.clone());
    }
}

fn compile(
    tables: &Tables,
    index: usize,
    definition: &[u8],
    mariadb: bool,
) -> (usize, Compiled, Arc<ChangeCounter>) {
    let definition = Definition::parse(definition, mariadb);
    let counter = ChangeCounter::new(definition.as_ref().ok());
    let compiled = definition
        .map_err(|error| error.to_string())
        .and_then(|definition| ImageReader::compile(tables.plan(index), &definition))
        .map(Arc::new)
        .map_err(Arc::from);
    (index, compiled, Arc::new(counter))
}

/// The table's number in a table map, and what stands behind it and the flags.
fn table_map_parts(body: &[u8]) -> Option<(u64, &[u8])> {
    let mut cursor = Cursor::new(body);
    let number = cursor.uint(6).ok()?;
    cursor.take(2).ok()?;
    Some((number, cursor.rest()))
}
