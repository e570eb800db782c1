//! Stored definitions: the golden files are read and written again, and what this release does not
//! write is an error.

use std::sync::Arc;

use crate::fixture::{self, BIGINT};
use crate::mapping::convert;
use crate::mapping::decide::decide;
use crate::mapping::decision::PartChoice;
use crate::mapping::known::Known;
use crate::mapping::options::MappingOptions;
use crate::mapping::overrides::{Overrides, TableOverride, apply};
use crate::plan::cascade::{CascadeEdge, ComponentKind, ComponentPart, TableCascades};
use crate::plan::{GroupId, SchemaVersion, TablePlan, TargetKey};
use crate::port::epoch::Epoch;
use crate::schema::charset::Charset;
use crate::schema::definition::{Estimates, TableDefinition, plans_of};
use crate::schema::mysql::{MysqlTable, MysqlType};
use crate::schema::postgres::{PostgresCollation, PostgresTable, PostgresType, PrintedType, ReplicaIdentity};
use crate::schema::source::{
    ForeignKeyAction, IndexPart, NameCase, SourceForeignKey, SourceIndex, SourceTable,
};
use crate::schema::target::{
    ByTarget, Dialect, TargetColumn, TargetForeignKey, TargetIndex, TargetTable, TargetType,
};
use crate::value::encode::{ColumnPlan, Constant, Encoding, Input, RowFunction};

/// Definitions with what foreign keys change unseen.
const GOLDEN_CASCADES: &str = include_str!("golden/definition-cascades-3.jsonl");
/// A definition with an identity column.
const GOLDEN_IDENTITY: &str = include_str!("golden/definition-identity-3.jsonl");
/// A table with keys, an index and a foreign key, and one with every type; one definition a line.
const GOLDEN: &str = include_str!("golden/definitions-3.jsonl");

fn types() -> Vec<MysqlType> {
    let (charset, collation) = (Charset::Latin1, "latin1_swedish_ci".to_owned());
    let labels = vec!["a".to_owned(), "é\"".to_owned()];
    vec![
        MysqlType::Integer {
            bits: 24,
            unsigned: true,
        },
        MysqlType::Decimal {
            precision: 65,
            scale: 30,
        },
        MysqlType::Float,
        MysqlType::Double,
        MysqlType::Bit { bits: 7 },
        MysqlType::Varchar {
            characters: 20,
            charset: Charset::Utf8mb4,
            collation: "utf8mb4_0900_ai_ci".to_owned(),
        },
        MysqlType::Text { charset, collation },
        MysqlType::Binary { bytes: 16 },
        MysqlType::Varbinary { bytes: 17 },
        MysqlType::Blob {
            bytes_max: 4_294_967_295,
        },
        MysqlType::Enum {
            labels: labels.clone(),
            charset,
        },
        MysqlType::Set { labels, charset },
        MysqlType::Json,
        MysqlType::JsonText { charset },
        MysqlType::Date,
        MysqlType::DateTime { fraction: 6 },
        MysqlType::Timestamp { fraction: 0 },
        MysqlType::Time { fraction: 3 },
        MysqlType::Year,
        MysqlType::Geometry,
        MysqlType::Vector { dimensions: 3 },
        MysqlType::Uuid,
        MysqlType::Inet4,
        MysqlType::Inet6,
        MysqlType::Unknown {
            text: "xml".to_owned(),
        },
    ]
}

fn targets() -> Vec<(TargetType, Encoding)> {
    let string = |characters_max| Encoding::String { characters_max };
    let json = |arbitrary_numbers| Encoding::Json { arbitrary_numbers };
    let array = |dimensions| (TargetType::vector(dimensions), Encoding::vector(dimensions));
    vec![
        (TargetType::Int64, Encoding::Int64),
        (TargetType::Numeric, Encoding::Numeric),
        (TargetType::Float32, Encoding::Float32),
        (TargetType::Float64, Encoding::Float64),
        (TargetType::Numeric, Encoding::PgNumeric),
        (TargetType::String(Some(20)), string(20)),
        (TargetType::String(None), string(2_621_440)),
        (TargetType::Bytes(Some(16)), Encoding::Bytes { bytes_max: 16 }),
        (
            TargetType::Bytes(None),
            Encoding::Bytes {
                bytes_max: 10_485_760,
            },
        ),
        (TargetType::Date, Encoding::Date),
        (TargetType::Timestamp, Encoding::Timestamp),
        (TargetType::Json, json(false)),
        (TargetType::Json, json(true)),
        array(Some(3)),
        array(None),
        (TargetType::Uuid, Encoding::Uuid),
    ]
}

/// A definition with every type of both sides.
fn every_type() -> TableDefinition {
    let types = types();
    let columns = types.iter().enumerate();
    let source = fixture::table(
        "every.type",
        columns
            .map(|(at, ty)| fixture::column(&format!("c{at}"), ty.clone()))
            .collect(),
    );
    let targets = targets();
    let column = |(at, (ty, _)): (usize, &(TargetType, Encoding))| TargetColumn {
        name: format!("c{at}"),
        ty: *ty,
        not_null: at == 0,
        by_target: None,
    };
    let plan = |(at, (_, encoding)): (usize, &(TargetType, Encoding))| {
        ColumnPlan::of_source(at, at, *encoding, at == 0)
    };
    TableDefinition {
        source: SourceTable {
            names: NameCase::Insensitive,
            ..source
        },
        target: TargetTable {
            name: "every_type".to_owned(),
            columns: targets.iter().enumerate().map(column).collect(),
            primary_key: vec![0],
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        },
        columns: targets.iter().enumerate().map(plan).collect(),
        source_key: vec![0],
        target_key: TargetKey::Columns(vec![0]),
        version: SchemaVersion::FIRST,
        group: GroupId(7),
        counted_from: Epoch(12),
        cascades: TableCascades::default(),
        is_forgotten: true,
    }
}

/// The definition of a PostgreSQL table with every type.
fn postgres_types() -> TableDefinition {
    let text = |characters, is_deterministic| PostgresType::Text {
        characters,
        collation: PostgresCollation {
            name: "de-x-icu".to_owned(),
            is_deterministic,
        },
    };
    let printed = [
        PrintedType::Time,
        PrintedType::TimeTz,
        PrintedType::Interval,
        PrintedType::Money,
        PrintedType::Inet,
        PrintedType::Cidr,
        PrintedType::MacAddress,
        PrintedType::MacAddress8,
        PrintedType::Bit { bits: 3 },
        PrintedType::VarBit { bits_max: None },
        PrintedType::VarBit { bits_max: Some(5) },
        PrintedType::Range,
        PrintedType::Geometric,
        PrintedType::TextSearch,
        PrintedType::Xml,
        PrintedType::Composite,
    ];
    let mut types = vec![
        PostgresType::Integer { bits: 16 },
        PostgresType::Boolean,
        PostgresType::Real,
        PostgresType::Double,
        PostgresType::Numeric {
            precision: 5,
            scale: -2,
        },
        PostgresType::AnyNumeric,
        PostgresType::Char { characters: 3 },
        text(Some(20), true),
        text(None, false),
        PostgresType::CiText,
        PostgresType::Name,
        PostgresType::Bytea,
        PostgresType::Date,
        PostgresType::Timestamp,
        PostgresType::TimestampTz,
        PostgresType::Uuid,
        PostgresType::Json,
        PostgresType::Jsonb,
        PostgresType::Enum {
            labels: vec!["a".to_owned()],
        },
        PostgresType::Array {
            element: Box::new(PostgresType::Date),
        },
        PostgresType::Unknown {
            text: "pg_lsn".to_owned(),
        },
    ];
    types.extend(printed.map(PostgresType::Printed));
    let columns = types.into_iter().enumerate();
    let columns = columns.map(|(at, ty)| fixture::column(&format!("c{at}"), ty));
    let source = fixture::table("types", columns.collect());
    TableDefinition {
        source: SourceTable {
            facts: PostgresTable {
                replica_identity: ReplicaIdentity::Index("types_key".to_owned()),
            }
            .into(),
            ..source
        },
        target: TargetTable {
            name: "types".to_owned(),
            columns: vec![TargetColumn {
                name: "c0".to_owned(),
                ty: TargetType::Int64,
                not_null: true,
                by_target: None,
            }],
            primary_key: vec![0],
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
        },
        columns: vec![ColumnPlan::of_source(0, 0, Encoding::Int64, true)],
        source_key: vec![0],
        target_key: TargetKey::Columns(vec![0]),
        version: SchemaVersion::FIRST,
        group: GroupId(0),
        counted_from: Epoch(1),
        cascades: TableCascades::default(),
        is_forgotten: false,
    }
}

/// A definition without a primary key at the source, with an index of each part and a foreign key
/// with actions.
fn with_keys() -> TableDefinition {
    let columns = ["a", "b"].map(|name| fixture::column(name, BIGINT));
    let mut source = SourceTable {
        facts: MysqlTable {
            engine: "InnoDB".to_owned(),
            system_versioned: true,
        }
        .into(),
        primary_key: Vec::new(),
        ..fixture::table("order-line", columns.into())
    };
    source.indexes.push(fixture::index("a key", true, &[1, 0]));
    let parts = vec![
        IndexPart::Column {
            column: 1,
            descending: true,
            prefix: Some(9),
        },
        IndexPart::Expression {
            text: "lower(`a`)".to_owned(),
        },
    ];
    source.indexes.push(SourceIndex {
        name: "parts".to_owned(),
        unique: false,
        kind: "BTREE".to_owned(),
        parts,
    });
    source.foreign_keys.push(SourceForeignKey {
        on_delete: ForeignKeyAction::Cascade,
        on_update: ForeignKeyAction::SetNull,
        ..fixture::foreign_key("to parent", &[0], "parent", &["id"])
    });
    source.foreign_keys.push(SourceForeignKey {
        on_delete: ForeignKeyAction::SetDefault,
        ..fixture::foreign_key("other", &[1], "parent", &["id"])
    });
    let int = |name: &str| TargetColumn {
        name: name.to_owned(),
        ty: TargetType::Int64,
        not_null: true,
        by_target: None,
    };
    let plan = |at| ColumnPlan::of_source(at, at, Encoding::Int64, true);
    TableDefinition {
        target: TargetTable {
            name: "order_line".to_owned(),
            columns: ["a", "b"].map(int).into(),
            primary_key: vec![1, 0],
            indexes: vec![TargetIndex {
                name: "order_line_parts".to_owned(),
                unique: true,
                null_filtered: true,
                columns: vec![(1, true), (0, false)],
                origin: "parts".to_owned(),
            }],
            foreign_keys: vec![TargetForeignKey {
                name: "to_parent".to_owned(),
                columns: vec![0],
                parent: "parent".to_owned(),
                parent_columns: vec!["id".to_owned()],
                origin: "to parent".to_owned(),
            }],
        },
        source,
        columns: vec![plan(0), plan(1)],
        source_key: vec![1, 0],
        target_key: TargetKey::Columns(vec![1, 0]),
        version: SchemaVersion(2),
        group: GroupId(0),
        counted_from: Epoch(1),
        cascades: TableCascades::default(),
        is_forgotten: false,
    }
}

/// A definition whose target has another key and order than the source, a constant, functions, and
/// columns of its own.
fn inputs() -> TableDefinition {
    let fill = |by_target, at| TargetColumn {
        by_target,
        ..fixture::target_column(&format!("c{at}"))
    };
    let mut targets: Vec<TargetColumn> = (0..8).map(|at| fill(None, at)).collect();
    targets[1].by_target = Some(ByTarget::Default("7".to_owned()));
    targets[6].by_target = Some(ByTarget::Generated("`c0` + 1".to_owned()));
    let column = |target, input| ColumnPlan {
        input,
        target,
        encoding: Encoding::Int64,
        not_null: false,
    };
    TableDefinition {
        target: TargetTable {
            columns: targets,
            primary_key: vec![2, 0],
            ..every_type().target
        },
        columns: vec![
            column(0, Input::Source(1)),
            column(2, Input::Constant(Constant::Integer(-3))),
            column(3, Input::Constant(Constant::Text("eu".to_owned()))),
            column(4, Input::Constant(Constant::Null)),
            column(5, Input::Function(RowFunction::Digest)),
            column(7, Input::Source(1)),
        ],
        source_key: vec![1, 0],
        target_key: TargetKey::Columns(vec![1, 0]),
        ..with_keys()
    }
}

/// A definition of a table without a key.
fn multiset() -> TableDefinition {
    let mut definition = inputs();
    definition.columns[1].input = Input::Function(RowFunction::Ordinal);
    TableDefinition {
        source_key: Vec::new(),
        target_key: TargetKey::Multiset([4, 1]),
        ..definition
    }
}

/// Definitions of tables whose foreign keys change rows unseen: one of each kind of component, and
/// one of none.
fn unlogged() -> [TableDefinition; 4] {
    let edges = vec![
        CascadeEdge {
            foreign_key: 0,
            parent_columns: vec![3],
        },
        CascadeEdge {
            foreign_key: 1,
            parent_columns: vec![0],
        },
    ];
    let kinds = [
        ComponentKind::OneLevel,
        ComponentKind::Exact,
        ComponentKind::Refused,
    ];
    let parts = kinds.map(|kind| Some(ComponentPart { number: 2, kind }));
    let definition = |component, edges| TableDefinition {
        cascades: TableCascades::Unlogged { component, edges },
        ..with_keys()
    };
    let [one_level, exact, refused] = parts;
    [
        definition(one_level, edges.clone()),
        definition(exact, edges),
        definition(refused, Vec::new()),
        definition(None, Vec::new()),
    ]
}

/// An identity is recorded since a later release of the same version.
#[test]
fn a_golden_identity_is_read_and_written_again() {
    let mut definition = with_keys();
    definition.target.columns[0].by_target = Some(ByTarget::Identity {
        skipped_to: 2_147_483_647,
    });
    let line = GOLDEN_IDENTITY.trim_end();
    assert_eq!(definition.to_record(), line);
    assert_eq!(TableDefinition::from_record(line), Ok(definition));
    for (from, to) in [
        ("\"skipped_to\":2147483647", "\"skipped_to\":\"7\""),
        ("\"identity\":{", "\"identity\":{\"more\":1,"),
    ] {
        let text = line.replacen(from, to, 1);
        assert_ne!(text, line, "{from}");
        TableDefinition::from_record(&text).unwrap_err();
    }
}

/// What foreign keys change unseen is recorded since a later release of the same version; records
/// without it are read as before.
#[test]
fn golden_cascades_are_read_and_written_again() {
    let definitions = unlogged();
    assert_eq!(GOLDEN_CASCADES.lines().count(), definitions.len());
    for (definition, line) in definitions.into_iter().zip(GOLDEN_CASCADES.lines()) {
        assert_eq!(definition.to_record(), line);
        assert_eq!(TableDefinition::from_record(line), Ok(definition));
    }
    let line = GOLDEN_CASCADES.lines().next().unwrap();
    for (from, to) in [
        ("\"one_level\"", "\"two_levels\""),
        ("\"foreign_key\":1", "\"foreign_key\":2"),
        ("\"parent_columns\":[3]", "\"parent_columns\":[3,4]"),
        ("\"component\":{", "\"component\":{\"more\":1,"),
    ] {
        let text = line.replacen(from, to, 1);
        assert_ne!(text, line, "{from}");
        TableDefinition::from_record(&text).unwrap_err();
    }
}

#[test]
fn golden_definitions_are_read_and_written_again() {
    let definitions = [with_keys(), every_type(), postgres_types(), inputs(), multiset()];
    assert_eq!(GOLDEN.lines().count(), definitions.len());
    for (definition, line) in definitions.into_iter().zip(GOLDEN.lines()) {
        assert_eq!(definition.to_record(), line);
        assert_eq!(TableDefinition::from_record(line), Ok(definition));
    }
}

#[test]
fn what_this_release_does_not_write_is_an_error() {
    let line = GOLDEN.lines().next().unwrap();
    for (from, to) in [
        ("\"version\":3", "\"version\":1"),
        ("\"version\":3", "\"version\":3,\"more\":1"),
        ("\"group\":0,", ""),
        ("\"source_key\":[1,0]", "\"source_key\":[1,2]"),
        (
            "\"key\":{\"columns\":{\"columns\":[1,0]",
            "\"key\":{\"columns\":{\"columns\":[1,2]",
        ),
        ("\"source\":1", "\"source\":2"),
        ("\"target\":1", "\"target\":2"),
        ("\"target\":1", "\"target\":0"),
        (
            "\"name\":\"to parent\",\"columns\":[0]",
            "\"name\":\"to parent\",\"columns\":[2]",
        ),
        (
            "\"name\":\"to_parent\",\"columns\":[0]",
            "\"name\":\"to_parent\",\"columns\":[2]",
        ),
        (
            "\"parts\":[{\"column\":{\"column\":1",
            "\"parts\":[{\"column\":{\"column\":2",
        ),
        ("\"columns\":[{\"column\":1", "\"columns\":[{\"column\":2"),
        ("\"integer\"", "\"number\""),
        ("\"cascade\"", "\"cascades\""),
        ("\"int64\"", "\"int65\""),
    ] {
        let text = line.replacen(from, to, 1);
        assert_ne!(text, line, "{from}");
        TableDefinition::from_record(&text).unwrap_err();
    }
    let line = GOLDEN.lines().nth(1).unwrap();
    TableDefinition::from_record(&line.replace("latin1\"", "latin0\"")).unwrap_err();
}

/// What is planned, recorded and planned from the record is the same: with what a person has chosen
/// too, which no rule decides again.
#[test]
fn a_plan_comes_back_from_its_record() {
    let child = ["id", "parent"].map(|name| fixture::column(name, BIGINT));
    let mut child = fixture::table("child", child.into());
    child.rows_estimate = 5;
    child
        .foreign_keys
        .push(fixture::foreign_key("fk", &[1], "parent", &["id"]));
    child.indexes.push(fixture::index("fk", false, &[1]));
    let parent = fixture::table("parent", vec![fixture::column("id", BIGINT)]);
    let options = MappingOptions {
        dialect: Dialect::GoogleSql,
        uuid_supported: true,
    };
    let known = Known::default();
    let decisions = decide(vec![child, parent], &known, &options);
    check_comes_back(convert::map_decided(decisions.clone(), &known).plans);
    let wanted = TableOverride {
        name: Some("part".to_owned()),
        indexes: [("fk".to_owned(), PartChoice::Exclude)].into(),
        foreign_keys: [("fk".to_owned(), PartChoice::Name("part_of".to_owned()))].into(),
        ..TableOverride::default()
    };
    let wanted = Overrides::from([(fixture::qualified("child"), wanted)]);
    let decisions = apply(decisions, &wanted, &known).unwrap();
    let planned = convert::map_decided(decisions, &known).plans;
    let target = &planned[0].target;
    let key = target.foreign_keys[0].name.as_str();
    assert_eq!(
        (target.name.as_str(), target.indexes.len(), key),
        ("part", 0, "part_of")
    );
    check_comes_back(planned);
}

fn check_comes_back(planned: Vec<TablePlan>) {
    let records: Vec<String> = planned
        .iter()
        .map(|plan| TableDefinition::of(plan).to_record())
        .collect();
    let read = records
        .iter()
        .map(|text| TableDefinition::from_record(text).unwrap());
    let definitions: Vec<TableDefinition> = read.collect();
    let estimates = Estimates::from([(fixture::qualified("child"), (5, 0))]);
    let plans = plans_of(&definitions, &estimates);
    let planned: Vec<_> = planned.into_iter().map(Arc::new).collect();
    assert_eq!(format!("{plans:?}"), format!("{planned:?}"));
}
