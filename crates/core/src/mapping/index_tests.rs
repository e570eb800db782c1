//! The conversion of indexes, foreign keys and the groups that these tie together.

use super::tests::{GOOGLE, POSTGRES, findings, text_type, varchar};
use super::*;
use crate::fixture::{BIGINT, column, foreign_key, index, table};
use crate::report::code;
use crate::schema::charset::Charset;
use crate::schema::ddl;
use crate::schema::mysql::MysqlType;
use crate::schema::source::{ForeignKeyAction, IndexPart, SourceForeignKey, SourceIndex};
use crate::schema::target::Dialect;

#[test]
fn indexes() {
    let mut source = table(
        "t",
        vec![
            column("id", BIGINT),
            column("name", varchar(20)),
            column("data", MysqlType::Json),
        ],
    );
    source.columns.push(column(
        "folded",
        text_type(20, Charset::Utf8mb4, "utf8mb4_general_ci"),
    ));
    source
        .columns
        .push(column("japanese", text_type(20, Charset::Cp932, "cp932_bin")));
    let prefix = |name: &str, unique| {
        let parts = vec![IndexPart::Column {
            column: 1,
            descending: true,
            prefix: Some(4),
        }];
        SourceIndex {
            parts,
            ..index(name, unique, &[])
        }
    };
    let expression = IndexPart::Expression {
        text: "lower(`name`)".to_owned(),
    };
    source.indexes = vec![
        index("again", false, &[0]),
        SourceIndex {
            parts: vec![expression],
            ..index("expression", false, &[])
        },
        SourceIndex {
            kind: "FULLTEXT".to_owned(),
            ..index("full", false, &[1])
        },
        index("japanese", true, &[4]),
        index("json", false, &[2]),
        prefix("prefix", false),
        prefix("prefix_unique", true),
        index("unique", true, &[3, 0]),
    ];
    let mapped = map(vec![source], &GOOGLE);
    let plan = &mapped.plans[0];
    let made: Vec<String> = plan
        .target
        .indexes
        .iter()
        .map(|index| ddl::create_index(&plan.target, index, Dialect::GoogleSql))
        .collect();
    assert_eq!(
        made,
        [
            "CREATE INDEX `t_prefix` ON `t` (`name` DESC)",
            "CREATE UNIQUE NULL_FILTERED INDEX `t_unique` ON `t` (`folded`, `id`)",
        ]
    );
    assert_eq!(
        findings(&mapped),
        [
            "Notice SF-4004 t.again",
            "Warning SF-4004 t.expression",
            "Warning SF-4004 t.full",
            "Warning SF-4010 t.japanese",
            "Warning SF-4004 t.json",
            "Warning SF-4005 t.prefix",
            "Warning SF-4010 t.prefix_unique",
            "Warning SF-4005 t.unique",
            "Warning SF-4005 t.unique",
        ]
    );
    assert_eq!(
        (plan.mutations_per_upsert(), plan.mutations_per_delete()),
        (5 + 2 * 2, 1 + 2)
    );
}

/// An index over the columns given, of a table whose key has `key_parts` columns; the finding about
/// it, if it is left out.
#[track_caller]
fn check_index(types: &[MysqlType], key_parts: usize, index: SourceIndex, expected: Option<&str>) {
    for options in [GOOGLE, POSTGRES] {
        let columns = types.iter().enumerate();
        let columns = columns.map(|(place, ty)| column(&format!("c{place}"), ty.clone()));
        let mut source = table("t", columns.collect());
        source.primary_key = (0..key_parts).collect();
        source.indexes = vec![index.clone()];
        let mapped = map(vec![source], &options);
        let about = mapped
            .findings
            .iter()
            .find(|finding| finding.subject.part_name() == Some("i") && finding.code != code::CONVERTED);
        let found = about.map(|finding| format!("{}: {}", finding.code, finding.text));
        match (found, expected) {
            (Some(found), Some(expected)) => assert!(found.contains(expected), "{found}"),
            (found, expected) => assert_eq!(found.as_deref(), expected, "{:?}", options.dialect),
        }
        let made = mapped.plans[0].target.indexes.len();
        assert_eq!(made, usize::from(expected.is_none()), "{:?}", options.dialect);
    }
}

#[test]
fn parts_of_an_index_count_the_tables_own_key() {
    let numbers = vec![BIGINT; 18];
    let over = |columns: std::ops::Range<usize>| index("i", false, &columns.collect::<Vec<_>>());
    check_index(&numbers, 1, over(1..16), None);
    let too_many = Some("SF-4004: the index is not created at the target: its key has 17 parts");
    check_index(&numbers, 1, over(1..17), too_many);
    check_index(&numbers, 2, over(2..16), None);
    check_index(&numbers, 2, over(2..17), too_many);
    // A column that is in both counts once.
    check_index(&numbers, 2, over(1..16), None);
    let unique = SourceIndex {
        unique: true,
        ..over(1..17)
    };
    check_index(
        &numbers,
        1,
        unique,
        Some("SF-4010: the unique index is not created at the target, where nothing"),
    );
}

#[test]
fn an_index_whose_key_may_be_too_long_is_left_out() {
    let text = MysqlType::Text {
        charset: Charset::Utf8mb4,
        collation: "utf8mb4_bin".to_owned(),
    };
    let prefix = |column| SourceIndex {
        parts: vec![IndexPart::Column {
            column,
            descending: false,
            prefix: Some(20),
        }],
        ..index("i", false, &[])
    };
    let too_long = Some("SF-4004: the index is not created at the target: its key may take up to");
    check_index(&[BIGINT, text.clone()], 1, prefix(1), too_long);
    check_index(
        &[BIGINT, MysqlType::Blob { bytes_max: 65_535 }],
        1,
        prefix(1),
        too_long,
    );
    check_index(&[BIGINT, varchar(5_000)], 1, prefix(1), too_long);
    // The whole column always fits: nothing is lost by an index over it.
    check_index(&[BIGINT, varchar(255)], 1, prefix(1), None);
    check_index(&[BIGINT, varchar(255)], 1, index("i", true, &[1]), None);
    // The longest key that MySQL itself takes, beside the longest of its own.
    check_index(&[varchar(768), varchar(768)], 1, index("i", false, &[1]), None);
    check_index(
        &[varchar(1_025), varchar(1_024)],
        1,
        index("i", false, &[1]),
        too_long,
    );
    let latin = |characters| text_type(characters, Charset::Latin1, "latin1_bin");
    check_index(&[BIGINT, latin(2_700)], 1, index("i", false, &[1]), None);
    check_index(&[BIGINT, latin(2_800)], 1, index("i", false, &[1]), too_long);
    // MariaDB keeps a unique index over a whole text by a hash.
    check_index(
        &[BIGINT, text],
        1,
        index("i", true, &[1]),
        Some("SF-4010: the unique index is not created at the target"),
    );
}

#[test]
fn a_foreign_key_whose_index_is_above_a_limit_is_left_out() {
    let check = |types: &[MysqlType], own_key: &[usize], expected: &str| {
        let columns = || types.iter().enumerate();
        let named = || columns().map(|(place, ty)| column(&format!("c{place}"), ty.clone()));
        let mut parent = table("a", named().collect());
        parent.primary_key = (0..types.len()).collect();
        let mut child = table("b", named().collect());
        child.columns.push(column("id", BIGINT));
        child.primary_key = own_key.to_vec();
        let all: Vec<usize> = (0..types.len()).collect();
        let names: Vec<String> = all.iter().map(|place| format!("c{place}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        child.foreign_keys = vec![foreign_key("f", &all, "a", &names)];
        let mapped = map(vec![parent, child], &GOOGLE);
        let found = mapped
            .findings
            .iter()
            .find(|finding| finding.subject.part_name() == Some("f"))
            .map_or("", |finding| finding.text.as_str());
        assert!(found.contains(expected), "{found}");
        let made = mapped.plans[1].target.foreign_keys.len();
        assert_eq!(made, usize::from(expected.is_empty()), "{found}");
    };
    let numbers = vec![BIGINT; 16];
    check(
        &numbers,
        &[16],
        "the index behind it at `b` is above a limit: its key has 17 parts",
    );
    // No index is needed where the columns are the child's own key.
    check(&numbers, &(0..16).collect::<Vec<_>>(), "");
    let bytes = vec![
        MysqlType::Varbinary { bytes: 4_096 },
        MysqlType::Varbinary { bytes: 4_096 },
    ];
    check(&bytes, &[2], "its key may take up to 8216 bytes");
}

#[test]
fn foreign_keys_and_groups() {
    let folded = || text_type(9, Charset::Utf8mb4, "utf8mb4_0900_ai_ci");
    let mut parent = table(
        "a",
        vec![
            column("id", BIGINT),
            column("code", folded()),
            column("plain", BIGINT),
        ],
    );
    parent.indexes.push(index("code", true, &[1]));
    let mut child = table(
        "b",
        vec![
            column("id", BIGINT),
            column("a_id", BIGINT),
            column("code", folded()),
        ],
    );
    child.foreign_keys = vec![
        SourceForeignKey {
            on_delete: ForeignKeyAction::Cascade,
            ..foreign_key("cascade", &[1], "a", &["ID"])
        },
        foreign_key("folded", &[2], "a", &["code"]),
        foreign_key("gone", &[1], "elsewhere", &["id"]),
        foreign_key("not_unique", &[1], "a", &["plain"]),
        foreign_key("own", &[1], "b", &["id"]),
    ];
    let alone = table("c", vec![column("id", BIGINT)]);
    let mut last = table("d", vec![column("id", BIGINT)]);
    last.foreign_keys = vec![foreign_key("d_b", &[0], "b", &["id"])];
    let mapped = map(vec![last, alone, child, parent], &GOOGLE);
    let names: Vec<&str> = mapped
        .plans
        .iter()
        .map(|plan| plan.name().table.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert!(
        mapped
            .plans
            .iter()
            .enumerate()
            .all(|(place, plan)| plan.id.0 as usize == place)
    );
    let groups: Vec<u32> = mapped.plans.iter().map(|plan| plan.group.0).collect();
    assert_eq!(groups, [0, 0, 1, 0]);
    let carried: Vec<&str> = mapped.plans[1]
        .target
        .foreign_keys
        .iter()
        .map(|key| key.name.as_str())
        .collect();
    assert_eq!(carried, ["cascade", "own"]);
    // `b` has one index over `a_id` for both of its keys; the parents' columns are primary keys,
    // and so is the child's of `d`.
    let backing: Vec<usize> = mapped.plans.iter().map(|plan| plan.backing_indexes).collect();
    assert_eq!(backing, [0, 1, 0, 0]);
    assert_eq!(
        (
            mapped.plans[1].mutations_per_upsert(),
            mapped.plans[1].mutations_per_delete()
        ),
        (3 + 2, 1 + 1)
    );
    let about_keys: Vec<String> = findings(&mapped)
        .into_iter()
        .filter(|line| line.contains(" b."))
        .collect();
    assert_eq!(
        about_keys,
        [
            "Warning SF-4004 b.cascade",
            "Warning SF-4004 b.folded",
            "Warning SF-4004 b.gone",
            "Warning SF-4004 b.not_unique",
        ]
    );
}
