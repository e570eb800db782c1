//! Properties of the conversion: the fast way equals the plain one, keys stay apart, spellings of
//! one value agree.

use proptest::prelude::*;

use super::*;
use crate::fixture;
use crate::plan::{RowEncoder, RowLayout, TablePlan};
use crate::verify::canonical::{Canonicalizer, digest};
use crate::wire::list_value::{WireReader, WireValue};

/// A plan of columns with these encodings, without anything else that a plan has.
fn table(encodings: &[Encoding], key: Vec<usize>) -> TablePlan {
    let mut source = fixture::table("t", Vec::new());
    source.primary_key = key;
    fixture::plan(source, encodings.iter().copied())
}

fn column(source: usize, encoding: Encoding) -> ColumnPlan {
    ColumnPlan::of_source(source, source, encoding, false)
}

/// What the wire holds, read plainly.
fn read(value: WireValue<'_>, is_json: bool) -> Plain {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match value {
        WireValue::Null => Plain::Null,
        WireValue::Number(number) => Plain::Number(number),
        WireValue::String(bytes) if is_json => Plain::Json(serde_json::from_str(&text(bytes)).unwrap()),
        WireValue::String(bytes) => Plain::Text(text(bytes)),
        WireValue::Bool(value) => Plain::Bool(value),
        WireValue::List(list) => Plain::List(
            WireReader::new(list)
                .map(|value| read(value.unwrap(), is_json))
                .collect(),
        ),
    }
}

fn is_json(encoding: Encoding) -> bool {
    matches!(
        encoding,
        Encoding::Json { .. }
            | Encoding::Array {
                element: ElementEncoding::Json { .. },
                ..
            }
    )
}

/// Refusals are the same, but for JSON, where only the fact counts.
fn same_refusal(encoding: Encoding, fast: &Refusal, plain: &Refusal) -> bool {
    fast == plain || is_json(encoding)
}

fn check(value: &Value, plan: &ColumnPlan) {
    let expected = convert(value, plan);
    value.each_scalar(|scalar| {
        let mut out = b"before".to_vec();
        let result = plan.encode(scalar, &mut out);
        assert!(out.starts_with(b"before"));
        let written = &out[6..];
        match (result, &expected) {
            (Ok(()), Ok(expected)) => {
                let values: Vec<_> = WireReader::new(written).map(Result::unwrap).collect();
                assert_eq!(values.len(), 1);
                let read = read(values[0], is_json(plan.encoding));
                assert_eq!(&read, expected, "{scalar:?}");
                if let (Plain::Number(read), Plain::Number(expected)) = (read, expected) {
                    assert_eq!(read.to_bits(), expected.to_bits(), "zeros have signs");
                }
            }
            (Err(fast), Err(slow)) => {
                assert!(
                    same_refusal(plan.encoding, &fast, slow),
                    "{scalar:?}: {fast:?}, {slow:?}"
                );
                assert!(written.is_empty());
            }
            (fast, slow) => panic!("{scalar:?} in {:?}: {fast:?}, {slow:?}", plan.encoding),
        }
    });
}

fn elements() -> impl Strategy<Value = ElementEncoding> {
    prop_oneof![
        Just(ElementEncoding::Bool),
        Just(ElementEncoding::Int64),
        Just(ElementEncoding::Float32),
        Just(ElementEncoding::Float64),
        Just(ElementEncoding::Numeric),
        Just(ElementEncoding::PgNumeric),
        (0..40_u32).prop_map(|characters_max| ElementEncoding::String { characters_max }),
        (0..40_u32).prop_map(|bytes_max| ElementEncoding::Bytes { bytes_max }),
        Just(ElementEncoding::Date),
        Just(ElementEncoding::Timestamp),
        any::<bool>().prop_map(|arbitrary_numbers| ElementEncoding::Json { arbitrary_numbers }),
        Just(ElementEncoding::Uuid),
    ]
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        Just(Encoding::Bool),
        Just(Encoding::Int64),
        Just(Encoding::Float32),
        Just(Encoding::Float64),
        Just(Encoding::Numeric),
        Just(Encoding::PgNumeric),
        prop_oneof![0..40_u32, Just(2_621_440)]
            .prop_map(|characters_max| Encoding::String { characters_max }),
        prop_oneof![0..40_u32, Just(CELL_BYTES_MAX)].prop_map(|bytes_max| Encoding::Bytes { bytes_max }),
        Just(Encoding::Date),
        Just(Encoding::Timestamp),
        any::<bool>().prop_map(|arbitrary_numbers| Encoding::Json { arbitrary_numbers }),
        (elements(), prop::option::of(0..5_u32))
            .prop_map(|(element, dimensions)| Encoding::Array { element, dimensions }),
        prop::option::of(0..5_u32).prop_map(Encoding::vector),
        Just(Encoding::Uuid),
    ]
}

fn integers() -> impl Strategy<Value = i128> {
    let edges = [
        i128::from(i64::MIN),
        i128::from(i64::MAX),
        i128::from(u64::MAX),
        0,
        -1,
    ];
    prop_oneof![
        any::<i64>().prop_map(i128::from),
        any::<u64>().prop_map(i128::from),
        (prop::sample::select(edges.to_vec()), -2..=2_i128)
            .prop_map(|(edge, step)| (edge + step).clamp(i128::from(i64::MIN), i128::from(u64::MAX))),
    ]
}

fn decimals() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,35}(\\.[0-9]{0,38})?",
        "-?0{0,3}[0-9]{28,31}\\.[0-9]{7,11}0{0,30}",
        "-?\\.?[0-9]{0,3}",
        "[-0-9.e+ x]{0,8}",
        "-?NaN",
    ]
}

fn dates() -> impl Strategy<Value = Date> {
    (
        prop_oneof![0..3_u16, 1890..2110_u16, 9998..=9999_u16],
        0..=13_u8,
        0..=32_u8,
    )
        .prop_map(|(year, month, day)| Date { year, month, day })
}

/// Mostly round fractions of a second.
fn nanoseconds() -> impl Strategy<Value = u32> {
    prop_oneof![
        microseconds().prop_map(|micros| micros * 1_000),
        0..=1_000_000_000_u32,
        0..10_u32
    ]
}

/// Mostly round fractions.
fn microseconds() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        0..=1_000_000_u32,
        (0..10_u32).prop_map(|tenth| tenth * 100_000),
        0..10_u32
    ]
}

fn date_times() -> impl Strategy<Value = DateTime> {
    (dates(), 0..=24_u8, 0..=60_u8, 0..=60_u8, nanoseconds()).prop_map(
        |(date, hour, minute, second, nanosecond)| DateTime {
            date,
            hour,
            minute,
            second,
            nanosecond,
        },
    )
}

fn times() -> impl Strategy<Value = Time> {
    (
        any::<bool>(),
        prop_oneof![0..3_u16, 0..=1001_u16],
        0..=60_u8,
        0..=60_u8,
        microseconds(),
    )
        .prop_map(|(negative, hours, minutes, seconds, microseconds)| Time {
            negative,
            hours,
            minutes,
            seconds,
            microseconds,
        })
}

fn intervals() -> impl Strategy<Value = Interval> {
    let small = |most: i32| prop_oneof![Just(0), -most..=most, any::<i32>()];
    let clock = prop_oneof![
        Just(0),
        any::<i64>(),
        -90_000_i64..90_000,
        (-90_000_i64..90_000).prop_map(|seconds| seconds * 1_000_000)
    ];
    (small(30), small(3), clock).prop_map(|(months, days, microseconds)| Interval {
        months,
        days,
        microseconds,
    })
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,45}",
        "[a\0é😀\u{7f}\\\\\"']{0,45}",
        "[0-9A-Fa-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9A-F]{4}-[0-9a-f]{12}"
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(plain_values(), 0..5).prop_map(Value::List);
    prop_oneof![12 => plain_values(), 1 => list]
}

fn plain_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (0..3_i128).prop_map(Value::Integer),
        intervals().prop_map(Value::Interval),
        any::<u128>().prop_map(Value::Uuid),
        integers().prop_map(Value::Integer),
        decimals().prop_map(Value::Decimal),
        any::<u32>().prop_map(|bits| Value::Float32(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| Value::Float64(f64::from_bits(bits))),
        texts().prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..45).prop_map(Value::Bytes),
        dates().prop_map(Value::Date),
        date_times().prop_map(Value::DateTime),
        times().prop_map(Value::Time),
        (trees(), any::<u64>()).prop_map(|(tree, seed)| Value::Json(spell(&tree, seed))),
        "[\\[\\]{}\":,0-9eE.+\\- a\\\\u]{0,12}".prop_map(Value::Json),
    ]
}

/// A value with an encoding that its family usually meets, or a list of such values.
fn matched() -> impl Strategy<Value = (Value, Encoding)> {
    let list = (prop::collection::vec(any::<bool>(), 0..4), matched_alone()).prop_map(list_of);
    prop_oneof![6 => matched_alone(), 1 => list]
}

/// A list of one value, or NULL, as often as there are booleans.
fn list_of((present, (value, encoding)): (Vec<bool>, (Value, Encoding))) -> (Value, Encoding) {
    let element = encoding.element().expect("values alone are no lists");
    let element_value = |present| if present { value.clone() } else { Value::Null };
    let elements = present.into_iter().map(element_value).collect();
    let dimensions = None;
    (Value::List(elements), Encoding::Array { element, dimensions })
}

fn matched_alone() -> impl Strategy<Value = (Value, Encoding)> {
    let text = || (0..60_u32).prop_map(|characters_max| Encoding::String { characters_max });
    let json = || any::<bool>().prop_map(|arbitrary_numbers| Encoding::Json { arbitrary_numbers });
    let numbers = || prop::sample::select(&[Encoding::Numeric, Encoding::PgNumeric, Encoding::Int64][..]);
    prop_oneof![
        (
            integers().prop_map(Value::Integer),
            prop_oneof![numbers(), text()]
        ),
        (
            decimals().prop_map(Value::Decimal),
            prop_oneof![numbers(), text()]
        ),
        (
            texts().prop_map(Value::Text),
            prop_oneof![text(), Just(Encoding::Uuid)]
        ),
        (dates().prop_map(Value::Date), Just(Encoding::Date)),
        (date_times().prop_map(Value::DateTime), Just(Encoding::Timestamp)),
        (times().prop_map(Value::Time), text()),
        (intervals().prop_map(Value::Interval), text()),
        (
            any::<u128>().prop_map(Value::Uuid),
            prop_oneof![text(), Just(Encoding::Uuid)]
        ),
        (
            prop_oneof![
                any::<bool>().prop_map(Value::Bool),
                (0..3_i128).prop_map(Value::Integer)
            ],
            Just(Encoding::Bool)
        ),
        (
            (trees(), any::<u64>()).prop_map(|(tree, seed)| Value::Json(spell(&tree, seed))),
            json()
        ),
        (numbers_of_json().prop_map(Value::Json), json()),
    ]
}

/// JSON whose meaning is known: members in order, no key twice, numbers as integer and power of
/// ten.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Word(&'static str),
    Number(i64, i8),
    Text(String),
    List(Vec<Tree>),
    Object(std::collections::BTreeMap<String, Tree>),
}

fn numbers_of_json() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,22})?([eE][+\\-]?[0-9]{1,3})?",
        "-?[1-9]e-?1[0-9]{4}"
    ]
}

fn trees() -> impl Strategy<Value = Tree> {
    // Numbers within 15 digits, so that both flavors hold them; normalised, so that equal numbers
    // are equal trees.
    let number = (-999_999_999_999_i64..1_000_000_000_000, -20..20_i8).prop_map(|(mut digits, mut power)| {
        while digits != 0 && digits % 10 == 0 {
            digits /= 10;
            power += 1;
        }
        Tree::Number(digits, if digits == 0 { 0 } else { power })
    });
    let leaf = prop_oneof![
        prop::sample::select(&["null", "true", "false"][..]).prop_map(Tree::Word),
        number,
        "[a-c\u{1}\n\"/\\\\é😀]{0,6}".prop_map(Tree::Text),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::List),
            prop::collection::btree_map("[a-c\"\n😀]{0,3}", inner, 0..5).prop_map(Tree::Object),
        ]
    })
}

/// One of the many texts of a tree.
fn spell(tree: &Tree, seed: u64) -> String {
    let mut text = String::new();
    Speller { state: seed | 1 }.value(tree, &mut text);
    text
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    std::fmt::Write::write_fmt(text, arguments).unwrap();
}

struct Speller {
    state: u64,
}

impl Speller {
    /// A number below `below` (xorshift).
    fn below(&mut self, below: u64) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % below).unwrap()
    }

    fn space(&mut self, text: &mut String) {
        text.push_str(["", "", " ", "\n\t"][self.below(4)]);
    }

    fn value(&mut self, tree: &Tree, text: &mut String) {
        self.space(text);
        match tree {
            Tree::Word(word) => text.push_str(word),
            Tree::Number(digits, power) => self.number(*digits, *power, text),
            Tree::Text(string) => self.string(string, text),
            Tree::List(list) => {
                text.push('[');
                for (index, tree) in list.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    self.value(tree, text);
                }
                self.space(text);
                text.push(']');
            }
            Tree::Object(map) => self.object(map, text),
        }
        self.space(text);
    }

    fn object(&mut self, map: &std::collections::BTreeMap<String, Tree>, text: &mut String) {
        let mut members: Vec<_> = map.iter().collect();
        let turn = self.below(members.len().max(1) as u64);
        members.rotate_left(turn);
        if self.below(2) == 1 {
            members.reverse();
        }
        text.push('{');
        for (index, (key, tree)) in members.into_iter().enumerate() {
            text.push_str(if index > 0 { "," } else { "" });
            self.space(text);
            self.string(key, text);
            self.space(text);
            text.push(':');
            self.value(tree, text);
        }
        self.space(text);
        text.push('}');
    }

    fn number(&mut self, digits: i64, power: i8, text: &mut String) {
        let plain = if let Ok(zeros) = usize::try_from(power) {
            format!(
                "{digits}{}",
                if digits == 0 {
                    String::new()
                } else {
                    "0".repeat(zeros)
                }
            )
        } else {
            let places = usize::from(power.unsigned_abs());
            let padded = format!("{:0>width$}", digits.unsigned_abs(), width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            format!("{}{whole}.{fraction}", if digits < 0 { "-" } else { "" })
        };
        match self.below(4) {
            0 => put(text, format_args!("{digits}e{power}")),
            1 => put(text, format_args!("{digits}.00E{power:+}")),
            // An integer spelled as one must fit 64 bits to be one, but doubles take these as well.
            2 if plain.contains('.') => put(text, format_args!("{plain}0")),
            _ => text.push_str(&plain),
        }
    }

    fn string(&mut self, string: &str, text: &mut String) {
        text.push('"');
        for character in string.chars() {
            match (character, self.below(3)) {
                (_, 0) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        put(text, format_args!("\\u{unit:04x}"));
                    }
                }
                ('\n', _) => text.push_str("\\n"),
                ('/', 1) => text.push_str("\\/"),
                ('"' | '\\', _) => text.extend(['\\', character]),
                ('\0'..'\u{20}', _) => put(text, format_args!("\\u{:04X}", u32::from(character))),
                (_, _) => text.push(character),
            }
        }
        text.push('"');
    }
}

fn encoded(plan: &ColumnPlan, scalar: Scalar<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    plan.encode(scalar, &mut out).ok().map(|()| out)
}

/// The encoded forms of a value by all of its roads; they must be one.
fn one_form(encoding: Encoding, value: &Value) -> Option<Vec<u8>> {
    let mut forms = Vec::new();
    value.each_scalar(|scalar| forms.push(encoded(&column(0, encoding), scalar)));
    forms.dedup();
    assert_eq!(forms.len(), 1, "{value:?} has one form on every road");
    forms.pop().flatten()
}

/// Distinct values of one column type, and the encoding that a key of it has.
fn key_pairs() -> impl Strategy<Value = (Encoding, Value, Value)> {
    let text = Encoding::String { characters_max: 100 };
    let scaled = || "-?[0-9]{1,9}\\.[0-9]{3}".prop_map(Value::Decimal);
    let pair = |encoding: Encoding, values: BoxedStrategy<Value>| {
        (values.clone(), values).prop_map(move |(left, right)| (encoding, left, right))
    };
    prop_oneof![
        pair(Encoding::Int64, integers().prop_map(Value::Integer).boxed()),
        pair(Encoding::Int64, (-3..4_i128).prop_map(Value::Integer).boxed()),
        pair(Encoding::Numeric, (-3..4_i128).prop_map(Value::Integer).boxed()),
        pair(Encoding::Numeric, scaled().boxed()),
        pair(text, scaled().boxed()),
        pair(text, "[aA\0 é]{0,3}".prop_map(Value::Text).boxed()),
        pair(
            Encoding::Bytes { bytes_max: 9 },
            prop::collection::vec(0..3_u8, 0..4)
                .prop_map(Value::Bytes)
                .boxed()
        ),
        pair(Encoding::Date, dates().prop_map(Value::Date).boxed()),
        pair(
            Encoding::Timestamp,
            date_times().prop_map(Value::DateTime).boxed()
        ),
        pair(text, times().prop_map(Value::Time).boxed()),
        pair(text, intervals().prop_map(Value::Interval).boxed()),
        pair(Encoding::Bool, any::<bool>().prop_map(Value::Bool).boxed()),
        pair(Encoding::Uuid, (0..3_u128).prop_map(Value::Uuid).boxed()),
    ]
}

/// Whether the source takes two values for one: decimals and times by what they say.
fn same_at_source(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Decimal(left), Value::Decimal(right)) => {
            let scaled = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
            scaled(left) == scaled(right)
        }
        (Value::Time(left), Value::Time(right)) => {
            let signed = |time: &Time| {
                let seconds =
                    (i64::from(time.hours) * 60 + i64::from(time.minutes)) * 60 + i64::from(time.seconds);
                let size = seconds * 1_000_000 + i64::from(time.microseconds);
                if time.negative { -size } else { size }
            };
            signed(left) == signed(right)
        }
        (left, right) => left == right,
    }
}

fn canonical(encoding: Encoding, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Canonicalizer::new(&table(&[encoding], vec![0]))
        .row(payload, &mut out)
        .unwrap();
    out
}

/// A row of one text as the target might spell it.
fn canonical_text(encoding: Encoding, text: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    crate::wire::list_value::put_string(&mut payload, text.as_bytes());
    canonical(encoding, &payload)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_fast_way_equals_the_plain_one(value in values(), encoding in encodings(), not_null: bool) {
        check(&value, &ColumnPlan::of_source(0, 0, encoding, not_null));
    }

    #[test]
    fn values_in_columns_of_their_own_type((value, encoding) in matched()) {
        check(&value, &column(0, encoding));
    }

    #[test]
    fn distinct_keys_stay_distinct((encoding, left, right) in key_pairs()) {
        if let (Some(left_form), Some(right_form)) = (one_form(encoding, &left), one_form(encoding, &right)) {
            prop_assert_eq!(left_form == right_form, same_at_source(&left, &right));
            prop_assert_eq!(canonical(encoding, &left_form) == canonical(encoding, &right_form), left_form == right_form);
        }
    }

    /// Two texts in a key cannot trade bytes with each other.
    #[test]
    fn composite_keys_stay_apart(left in ["[a\0]{0,3}", "[a\0]{0,3}"], right in ["[a\0]{0,3}", "[a\0]{0,3}"]) {
        let text = Encoding::String { characters_max: 9 };
        let plan = table(&[text, text], vec![1, 0]);
        let key = |row: &[String; 2]| {
            let (mut encoder, mut key) = (RowEncoder::new(), Vec::new());
            let layout = RowLayout::of(&plan);
            encoder.begin(&plan, &layout);
            encoder.cell(&plan, &layout, Scalar::Text(&row[0])).unwrap();
            encoder.cell(&plan, &layout, Scalar::Text(&row[1])).unwrap();
            encoder.end(&plan, &layout).unwrap();
            encoder.key_into(&plan, &mut key);
            let (mut whole, mut canonical_key) = (Vec::new(), Vec::new());
            let canonicalizer = Canonicalizer::new(&plan);
            canonicalizer.row(encoder.row(), &mut whole).unwrap();
            canonicalizer.key(&whole, &mut canonical_key).unwrap();
            assert_eq!(key, canonical_key);
            key
        };
        prop_assert_eq!(key(&left) == key(&right), left == right);
        prop_assert_eq!(digest(&key(&left)) == digest(&key(&right)), left == right);
    }

    #[test]
    fn spellings_of_one_json_compare_equal(tree in trees(), seeds: [u64; 2], arbitrary_numbers: bool) {
        let encoding = Encoding::Json { arbitrary_numbers };
        let texts = seeds.map(|seed| spell(&tree, seed));
        let stored = encoded(&column(0, encoding), Scalar::Json(&texts[0])).unwrap();
        prop_assert_eq!(canonical(encoding, &stored), canonical_text(encoding, &texts[1]));
        let target = serde_json::from_str::<serde_json::Value>(&texts[1]).unwrap().to_string();
        prop_assert_eq!(canonical(encoding, &stored), canonical_text(encoding, &target));
    }

    #[test]
    fn different_json_compares_different(left in trees(), right in trees(), seeds: [u64; 2], arbitrary_numbers: bool) {
        let encoding = Encoding::Json { arbitrary_numbers };
        let forms = [canonical_text(encoding, &spell(&left, seeds[0])), canonical_text(encoding, &spell(&right, seeds[1]))];
        prop_assert_eq!(forms[0] == forms[1], left == right);
    }

    /// As the target may print what it was given.
    #[test]
    fn the_targets_spelling_compares_equal(value in date_times(), decimal in "-?[0-9]{1,20}\\.[0-9]{1,9}", zeros in 0..9_usize) {
        if let Some(stored) = one_form(Encoding::Timestamp, &Value::DateTime(value)) {
            let DateTime { date, hour, minute, second, nanosecond } = value;
            let text = format!(
                "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}Z", date.year, date.month, date.day
            );
            prop_assert_eq!(canonical(Encoding::Timestamp, &stored), canonical_text(Encoding::Timestamp, &text));
        }
        for encoding in [Encoding::Numeric, Encoding::PgNumeric] {
            let stored = one_form(encoding, &Value::Decimal(decimal.clone())).unwrap();
            let text = format!("{decimal}{}", "0".repeat(zeros));
            prop_assert_eq!(canonical(encoding, &stored), canonical_text(encoding, &text));
        }
    }

    /// JSON aside, whose compared form is no JSON that the target would hold.
    #[test]
    fn canonical_form_is_its_own((value, encoding) in matched()) {
        let mut stored = None;
        value.each_scalar(|scalar| stored = stored.take().or(encoded(&column(0, encoding), scalar)));
        if let Some(stored) = stored.filter(|_| !is_json(encoding)) {
            let once = canonical(encoding, &stored);
            prop_assert_eq!(canonical(encoding, &once), once);
        }
    }
}

#[test]
fn the_longest_values_pass_and_one_more_does_not() {
    let text = Encoding::String {
        characters_max: 2_621_440,
    };
    let widest = "😀".repeat(2_621_440);
    check(&Value::Text(widest.clone()), &column(0, text));
    assert!(convert(&Value::Text(widest.clone()), &column(0, text)).is_ok());
    check(&Value::Text(widest + "a"), &column(0, text));
    let bytes = Encoding::Bytes {
        bytes_max: CELL_BYTES_MAX,
    };
    for length in [CELL_BYTES_MAX as usize, CELL_BYTES_MAX as usize + 1] {
        let expected = length == CELL_BYTES_MAX as usize;
        assert_eq!(
            encoded(&column(0, bytes), Scalar::Bytes(&vec![7; length])).is_some(),
            expected
        );
        let json = format!("  \"{}\"", "x".repeat(length - 2));
        let json_column = column(
            0,
            Encoding::Json {
                arbitrary_numbers: false,
            },
        );
        let limit = Refusal::TooLong {
            limit: u64::from(CELL_BYTES_MAX),
        };
        let result = json_column.encode(Scalar::Json(&json), &mut Vec::new());
        assert_eq!(result, if expected { Ok(()) } else { Err(limit) });
    }
}
