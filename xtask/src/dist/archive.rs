//! Packs a folder as `NAME.tar.gz` with `NAME.tar.gz.sha256` beside it; equal files give an equal
//! archive.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{unusable, write};
use crate::cargo::succeeds;
use crate::error::TaskError;

/// A packed archive.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
}

/// Packs `name`, a folder in `folder`.
pub(super) fn pack(folder: &Path, name: &str) -> Result<Archive, TaskError> {
    let file = format!("{name}.tar.gz");
    let path = folder.join(&file);
    let mut tar = Command::new("tar");
    tar.args([
        "--create",
        "--use-compress-program=gzip -9n",
        "--sort=name",
        "--format=ustar",
    ]);
    tar.args([
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "--mode=u=rwX,go=rX",
    ]);
    tar.arg("--file")
        .arg(&path)
        .arg("--directory")
        .arg(folder)
        .arg(name);
    if !succeeds(&mut tar)? {
        return Err(TaskError::Failed(format!("{file} cannot be packed, see above")));
    }
    let sha256 = digest(&path)?;
    write(
        &folder.join(format!("{file}.sha256")),
        &format!("{sha256}  {file}\n"),
    )?;
    Ok(Archive { path, sha256 })
}

fn digest(path: &Path) -> Result<String, TaskError> {
    let output = Command::new("sha256sum")
        .arg(path)
        .output()
        .map_err(|source| TaskError::Run {
            program: "sha256sum".into(),
            source,
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = text.split_whitespace().next().filter(|_| output.status.success());
    digest
        .map(str::to_owned)
        .ok_or_else(|| unusable(path, std::io::Error::other("sha256sum has failed")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::files::{copy, write};
    use super::pack;

    #[test]
    fn the_archive_holds_the_files_and_its_checksum_is_right() {
        let folder = std::env::temp_dir().join(format!("spanferry-archive-{}", std::process::id()));
        let program = std::env::current_exe().unwrap();
        copy(&program, &folder.join("x-1/bin/spanferry")).unwrap();
        write(&folder.join("x-1/share/man/man1/spanferry.1"), "page").unwrap();
        let archive = pack(&folder, "x-1").unwrap();
        let again = pack(&folder, "x-1").unwrap();
        assert_eq!(archive.sha256, again.sha256);

        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            let output = command.args(arguments).current_dir(&folder).output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let held = run("tar", &["--list", "--verbose", "--gzip", "--file", "x-1.tar.gz"]);
        let held: Vec<Vec<&str>> = held
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let held: Vec<(&str, &str, &str)> = held
            .iter()
            .map(|words| (words[0], words[1], *words.last().unwrap()))
            .collect();
        assert_eq!(
            held,
            [
                ("drwxr-xr-x", "0/0", "x-1/"),
                ("drwxr-xr-x", "0/0", "x-1/bin/"),
                ("-rwxr-xr-x", "0/0", "x-1/bin/spanferry"),
                ("drwxr-xr-x", "0/0", "x-1/share/"),
                ("drwxr-xr-x", "0/0", "x-1/share/man/"),
                ("drwxr-xr-x", "0/0", "x-1/share/man/man1/"),
                ("-rw-r--r--", "0/0", "x-1/share/man/man1/spanferry.1"),
            ]
        );
        assert_eq!(
            run("sha256sum", &["--check", "x-1.tar.gz.sha256"]),
            "x-1.tar.gz: OK\n"
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
