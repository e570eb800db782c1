//! The reference pages that are made from the code; a page that lags behind fails the tests.
//!
//! `SPANFERRY_WRITE_DOCS=1 cargo test -p spanferry reference` writes them again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use spanferry_core::report::code::ALL;
use spanferry_mysql::connection::{SessionVariable, Treatment};

use crate::args::{self, MigrateArgs};
use crate::command::explain;

/// Set, it makes the tests write the pages instead of comparing them.
const WRITE_VARIABLE: &str = "SPANFERRY_WRITE_DOCS";

fn check(page: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/reference")
        .join(page);
    if std::env::var_os(WRITE_VARIABLE).is_some() {
        std::fs::write(&path, text).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/reference/{page} is not what the code says; write it again with {WRITE_VARIABLE}=1"
    );
}

#[test]
fn errors() {
    let mut text = String::from(
        "# Error and finding codes\n\nMade from the code. `spanferry explain SF-1234` prints the same. The exit status is that of a command which the code ends;\n\
         a finding of `check` with the severity *blocking* ends `migrate` with 3.\n",
    );
    for code in ALL {
        let title = code.title();
        write!(
            text,
            "\n## {code}\n\n{}{}. {}.\n\n{}\n",
            title[..1].to_uppercase(),
            &title[1..],
            explain::consequence(*code),
            code.explanation()
        )
        .expect("text grows");
    }
    check("errors.md", &text);
}

#[test]
fn command_line() {
    let mut text = String::from("# Command line\n\nMade from the code: what `spanferry help VERB` prints.\n");
    let mut command = args::command().term_width(100);
    command.build();
    write!(text, "\n```text\n{}```\n", command.render_help()).expect("text grows");
    let verbs: Vec<String> = command
        .get_subcommands()
        .map(|verb| verb.get_name().to_owned())
        .collect();
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        let found = command.find_subcommand_mut(verb).expect("it was listed");
        let help = found.clone().term_width(100).render_help();
        write!(text, "\n## {verb}\n\n```text\n{help}```\n").expect("text grows");
    }
    check("cli.md", &text);
}

#[test]
fn session() {
    let mut text = String::from(
        "# Session variables at the source\n\nMade from the code. Every connection to the source sets these when it has logged in and `init_connect` has run, and reads them\n\
         back. Nothing is inherited from the server's or the account's settings. Where the server does not take an *exact* one, the connection is refused\n\
         with SF-2020, by name; a *wanted* one only saves the source work. Some purposes set further values of their own: a snapshot's session\n\
         takes texts in their own character sets (`character_set_results = binary`).\n\n| variable | value | kind | why |\n|---|---|---|---|\n",
    );
    let mut harmless: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for variable in SessionVariable::all() {
        let (kind, pin) = match variable.treatment {
            Treatment::Exact(pin) => ("exact", pin),
            Treatment::Wanted(pin) => ("wanted", pin),
            Treatment::Harmless => {
                harmless.entry(variable.reason).or_default().push(variable.name);
                continue;
            }
        };
        let (name, value, reason) = (variable.name, pin.value, variable.reason);
        writeln!(text, "| `{name}` | `{value}` | {kind} | {reason} |").expect("text grows");
    }
    text.push_str("\n## Left as they are\n\nThese change nothing that is read, waited for or held:\n");
    for (reason, names) in harmless {
        write!(text, "\n- {reason}: `{}`\n", names.join("`, `")).expect("text grows");
    }
    check("session.md", &text);
}

#[test]
fn configuration() {
    let mut text = String::from(
        "# Configuration file\n\nMade from the code. `--config spanferry.toml` reads TOML with the names of the command line's options; an option on the command\n\
         line wins, lists are joined. A key that is not known is refused. Passwords do not belong here: name a file, or use\n\
         `SPANFERRY_SOURCE_PASSWORD`.\n\n| key | value | meaning |\n|---|---|---|\n",
    );
    let command = MigrateArgs::augment_args(clap::Command::new("migrate"));
    // As in the help: what stands under one heading stands together.
    let mut arguments: Vec<&clap::Arg> = command.get_arguments().collect();
    let headings: Vec<_> = arguments
        .iter()
        .map(|argument| argument.get_help_heading())
        .collect();
    arguments.sort_by_key(|argument| {
        headings
            .iter()
            .position(|heading| *heading == argument.get_help_heading())
    });
    for argument in arguments {
        let Some(name) = argument.get_long().filter(|name| *name != "config") else {
            continue;
        };
        let choices: Vec<String> = argument
            .get_possible_values()
            .iter()
            .map(|value| format!("`\"{}\"`", value.get_name()))
            .collect();
        let value = match argument.get_action() {
            clap::ArgAction::SetTrue => "`true` or `false`".to_owned(),
            clap::ArgAction::Append => "list of texts".to_owned(),
            _ if !choices.is_empty() => choices.join(", "),
            _ => argument
                .get_value_names()
                .map(|names| {
                    names
                        .iter()
                        .map(|name| name.to_lowercase())
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .unwrap_or_default(),
        };
        let meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
        writeln!(text, "| `{name}` | {value} | {} |", meaning.replace('|', "\\|")).expect("text grows");
    }
    check("config.md", &text);
}
