//! What a program needs of the system it runs on, as `readelf` shows it.

use std::path::Path;
use std::process::Command;

use crate::error::TaskError;

/// The libraries that belong to glibc: the dynamic loader, and those that it comes with.
const C_LIBRARY: [&str; 6] = [
    "ld-linux",
    "libc.so.",
    "libm.so.",
    "libpthread.so.",
    "libdl.so.",
    "librt.so.",
];

/// A program's needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Names of shared libraries.
    libraries: Vec<String>,
    /// The highest version of glibc whose symbols it uses, such as 2.34.
    glibc: Option<Vec<u32>>,
}

/// Reads the needs of `program`.
pub(super) fn of(program: &Path) -> Result<Needs, TaskError> {
    let mut command = Command::new("readelf");
    command
        .env("LC_ALL", "C")
        .args(["--wide", "--dynamic", "--version-info"])
        .arg(program);
    let output = command.output().map_err(|source| TaskError::Run {
        program: "readelf".into(),
        source,
    })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(TaskError::Failed(format!(
            "readelf {}: {text}",
            program.display()
        )));
    }
    Ok(Needs::read(&String::from_utf8_lossy(&output.stdout)))
}

impl Needs {
    fn read(text: &str) -> Needs {
        let between = |line: &str, start: &str, end: char| {
            let (_, rest) = line.split_once(start)?;
            rest.split_once(end).map(|(found, _)| found.to_owned())
        };
        let version = |line: &str| {
            let found = between(&format!("{line} "), "Name: GLIBC_", ' ')?;
            found
                .split('.')
                .map(|part| part.parse().ok())
                .collect::<Option<Vec<u32>>>()
        };
        Needs {
            libraries: text
                .lines()
                .filter(|line| line.contains("(NEEDED)"))
                .filter_map(|line| between(line, "[", ']'))
                .collect(),
            glibc: text.lines().filter_map(version).max(),
        }
    }

    /// An error that names every library which is not the C library.
    pub(super) fn only_the_c_library(&self) -> Result<(), String> {
        let is_c = |library: &&String| !C_LIBRARY.iter().any(|name| library.starts_with(name));
        let others: Vec<&str> = self.libraries.iter().filter(is_c).map(String::as_str).collect();
        if others.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the program needs more than the system's C library: {}",
            others.join(", ")
        ))
    }

    /// For a person: `glibc 2.34 or later (libc.so.6, …)`.
    pub(super) fn text(&self) -> String {
        if self.libraries.is_empty() {
            return "no library".into();
        }
        let version = self.glibc.as_ref().map(|version| {
            let parts: Vec<String> = version.iter().map(u32::to_string).collect();
            format!(" {} or later", parts.join("."))
        });
        format!(
            "glibc{} ({})",
            version.unwrap_or_default(),
            self.libraries.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Needs, of};

    const DYNAMIC: &str = "
  Tag        Type                         Name/Value
 0x0000000000000001 (NEEDED)             Shared library: [libm.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [libc.so.6]
 0x0000000000000001 (NEEDED)             Shared library: [ld-linux-x86-64.so.2]
 0x000000000000000c (INIT)               0x8000
Version needs section '.gnu.version_r' contains 2 entries:
  000000: Version: 1  File: libc.so.6  Cnt: 12
  0x0050:   Name: GLIBC_2.9  Flags: none  Version: 4
  0x0060:   Name: GLIBC_2.34  Flags: none  Version: 12
  0x0070:   Name: GLIBC_2.3.4  Flags: none  Version: 11
  0x0080:   Name: GLIBC_PRIVATE  Flags: none  Version: 13";

    #[test]
    fn libraries_and_the_highest_version_are_read() {
        let needs = Needs::read(DYNAMIC);
        assert_eq!(needs.only_the_c_library(), Ok(()));
        assert_eq!(
            needs.text(),
            "glibc 2.34 or later (libm.so.6, libc.so.6, ld-linux-x86-64.so.2)"
        );
    }

    #[test]
    fn other_libraries_are_refused_by_name() {
        let others = DYNAMIC.replace("libm.so.6", "libssl.so.3");
        let refused = Needs::read(&others).only_the_c_library().unwrap_err();
        assert!(refused.ends_with(": libssl.so.3"), "{refused}");
    }

    #[test]
    fn a_real_program_is_read() {
        // A plain build of Rust needs the compiler's runtime, which `dist` links statically.
        let needs = of(&std::env::current_exe().unwrap()).unwrap();
        let refused = needs.only_the_c_library().unwrap_err();
        assert!(refused.ends_with(": libgcc_s.so.1"), "{refused}");
        assert!(needs.text().starts_with("glibc 2."), "{}", needs.text());
    }
}
