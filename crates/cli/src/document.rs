//! The format of what programs read: every JSON object that is printed, `status.json` and
//! `report.json` name its version, and a file of another version is refused by name.

use serde_json::Value;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};

/// The format of docs/reference/json.md. It changes when a field changes its meaning or goes away;
/// new fields do not change it.
pub(crate) const VERSION: u32 = 1;

/// An object with the number of its format, in one line.
pub(crate) fn text(object: &Value) -> String {
    if object.get("version").is_some() {
        return object.to_string();
    }
    let mut object = object.clone();
    object["version"] = VERSION.into();
    object.to_string()
}

/// Reads the content of a file that `object` names.
pub(crate) fn read(content: &[u8], object: &str) -> Result<Value, Failure> {
    let found: Value = serde_json::from_slice(content)
        .map_err(|cause| refused(object, "cannot be read".to_owned()).caused_by(cause))?;
    let version = found["version"].as_u64();
    expect_version(version, VERSION, object)?;
    Ok(found)
}

/// Refuses a file of another format than this release reads.
pub(crate) fn expect_version(found: Option<u64>, known: u32, object: &str) -> Result<(), Failure> {
    match found {
        Some(found) if found == u64::from(known) => Ok(()),
        Some(found) => Err(refused(
            object,
            format!("has format {found}; this release reads format {known}"),
        )),
        None => Err(refused(
            object,
            format!("has no format number; this release reads format {known}"),
        )),
    }
}

/// The failure of a file that this release cannot read.
pub(crate) fn refused(object: &str, text: String) -> Failure {
    let failure = Failure::new(code::STATE_FOREIGN, Class::StopMigration, object, text);
    failure.hint("Continue with the release that wrote it, or name another `--state-dir`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_refused_by_name() {
        let check = |content: &str, expected: &str| {
            let refused = read(content.as_bytes(), "dir/status.json").unwrap_err();
            assert_eq!(refused.code, code::STATE_FOREIGN);
            assert_eq!(refused.to_string(), format!("dir/status.json: {expected}"));
        };
        check(r#"{"version": 2}"#, "has format 2; this release reads format 1");
        for content in [r#"{"state": "ended"}"#, r#"{"version": "1"}"#, "[]", "7"] {
            check(content, "has no format number; this release reads format 1");
        }
        check("{", "cannot be read");
        let known = read(br#"{"version": 1, "state": "ended"}"#, "dir/status.json").unwrap();
        assert_eq!(known["state"], "ended");
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for object in [serde_json::json!({}), serde_json::json!({"version": 1})] {
            assert_eq!(text(&object), r#"{"version":1}"#);
        }
    }
}
