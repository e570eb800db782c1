//! What a plan says of foreign-key actions whose effects the source's log does not show
//! (docs/design/cascades.md).

/// What becomes of the changes that foreign-key actions make to rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TableCascades {
    /// The source writes them to its log.
    #[default]
    Logged,
    /// The source does not write them to its log.
    Unlogged {
        /// The component that the table belongs to; none if no action ties it to another table.
        component: Option<ComponentPart>,
        /// The table's own foreign keys with actions, as far as their parents are migrated.
        edges: Vec<CascadeEdge>,
    },
}

/// To which component a table belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComponentPart {
    /// Its number within the group of its tables.
    pub number: u32,
    /// What its changes need.
    pub kind: ComponentKind,
}

/// What the changes of a component need to be applied exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComponentKind {
    /// Plain replay: one level of ON DELETE actions (step 38).
    OneLevel,
    /// One exact position for all tables, and each change applied once.
    Exact,
    /// The result may depend on an order that the log does not show (step 10).
    Refused,
}

/// A foreign key by whose actions rows of the table change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CascadeEdge {
    /// Its place in the source's foreign keys of the table.
    pub foreign_key: usize,
    /// The referenced columns, as places in the source's columns of the parent, in the order of the
    /// foreign key.
    pub parent_columns: Vec<usize>,
}
