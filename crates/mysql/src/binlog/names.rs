//! The migrated tables by the names that statements use for them.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use spanferry_core::plan::TablePlan;
use spanferry_core::schema::source::NameCase;
use spanferry_format::mysql::statement::Named;

/// Finds plans by names in any spelling that the server takes for the same.
#[derive(Debug)]
pub(crate) struct TableNames {
    case: NameCase,
    schemas: BTreeSet<String>,
    /// Places of plans, by table and schema.
    tables: HashMap<String, Vec<(String, usize)>>,
}

impl TableNames {
    /// The names of these plans; `schema` is the migrated schema, which may have none.
    pub(crate) fn of(schema: &str, plans: &[Arc<TablePlan>]) -> TableNames {
        let case = plans
            .first()
            .map_or(NameCase::Sensitive, |plan| plan.source.names);
        let mut names = TableNames {
            case,
            schemas: BTreeSet::from([case.normalise(schema).into_owned()]),
            tables: HashMap::new(),
        };
        for (index, plan) in plans.iter().enumerate() {
            let name = plan.name();
            let schema = case.normalise(&name.schema).into_owned();
            let table = case.normalise(&name.table).into_owned();
            names.schemas.insert(schema.clone());
            names.tables.entry(table).or_default().push((schema, index));
        }
        names
    }

    /// Whether a schema is migrated.
    pub(crate) fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains(&*self.case.normalise(name))
    }

    /// The place of the plan of a table; a name without schema is one of the default schema.
    pub(crate) fn find(&self, default_schema: &str, named: &Named) -> Option<usize> {
        let schema = self
            .case
            .normalise(named.schema.as_deref().unwrap_or(default_schema));
        let tables = self.tables.get(&*self.case.normalise(&named.table))?;
        let found = tables.iter().find(|(known, _)| *known == *schema);
        found.map(|(_, index)| *index)
    }

    /// The places of all plans whose table has this name, in whichever schema.
    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = usize> {
        let tables = self.tables.get(&*self.case.normalise(name));
        tables.into_iter().flatten().map(|(_, index)| *index)
    }
}
