//! The two forms, by what they make of texts.

use super::*;

fn written(text: &str, flavor: Flavor, form: Form) -> Result<String, Reason> {
    let mut out = Vec::new();
    write(text, flavor, form, &mut out).map(|()| String::from_utf8(out).unwrap())
}

#[test]
fn stored_text_is_the_source_without_spaces() {
    let check = |text, expected: &str| {
        assert_eq!(written(text, Flavor::Json, Form::Stored).as_deref(), Ok(expected));
    };
    check(
        r#" {"b": 1.50, "a" : [ true,null , {} ]} "#,
        r#"{"b":1.50,"a":[true,null,{}]}"#,
    );
    check(
        r#""\u0041\u00e9\ud83d\ude00\/\b\u0008\u001f\u0000""#,
        "\"Aé😀/\\b\\b\\u001f\\u0000\"",
    );
    check("-0", "-0");
    check("1E+2", "1E+2");
}

#[test]
fn equal_values_compare_equal() {
    let compared = |text, flavor| written(text, flavor, Form::Compared).unwrap();
    let check = |left, right| {
        for flavor in [Flavor::Json, Flavor::Jsonb] {
            assert_eq!(compared(left, flavor), compared(right, flavor), "{left} {right}");
        }
    };
    check(
        r#"{"b": 1, "a": [true, null], "aa": {"y": 2, "x": 3}}"#,
        r#"{"a":[true,null],"aa":{"x":3,"y":2},"b":1.0}"#,
    );
    check("1.50", "15e-1");
    check("-0.0", "0");
    check("100", "1E2");
    check("0.00e7", "-0");
    check(r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\"");
    // As `%.17g` prints the double.
    assert_eq!(
        compared("0.1", Flavor::Json),
        compared("0.10000000000000001", Flavor::Json)
    );
    assert_ne!(
        compared("0.1", Flavor::Jsonb),
        compared("0.10000000000000001", Flavor::Jsonb)
    );
    assert_eq!(
        compared("5e-324", Flavor::Json),
        compared("4.94065645841247e-324", Flavor::Json)
    );
    assert_ne!(
        compared("18446744073709551615", Flavor::Json),
        compared("18446744073709551614", Flavor::Json)
    );
    assert_ne!(compared("[1,2]", Flavor::Json), compared("[2,1]", Flavor::Json));
    assert_ne!(compared("[12]", Flavor::Json), compared("[1,2]", Flavor::Json));
}

#[test]
fn what_the_target_would_change_is_refused() {
    let check = |text: &str, json: bool, jsonb: bool| {
        assert_eq!(
            written(text, Flavor::Json, Form::Stored).is_ok(),
            json,
            "JSON {text}"
        );
        assert_eq!(
            written(text, Flavor::Jsonb, Form::Stored).is_ok(),
            jsonb,
            "jsonb {text}"
        );
    };
    check("18446744073709551615", true, true);
    check("-9223372036854775808", true, true);
    check("18446744073709551616", false, true);
    check("100000000000000000000", true, true);
    check("9007199254740993.0", false, true);
    check("0.1", true, true);
    check("5e-324", true, true);
    check("1.7976931348623157e308", true, true);
    check("0.1234567890123456789", false, true);
    check("1e400", false, true);
    check("1e-400", false, true);
    check("1e4931", false, true);
    check("1e4932", false, false);
    check("1e-16383", false, true);
    check("1e-16384", false, false);
    check("1e99999999999999999999999", false, false);
    check("0e99999999999999999999999", true, true);
    check(r#"{"a":1,"b":2,"a":3}"#, false, false);
    check(r#"{"b":1,"a":{"b":1},"c":{"b":1}}"#, true, true);
    check(r#"{"a":1,"\u0061":1}"#, false, false);
    check(r#""\u0000""#, true, false);
    check(&("[".repeat(80) + "1" + &"]".repeat(80)), true, true);
    check(&("[".repeat(81) + &"]".repeat(81)), false, false);
    check(&(r#"{"a":"#.repeat(81) + "1" + &"}".repeat(81)), false, false);
}

#[test]
fn what_is_no_json_is_refused() {
    for text in [
        "",
        " ",
        "[1,]",
        "[,1]",
        "[1",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "1e+",
        "- 1",
        "1 2",
        "{} x",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\n\"",
        "tru",
        "NaN",
        "Infinity",
        "'a'",
        "1/**/",
        "\u{feff}1",
    ] {
        assert!(written(text, Flavor::Json, Form::Stored).is_err(), "{text}");
    }
}
