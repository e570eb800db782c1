//! Where there is no Spanner emulator the demo ends with 3 and the commands that install it, before
//! anything is built, fetched or started.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// A machine on which a `gcloud` is installed and no emulator beside it: folders of its own, the
/// rest is shared.
struct Machine {
    path: PathBuf,
}

impl Machine {
    fn new() -> Machine {
        let path = env::temp_dir().join(format!("xtask-no-emulator-{}", std::process::id()));
        for folder in ["bin", "cache", "tmp", "empty"] {
            fs::create_dir_all(path.join(folder)).unwrap();
        }
        let gcloud = path.join("bin/gcloud");
        fs::write(&gcloud, "#!/bin/sh\nexit 1\n").unwrap();
        fs::set_permissions(&gcloud, fs::Permissions::from_mode(0o755)).unwrap();
        Machine { path }
    }

    /// Runs the demo with `named` as the address of an emulator; the exit status and what was
    /// printed.
    fn demo(&self, named: Option<&str>) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let own = |folder: &str| self.path.join(folder);
        let path = env::join_paths(
            [own("bin")]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap())),
        );
        command
            .arg("demo")
            .env("PATH", path.unwrap())
            .env("SVC_CACHE", own("cache"))
            .env("TMPDIR", own("tmp"))
            .env("SPANNER_EMULATOR_DIR", own("empty"))
            .env("SPANNER_SDK_DIR", own("empty"))
            .env_remove("SPANNER_EMULATOR_HOST");
        if let Some(named) = named {
            command.env("SPANNER_EMULATOR_HOST", named);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_missing_emulator_ends_the_demo_before_it_begins() {
    let machine = Machine::new();
    // A port on which no process listens any more.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    for named in [None, Some(address.as_str())] {
        let (status, said) = machine.demo(named);
        assert_eq!(status, Some(3), "{said}");
        assert!(
            said.contains("error: this machine has no Cloud Spanner emulator"),
            "{said}"
        );
        for remedy in [
            "apt-get install google-cloud-cli-spanner-emulator",
            "gcloud components install cloud-spanner-emulator",
            "SPANNER_EMULATOR_DIR",
            "SPANNER_EMULATOR_HOST",
        ] {
            assert!(said.contains(remedy), "{said}");
        }
        assert_eq!(
            said.contains("SPANNER_EMULATOR_HOST is set, but"),
            named.is_some(),
            "{said}"
        );
        for begun in ["building", "starting", "creating"] {
            assert!(!said.contains(begun), "{said}");
        }
        assert!(is_empty(&machine.path.join("cache")) && is_empty(&machine.path.join("tmp")));
    }
}
