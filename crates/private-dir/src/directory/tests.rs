//! Tests of the private directory on the real file system.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{Gid, Uid};
use rustix::fs::{chownat, mknodat};

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sf-private-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn fault<T: std::fmt::Debug>(found: Result<T, PrivateError>) -> Fault {
    match found.unwrap_err() {
        PrivateError::Unsafe { fault, .. } => fault,
        other @ PrivateError::Io { .. } => panic!("{other}"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_made_is_ours_alone() {
    let scratch = Scratch::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = PrivateDir::create(&scratch.at("a/b")).unwrap();
    assert_eq!(mode(directory.path()), 0o700);
    directory.replace("one", b"1").unwrap();
    directory.replace_durably("one", b"2").unwrap();
    directory.open_to_append("two").unwrap().write_all(b"x").unwrap();
    directory.open_or_create("two").unwrap();
    let mut names = directory.names().unwrap();
    names.sort();
    assert_eq!(names, ["one", "two"]);
    for name in names {
        assert_eq!(mode(&directory.path().join(name)), 0o600);
    }
    assert_eq!(directory.read("one").unwrap().unwrap(), b"2");
    assert_eq!(directory.read("two").unwrap().unwrap(), b"x");
    assert_eq!(directory.read("three").unwrap(), None);
    assert!(PrivateDir::open(&scratch.at("none")).unwrap().is_none());
    PrivateDir::create(&directory.path().join("inner"))
        .unwrap()
        .replace("f", b"")
        .unwrap();
    directory.remove_directory("inner").unwrap();
    directory.remove_directory("inner").unwrap();
    assert!(!directory.contains("inner"));
}

#[test]
fn a_directory_that_others_can_reach_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.at("open");
    PrivateDir::create(&path).unwrap();
    for mode in [0o777, 0o755, 0o701, 0o740, 0o1777] {
        set_mode(&path, mode);
        let expected = Fault::Mode {
            mode,
            is_directory: true,
        };
        assert_eq!(fault(PrivateDir::open(&path)), expected);
        assert_eq!(fault(PrivateDir::create(&path)), expected);
    }
    set_mode(&path, 0o700);
    PrivateDir::open(&path).unwrap();
}

#[test]
fn a_link_is_never_followed() {
    let scratch = Scratch::new();
    let real = PrivateDir::create(&scratch.at("real")).unwrap();
    real.replace("inside", b"kept").unwrap();
    let victim = scratch.at("victim");
    fs::write(&victim, "kept").unwrap();
    // The directory itself, with and without a slash, and one that points nowhere.
    for (name, to) in [("link", scratch.at("real")), ("dangling", scratch.at("nowhere"))] {
        symlink(&to, scratch.at(name)).unwrap();
        for path in [scratch.at(name), scratch.at(&format!("{name}/"))] {
            assert_eq!(fault(PrivateDir::open(&path)), Fault::Link { to: to.clone() });
            assert_eq!(fault(PrivateDir::create(&path)), Fault::Link { to: to.clone() });
        }
    }
    // Each way to open a file.
    for (number, to) in [&victim, &scratch.at("nowhere")].into_iter().enumerate() {
        let name = format!("f{number}");
        symlink(to, real.path().join(&name)).unwrap();
        let link = Fault::Link { to: to.clone() };
        assert_eq!(fault(real.read(&name)), link);
        assert_eq!(fault(real.open_to_write(&name)), link);
        assert_eq!(fault(real.open_or_create(&name)), link);
        assert_eq!(fault(real.open_to_append(&name)), link);
        // What replaces a file replaces the link, and leaves the file that it points to.
        symlink(to, real.path().join(format!("{name}.new"))).unwrap();
        real.replace(&name, b"new").unwrap();
        assert_eq!(real.read(&name).unwrap().unwrap(), b"new");
        symlink(to, real.path().join("made")).unwrap();
        drop(real.create_new("made").unwrap());
        real.remove("made").unwrap();
    }
    symlink(scratch.at("real"), real.path().join("log")).unwrap();
    assert!(matches!(fault(real.remove_directory("log")), Fault::Link { .. }));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    assert_eq!(real.read("inside").unwrap().unwrap(), b"kept");
    assert!(!scratch.at("nowhere").exists());
}

#[test]
fn a_file_that_is_not_ours_alone_is_refused() {
    let scratch = Scratch::new();
    let directory = PrivateDir::create(&scratch.at("d")).unwrap();
    let path = |name: &str| directory.path().join(name);
    directory.replace("open", b"").unwrap();
    set_mode(&path("open"), 0o640);
    let expected = Fault::Mode {
        mode: 0o640,
        is_directory: false,
    };
    assert_eq!(fault(directory.read("open")), expected);
    assert_eq!(fault(directory.open_to_append("open")), expected);
    directory.replace("two", b"").unwrap();
    fs::hard_link(path("two"), scratch.at("second name")).unwrap();
    assert_eq!(fault(directory.open_or_create("two")), Fault::HardLink);
    fs::create_dir(path("folder")).unwrap();
    assert_eq!(fault(directory.open_to_write("folder")), Fault::NotFile);
    // A pipe would block the process that opens it.
    mknodat(&directory, "pipe", FileType::Fifo, FILE_MODE, 0).unwrap();
    assert_eq!(fault(directory.read("pipe")), Fault::NotFile);
    assert_eq!(fault(directory.open_to_append("pipe")), Fault::NotFile);
    fs::write(scratch.at("file"), "").unwrap();
    assert_eq!(fault(PrivateDir::open(&scratch.at("file"))), Fault::NotDirectory);
}

#[test]
fn what_belongs_to_another_user_is_refused() {
    let expected = geteuid().as_raw();
    if !geteuid().is_root() {
        // The root of the file system belongs to the administrator.
        assert_eq!(
            fault(PrivateDir::open(Path::new("/"))),
            Fault::Owner { owner: 0, expected }
        );
        return;
    }
    let scratch = Scratch::new();
    let directory = PrivateDir::create(&scratch.at("d")).unwrap();
    directory.replace("planted", b"{}").unwrap();
    let other = Fault::Owner {
        owner: 65_534,
        expected,
    };
    let give = |path: &Path| {
        let (user, group) = (Uid::from_raw(65_534), Gid::from_raw(65_534));
        chownat(CWD, path, Some(user), Some(group), AtFlags::empty()).unwrap();
    };
    give(&directory.path().join("planted"));
    assert_eq!(fault(directory.read("planted")), other);
    give(directory.path());
    assert_eq!(fault(PrivateDir::open(directory.path())), other);
    assert_eq!(fault(PrivateDir::create(directory.path())), other);
}

#[test]
fn the_remedy_is_a_command_that_works() {
    let scratch = Scratch::new();
    let path = scratch.at("it's here");
    let directory = PrivateDir::create(&path).unwrap();
    directory.replace("a file", b"").unwrap();
    let run = |error: PrivateError| {
        let PrivateError::Unsafe { path, fault } = error else {
            panic!("{error}")
        };
        let remedy = fault.remedy(&path);
        let command = remedy.split('`').nth(1).unwrap();
        let done = std::process::Command::new("sh")
            .args(["-c", command])
            .status()
            .unwrap();
        assert!(done.success(), "{command}");
    };
    set_mode(&path, 0o777);
    run(PrivateDir::open(&path).unwrap_err());
    let directory = PrivateDir::open(&path).unwrap().unwrap();
    set_mode(&path.join("a file"), 0o644);
    run(directory.read("a file").unwrap_err());
    fs::hard_link(path.join("a file"), path.join("b")).unwrap();
    run(directory.read("a file").unwrap_err());
    assert!(directory.read("a file").unwrap().is_some());
}
