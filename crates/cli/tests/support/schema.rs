//! Holds JSON against `docs/reference/output.schema.json`: as much of JSON Schema as that page
//! uses.

use serde_json::Value;

/// Every line of an output must be as the page says for a verb; the lines.
pub fn expect_documented(verb: &str, output: &str) -> Vec<Value> {
    let page = include_str!("../../../../docs/reference/output.schema.json");
    let page: Value = serde_json::from_str(page).unwrap();
    let definition = &page["$defs"][verb];
    assert!(definition.is_object(), "the page has no `{verb}`");
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        if let Err(reason) = validate(line, definition, &page) {
            panic!("{reason}\nin {line}");
        }
    }
    lines
}

fn validate(value: &Value, schema: &Value, page: &Value) -> Result<(), String> {
    for (keyword, expected) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "$ref" => {
                let name = expected.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                validate(value, &page["$defs"][name], page)?;
            }
            "anyOf" => any_of(value, expected.as_array().unwrap(), page)?,
            "type" => expect(has_type(value, expected), value, schema)?,
            "enum" => expect(expected.as_array().unwrap().contains(value), value, schema)?,
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    validate(item, expected, page)?;
                }
            }
            "required" => {
                for name in expected.as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    expect(value.get(name).is_some(), &name.into(), schema)?;
                }
            }
            // Judged with the other one.
            "properties" => {}
            "additionalProperties" => members(value, schema, page)?,
            other => panic!("the page uses `{other}`, which this test does not know"),
        }
    }
    Ok(())
}

/// Each member as its own schema says, or as that of the members that have none.
fn members(value: &Value, schema: &Value, page: &Value) -> Result<(), String> {
    for (name, field) in value.as_object().into_iter().flatten() {
        let known = match schema["properties"].get(name) {
            Some(known) => known,
            None if schema["additionalProperties"] == false => {
                return Err(format!("`{name}` is not documented"));
            }
            None => &schema["additionalProperties"],
        };
        validate(field, known, page).map_err(|reason| format!("`{name}`: {reason}"))?;
    }
    Ok(())
}

fn any_of(value: &Value, choices: &[Value], page: &Value) -> Result<(), String> {
    // Events are distinguished by their name, so that the reason is that of the right one.
    let named = |choice: &&Value| choice["properties"]["event"]["enum"][0] == value["event"];
    if let Some(choice) = choices
        .iter()
        .filter(|_| value.get("event").is_some())
        .find(named)
    {
        return validate(value, choice, page);
    }
    let reasons: Vec<String> = choices
        .iter()
        .map_while(|choice| validate(value, choice, page).err())
        .collect();
    if reasons.len() < choices.len() {
        return Ok(());
    }
    Err(reasons.join("; "))
}

fn has_type(value: &Value, expected: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    };
    match expected {
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

fn expect(holds: bool, value: &Value, schema: &Value) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(format!("{value} is not as {schema} says"))
}
