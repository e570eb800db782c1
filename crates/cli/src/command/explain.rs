//! `spanferry explain`: the register of codes.

use spanferry_core::report::code::{ALL, Code, Exit};
use spanferry_core::report::failure::Failure;

use crate::render;
use crate::usage_failure::usage;

/// Prints one code or all.
pub(crate) fn run(code: Option<&str>) -> Result<u8, Failure> {
    match code {
        None => {
            for code in ALL {
                render::print(&format!("{code}  {}", code.title()));
            }
        }
        Some(text) => {
            let unknown = || {
                usage(text, "expected a known code such as `SF-2003`")
                    .hint("`spanferry explain` lists them all.")
            };
            let code = Code::parse(text).ok_or_else(unknown)?;
            render::print(&format!("{code}: {}", code.title()));
            render::print(code.explanation());
            render::print(&format!("{}.", consequence(code)));
        }
    }
    Ok(0)
}

/// What a code means for the command in which it comes up.
pub(crate) fn consequence(code: Code) -> String {
    match code.exit() {
        Exit::Recorded => "It ends no command".to_owned(),
        exit => format!("Exit status {}", exit.status()),
    }
}
