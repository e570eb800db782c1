//! Dumps in pieces of any size, from any place, and with any damage.

use proptest::prelude::*;

use spanferry_core::schema::charset::Charset;

use super::{Cell, DumpError, Limits, Mark, Reader, Reading, Step};

const LIMITS: Limits = Limits {
    statement_bytes_max: 1 << 20,
    row_bytes_max: 1 << 20,
};

fn cell(cell: Cell<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Number(number) => text(number),
        Cell::Bool(value) => value.to_string(),
        Cell::Text { bytes, charset } => format!("{}:{}", charset.name(), text(bytes)),
        Cell::Hex { bytes, charset: None } => format!("hex:{}", text(bytes)),
        Cell::Hex {
            bytes,
            charset: Some(charset),
        } => format!("hex {}:{}", charset.name(), text(bytes)),
        Cell::Bits { bytes, .. } => format!("bits:{}", text(bytes)),
    }
}

/// A step as text; none for `More`.
fn shown(step: &Step<'_>) -> Option<String> {
    Some(match step {
        Step::More => return None,
        Step::Row(row) => {
            let insert = row.insert();
            let names = |names: &[Vec<u8>]| {
                let names = names.iter().map(|name| name.escape_ascii().to_string());
                names.collect::<Vec<_>>().join(" ")
            };
            let columns = insert.columns.as_deref().map(names);
            let cells: Vec<String> = row.cells().map(cell).collect();
            format!(
                "{}.{} {}{}({}) {}@{}",
                row.line(),
                row.offset(),
                insert.table.escape_ascii(),
                if insert.replace { " replace" } else { "" },
                columns.unwrap_or_default(),
                cells.join("|"),
                insert.line
            )
        }
        Step::Refused { insert, error } => format!("refused {} {error}", insert.table.escape_ascii()),
        Step::Statement(statement) => format!(
            "{}.{} {} {:?}",
            statement.line(),
            statement.offset(),
            statement.bytes().escape_ascii(),
            statement.session().schema()
        ),
        Step::End(ending) => format!("end {} {}", ending.completed, ending.bytes),
    })
}

/// Reads on until more bytes are needed, or to the end.
fn drain(reader: &mut Reader, steps: &mut Vec<String>) -> Result<bool, DumpError> {
    loop {
        let step = reader.next()?;
        let ended = matches!(step, Step::End(_));
        match shown(&step) {
            Some(step) => steps.push(step),
            None => return Ok(false),
        }
        if ended {
            return Ok(true);
        }
    }
}

/// All steps of a dump that comes in these pieces, the error last.
fn steps<'a>(mut reader: Reader, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut steps = Vec::new();
    let run = || {
        for piece in pieces {
            reader.feed(piece);
            drain(&mut reader, &mut steps)?;
        }
        reader.finish();
        drain(&mut reader, &mut steps)
    };
    if let Err(error) = run() {
        steps.push(error.to_string());
    }
    steps
}

fn whole(dump: &[u8]) -> Vec<String> {
    steps(Reader::new(LIMITS, Reading::plain(false)), [dump])
}

fn check(dump: &[u8], expected: &[&str]) {
    assert_eq!(whole(dump), expected, "{}", dump.escape_ascii());
    let bytes = dump.chunks(1);
    assert_eq!(
        steps(Reader::new(LIMITS, Reading::plain(false)), bytes),
        expected,
        "byte by byte"
    );
}

#[test]
fn statements() {
    check(b"", &["end false 0"]);
    check(
        b"-- a\n/* b ; */ # c\nDROP TABLE `a;`;\n;;\nUSE `s`; SELECT ';', \"\\\";\" -- x;\n;",
        &[
            "3.19 DROP TABLE `a;` None",
            "5.39 USE `s` Some(\"s\")",
            "5.48 SELECT \\';\\', \\\"\\\\\\\";\\\" -- x;\\n Some(\"s\")",
            "end false 73",
        ],
    );
    check(
        b"DELIMITER ;;\n/*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN a; b; END */;;\nDELIMITER ;\nx;",
        &[
            "2.13 /*!50003 CREATE*/ /*!50003 TRIGGER t BEGIN a; b; END */ None",
            "4.83 x None",
            "end false 85",
        ],
    );
    check(
        b"/*M!999999\\- enable the sandbox mode */ \n-- Server version\t10.11-MariaDB\nx;\n-- Dump completed on x\n",
        &["3.73 x None", "end true 99"],
    );
    check(b"-- Dump completed", &["end true 17"]);
    check(b"-- Dump completed\nx;", &["2.18 x None", "end true 20"]);
    check(
        b"-- Dump completed\n-- MySQL dump 10.13\nx;",
        &["3.38 x None", "end false 40"],
    );
    check(
        b"-- Dump completed\nx;\nCREATE TABLE a (b",
        &[
            "2.18 x None",
            "the dump ends within the statement that begins here (byte 21, line 3)",
        ],
    );
    check(b"\xef\xbb\xbfx;", &["1.3 x None", "end false 5"]);
}

#[test]
fn rows() {
    check(
        b"INSERT INTO `t` VALUES (1,-2.5e-10,+.5,NULL,true),\n (FALSE,'a','it''s\\n\\%\\\\',\"q\",''), () ;\nx;",
        &[
            "1.23 t() 1|-2.5e-10|.5|NULL|true@1",
            "2.52 t() false|utf8mb4:a|utf8mb4:it\\'s\\n\\\\%\\\\|utf8mb4:q|utf8mb4:@1",
            "2.86 t() @1",
            "3.91 x None",
            "end false 93",
        ],
    );
    check(
        b"replace ignore into `s`.`a``b` (`c`, d) value (0x4142,X'4a'), (b'1000001',0b1),(_binary '\xff\\0',_latin1 0x41), (N'n', 'a' 'b');",
        &[
            "1.46 a`b replace(c d) hex:AB|hex:J@1",
            "1.62 a`b replace(c d) bits:A|bits:\\x01@1",
            "1.79 a`b replace(c d) binary:\\xff\\x00|hex latin1:A@1",
            "1.109 a`b replace(c d) utf8mb3:n|utf8mb4:ab@1",
            "end false 125",
        ],
    );
    check(
        b"INSERT INTO t VALUES (1,/*!50705 0x41,*/2),(/* , */ 1 /*M!100000 ,3 */,/*!40000 4*/);",
        &["1.21 t() 1|hex:A|2@1", "1.43 t() 1|4@1", "end false 85"],
    );
}

#[test]
fn what_only_a_server_knows_is_refused_by_name() {
    check(
        b"INSERT INTO t VALUES (1, ST_GeomFromText('(')), (DEFAULT), (1 + 1),\n(_nope 'a'), (2);",
        &[
            "refused t a call of `ST_GeomFromText` stands for a value, which only the server can compute (byte 25, line 1)",
            "refused t DEFAULT stands for a value, which only the server knows (byte 49, line 1)",
            "refused t an expression stands for a value, which only the server can compute (byte 62, line 1)",
            "refused t the character set `nope` is not known (byte 69, line 2)",
            "2.81 t() 2@1",
            "end false 85",
        ],
    );
    check(
        b"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1;",
        &[
            "1.21 t() 1@1",
            "`ON` follows the rows, which only the server can execute (byte 27, line 1)",
        ],
    );
    check(
        b"INSERT INTO t SELECT '(', ';' FROM u;INSERT INTO t SET a = 1;",
        &[
            "1.0 INSERT INTO t SELECT \\'(\\', \\';\\' FROM u None",
            "1.37 INSERT INTO t SET a = 1 None",
            "end false 61",
        ],
    );
    check(
        b"\nINSERT INTO t VALUES (1), (2, 'a",
        &[
            "2.22 t() 1@2",
            "the dump ends within the statement that begins here (byte 1, line 2)",
        ],
    );
    check(
        b"INSERT INTO t VALUES (X'4');",
        &["the row has not the expected form: expected pairs of hexadecimal digits (byte 23, line 1)"],
    );
}

#[test]
fn a_dump_sets_how_it_is_read() {
    let check = |settings: &str, row: &[u8], expected: &str| {
        let dump = [settings.as_bytes(), b"; INSERT INTO t VALUES (", row, b");"].concat();
        let found = whole(&dump);
        let row = &found[found.len() - 2];
        let cells = row.split_once("t() ").map(|(_, cells)| cells);
        assert_eq!(cells, Some(format!("{expected}@1").as_str()), "{found:?}");
    };
    check("SET NAMES 'latin1'", b"'\xe9'", "latin1:\\xe9");
    check("/*!40101 SET NAMES binary*/", b"'\xe9'", "binary:\\xe9");
    check("SET NAMES utf8 COLLATE utf8_bin", b"'a'", "utf8mb3:a");
    check("set character set cp932", b"'\x83\x5c'", "cp932:\\x83\\\\");
    check("SET NAMES gbk", b"'\x83\x5c\\''", "gbk:\\x83\\\\\\'");
    check(
        "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_BACKSLASH_ESCAPES,ANSI' */",
        b"'a\\','b'",
        "utf8mb4:a\\\\|utf8mb4:b",
    );
    check(
        "SET @a=@@SQL_MODE, SQL_MODE='NO_BACKSLASH_ESCAPES'; SET SESSION sql_mode = @A",
        b"'a\\'','b'",
        "utf8mb4:a\\'|utf8mb4:b",
    );
    check(
        "SET @c = @@character_set_client; SET character_set_client = latin1; SET character_set_client = @c",
        b"'a'",
        "utf8mb4:a",
    );
    check(
        "SET @@session.sql_mode := \"ANSI_QUOTES\"; SET @x = \"a\"",
        b"'a'",
        "utf8mb4:a",
    );
    check(
        "SET GLOBAL sql_mode = 1, @a = (SELECT 1, 2), autocommit = 0",
        b"\"a\"",
        "utf8mb4:a",
    );
    for (setting, error) in [
        (
            "SET sql_mode = @nothing;",
            "the value that `sql_mode` gets is not known, and it decides how the dump is read (byte 0, line 1)",
        ),
        (
            "SET sql_mode = concat(@@sql_mode, ',ANSI');",
            "the value that `sql_mode` gets is not known, and it decides how the dump is read (byte 0, line 1)",
        ),
        (
            "SET NAMES klingon;",
            "the character set `klingon` is not known (byte 0, line 1)",
        ),
    ] {
        assert_eq!(whole(setting.as_bytes()), [error]);
    }
    assert_eq!(
        whole(b"SET NAMES utf8mb4 /* \xff */;"),
        ["the statement is no text of the character set `utf8mb4` (byte 0, line 1)"]
    );
}

#[test]
fn a_dump_may_be_silent_about_its_character_set() {
    let check = |dump: &[u8], expected: bool| {
        let latin1 = Reading {
            charset: Charset::Latin1,
            ..Reading::plain(false)
        };
        let mut reader = Reader::new(LIMITS, latin1);
        reader.feed(dump);
        let Ok(Step::Statement(statement)) = reader.next() else {
            panic!("a statement");
        };
        let session = statement.session();
        assert_eq!(session.has_charset(), expected);
        let charset = if expected {
            Charset::Utf8mb4
        } else {
            Charset::Latin1
        };
        assert_eq!(session.reading().charset, charset);
    };
    check(b"SET sql_mode = 'ANSI';", false);
    check(b"/*!50503 SET NAMES utf8mb4 */;", true);
    check(b"SET character_set_client = utf8mb4;", true);
}

#[test]
fn what_is_kept_has_a_bound() {
    let limits = Limits {
        statement_bytes_max: 40,
        row_bytes_max: 20,
    };
    let check = |dump: String, expected: &str| {
        for size in [1, 7, 1000] {
            let pieces = dump.as_bytes().chunks(size);
            let found = steps(Reader::new(limits, Reading::plain(false)), pieces);
            assert_eq!(found.last().map(String::as_str), Some(expected), "{dump} {size}");
        }
    };
    let long = "x".repeat(60);
    check(
        format!("a;\n{long};"),
        "what begins here is longer than 40 bytes (byte 3, line 2)",
    );
    check(
        format!("/*{long}*/"),
        "what begins here is longer than 40 bytes (byte 0, line 1)",
    );
    check(
        format!("INSERT INTO t VALUES (1),('{long}'),(2);"),
        "what begins here is longer than 20 bytes (byte 24, line 1)",
    );
    check(
        format!("INSERT INTO t VALUES (1){};", ",('abc')".repeat(50)),
        "end false 425",
    );
    check(format!("{}x;", " \n".repeat(100)), "end false 202");
}

/// A dump that has everything.
const DUMP: &[u8] = b"/*M!999999\\- enable the sandbox mode */ \n-- MySQL dump\n-- Server version\t9.7.4-2\n\n\
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n/*!50503 SET NAMES utf8mb4 */;\nUSE `shop`;\n\
CREATE TABLE `a` (`b;` int /* ; */ DEFAULT ';', -- '\n c text);\nDELIMITER ;;\nCREATE TRIGGER x BEGIN y; END ;;\nDELIMITER ;\n\
/*!40000 ALTER TABLE `a` DISABLE KEYS */;\nINSERT INTO `a` (`b;`,c) VALUES (1,'it\\'s; ('),\n(-2.5e+3,_binary '\xff\\0\\Z'),(0x4142,NULL),(b'101',NOW()),\n\
 (/*!50705 1,*/'a' 'b');\nSET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';\nREPLACE INTO \"s\".\"a\" VALUES ('x\\','y''');\n\
SET NAMES gbk, SQL_MODE=@OLD_SQL_MODE;\nINSERT INTO a VALUES ('\x83\\\\'',.5),(+1.,\"\"\"\"),(TRUE,X'');\n-- Dump completed on 2026-11-30\n";

/// Every mark of a dump, with the steps that follow it.
fn marks(dump: &[u8]) -> Vec<(Mark, usize)> {
    let mut reader = Reader::new(LIMITS, Reading::plain(false));
    reader.feed(dump);
    reader.finish();
    let mut marks = vec![(reader.mark(), 0)];
    loop {
        match reader.next().expect("a good dump") {
            Step::End(_) => return marks,
            Step::More | Step::Row(_) | Step::Refused { .. } | Step::Statement(_) => {}
        }
        marks.push((reader.mark(), marks.len()));
    }
}

#[test]
fn reading_from_every_mark_gives_the_same_rest() {
    let expected = whole(DUMP);
    assert_eq!(
        expected.last(),
        Some(&format!("end true {}", DUMP.len())),
        "{expected:?}"
    );
    let marks = marks(DUMP);
    assert_eq!(marks.len(), expected.len());
    for (mark, before) in marks {
        assert_eq!(Mark::parse(&mark.to_text()), Some(mark.clone()));
        let rest = &DUMP[usize::try_from(mark.offset).unwrap()..];
        assert_eq!(steps(Reader::resume(LIMITS, mark), [rest]), expected[before..]);
    }
}

/// What is stored must be read by every later release.
#[test]
fn the_text_of_a_mark_stays() {
    let texts: Vec<String> = marks(DUMP).into_iter().map(|(mark, _)| mark.to_text()).collect();
    let first = "1 0 1 0 000 utf8mb4 00 - =%3B 0 between";
    assert_eq!(texts.first().map(String::as_str), Some(first));
    let within =
        "1 437 15 0 000 utf8mb4 10 =shop =%3B 1 =old_sql_mode mode 00 rows 0 00 364 14 - =a 1 2 =b%3B =c";
    assert!(texts.iter().any(|text| text == within), "{texts:#?}");
    for (mark, text) in [(first, true), (within, true), ("", false), ("2 0 1 0", false)] {
        assert_eq!(Mark::parse(mark).is_some(), text, "{mark}");
        assert_eq!(Mark::parse(&format!("{mark} x")), None);
    }
}

#[test]
fn a_dump_says_its_schema_and_its_time_zone() {
    let check = |dump: &str, schema: Option<&str>, is_utc: bool| {
        let mut reader = Reader::new(LIMITS, Reading::plain(false));
        reader.feed(dump.as_bytes());
        reader.finish();
        assert!(
            matches!(reader.next(), Ok(Step::Statement(_) | Step::End(_))),
            "{dump}"
        );
        let session = reader.session();
        assert_eq!((session.schema(), session.is_utc()), (schema, is_utc), "{dump}");
    };
    check(
        "-- Host: localhost    Database: shop\n-- ---\nDO 1;",
        Some("shop"),
        false,
    );
    check("-- Host: localhost    Database: \nDO 1;", None, false);
    check("-- Host: x    Database: a\nUSE `b`;", Some("b"), false);
    check("/*!40103 SET TIME_ZONE='+00:00' */;", None, true);
    check("SET @@session.time_zone = 'UTC';", None, true);
    check("SET time_zone = '+01:00';", None, false);
    check("SET TIME_ZONE=@OLD_TIME_ZONE;", None, false);
}

fn literal() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"NULL".to_vec()),
        "-?[0-9]{1,5}(\\.[0-9]{0,3})?(e-?[0-9]{1,2})?".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| quoted(&bytes)),
        "0x([0-9a-f]{2}){1,4}".prop_map(String::into_bytes),
        "b'[01]{0,17}'".prop_map(String::into_bytes),
        "[A-Z]{3}\\([a-z]?\\)".prop_map(String::into_bytes),
    ]
}

/// Bytes as mysqldump quotes them.
fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut text = b"_binary '".to_vec();
    for byte in bytes {
        match byte {
            0 => text.extend(b"\\0"),
            b'\n' => text.extend(b"\\n"),
            0x1a => text.extend(b"\\Z"),
            b'\'' | b'"' | b'\\' => text.extend([b'\\', *byte]),
            other => text.push(*other),
        }
    }
    text.push(b'\'');
    text
}

/// Rows as text, as `cell` shows strings of bytes.
fn dump() -> impl Strategy<Value = Vec<u8>> {
    let row = proptest::collection::vec(literal(), 1..4)
        .prop_map(|cells| [b"(", cells.join(&b", "[..]).as_slice(), b")"].concat());
    let rows = proptest::collection::vec(row, 1..5).prop_map(|rows| {
        [
            b"INSERT INTO t VALUES ",
            rows.join(&b",\n"[..]).as_slice(),
            b";\n",
        ]
        .concat()
    });
    let other = prop_oneof![
        Just(b"-- a comment; '\n".to_vec()),
        Just(b"/* a 'comment' ; */".to_vec()),
        Just(b"CREATE TABLE a (b text DEFAULT ';');".to_vec()),
        Just(b"/*!40101 SET NAMES latin1 */;\n".to_vec()),
        Just(b"SET NAMES utf8mb4;".to_vec()),
    ];
    proptest::collection::vec(prop_oneof![rows, other], 0..8).prop_map(|parts| parts.concat())
}

/// `DUMP` with some bytes changed, or anything else.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        prop_oneof![any::<u8>(), prop::sample::select(&b"'\"`\\/*!-();,0x "[..])],
        0..3_u8,
    );
    let changed = proptest::collection::vec(change, 1..6).prop_map(|changes| {
        let mut dump = DUMP.to_vec();
        for (at, byte, kind) in changes {
            let at = at.index(dump.len());
            match kind {
                0 => dump[at] = byte,
                1 => dump.insert(at, byte),
                _ => drop(dump.remove(at)),
            }
        }
        dump
    });
    let noise = proptest::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(&b"'\"`\\/*!-();, \n"[..])],
        0..200,
    );
    let rows = noise
        .clone()
        .prop_map(|noise| [b"INSERT INTO t VALUES (".to_vec(), noise].concat());
    prop_oneof![3 => changed, 1 => noise, 1 => rows]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn pieces_of_any_size_give_the_same(dump in prop_oneof![dump(), damaged()], sizes in proptest::collection::vec(1..40_usize, 1..8)) {
        let expected = whole(&dump);
        let (mut rest, mut pieces) = (dump.as_slice(), Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, tail) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = tail;
        }
        prop_assert_eq!(steps(Reader::new(LIMITS, Reading::plain(false)), pieces), expected);
    }

    #[test]
    fn every_mark_gives_the_same_rest(dump in dump()) {
        let expected = whole(&dump);
        for (mark, before) in marks(&dump) {
            let mark = Mark::parse(&mark.to_text()).expect("a mark");
            let rest = &dump[usize::try_from(mark.offset).unwrap()..];
            prop_assert_eq!(&steps(Reader::resume(LIMITS, mark), [rest]), &expected[before..]);
        }
    }

    #[test]
    fn quoted_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let dump = [b"INSERT INTO t VALUES (", quoted(&bytes).as_slice(), b");"].concat();
        let expected = format!("1.21 t() binary:{}@1", bytes.escape_ascii());
        prop_assert_eq!(&whole(&dump)[0], &expected);
    }

    #[test]
    fn fuzz_any_text_is_a_mark_or_none(
        at in any::<prop::sample::Index>(),
        change in prop_oneof![any::<char>().prop_map(String::from), " [0-9a-z=%-]{0,9}".prop_map(String::from)],
        place in any::<prop::sample::Index>(),
    ) {
        let marks = marks(DUMP);
        let mut text = place.get(&marks).0.to_text();
        text.insert_str(at.index(text.len()), &change);
        if let Some(mark) = Mark::parse(&text) {
            prop_assert_eq!(Mark::parse(&mark.to_text()), Some(mark));
        }
    }
}
