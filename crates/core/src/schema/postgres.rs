//! What PostgreSQL has in its catalog: its data types, identity columns, replica identities.

/// What a PostgreSQL table has besides what every source has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PostgresTable {
    /// Which columns of the old row its change events carry.
    pub replica_identity: ReplicaIdentity,
}

/// Which columns of the old row an update or a delete brings in the change stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// Those of the primary key.
    #[default]
    PrimaryKey,
    /// Those of this unique index.
    Index(String),
    /// All columns.
    Full,
    /// None: updates and deletes of the table cannot be captured.
    Nothing,
}

/// What a PostgreSQL column has besides what every source has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PostgresColumn {
    /// Whether the server numbers its rows: `serial` or `GENERATED … AS IDENTITY`.
    pub is_numbered: bool,
}

/// A collation that decides which texts are equal at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresCollation {
    /// Its name.
    pub name: String,
    /// Whether only texts of the same bytes are equal. All collations but those that were created
    /// otherwise are so.
    pub is_deterministic: bool,
}

/// The type of a PostgreSQL column. A domain stands here as the type that it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresType {
    /// boolean.
    Boolean,
    /// smallint, integer or bigint.
    Integer {
        /// 16, 32 or 64.
        bits: u8,
    },
    /// real.
    Real,
    /// double precision.
    Double,
    /// numeric(precision, scale).
    Numeric {
        /// Digits in all, up to 1,000.
        precision: u16,
        /// Digits behind the point: -1,000 to 1,000.
        scale: i16,
    },
    /// numeric without a precision: any number of digits.
    AnyNumeric,
    /// char(n): padded with spaces that do not count in comparisons.
    Char {
        /// Declared length in characters.
        characters: u32,
    },
    /// varchar(n), varchar or text.
    Text {
        /// Declared length in characters, if there is one.
        characters: Option<u32>,
        /// Which texts are equal.
        collation: PostgresCollation,
    },
    /// citext: letter case does not count in comparisons.
    CiText,
    /// name: up to 63 bytes.
    Name,
    /// bytea.
    Bytea,
    /// date.
    Date,
    /// timestamp without time zone.
    Timestamp,
    /// timestamp with time zone.
    TimestampTz,
    /// A type that is carried as the text that the server prints.
    Printed(PrintedType),
    /// uuid.
    Uuid,
    /// json: the text is kept as it was written.
    Json,
    /// jsonb.
    Jsonb,
    /// An enumeration with its labels in order.
    Enum {
        /// The labels.
        labels: Vec<String>,
    },
    /// An array. Its number of dimensions is not part of the type: each value has its own.
    Array {
        /// The type of the elements.
        element: Box<PostgresType>,
    },
    /// Anything else, with the text the server gives: refused by name.
    Unknown {
        /// `format_type` of the catalog.
        text: String,
    },
}

/// Types whose values are carried in the server's canonical text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrintedType {
    /// time.
    Time,
    /// timetz.
    TimeTz,
    /// interval.
    Interval,
    /// money.
    Money,
    /// inet.
    Inet,
    /// cidr.
    Cidr,
    /// macaddr.
    MacAddress,
    /// macaddr8.
    MacAddress8,
    /// bit(n).
    Bit {
        /// Its length.
        bits: u32,
    },
    /// bit varying(n) or bit varying.
    VarBit {
        /// Its greatest length, if it is declared.
        bits_max: Option<u32>,
    },
    /// Any range or multirange.
    Range,
    /// point, line, lseg, box, path, polygon, circle.
    Geometric,
    /// tsvector or tsquery.
    TextSearch,
    /// xml.
    Xml,
    /// A row type.
    Composite,
}
