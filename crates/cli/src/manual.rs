//! The man pages and the shell completions, made from the command line. Not part of the program:
//! the example `manual` writes them.

use std::io;
use std::path::Path;

use clap_complete::Shell;

use crate::args;

/// The program's name.
const PROGRAM: &str = "spanferry";
/// Where a system looks for man pages of commands.
const MANUAL: &str = "share/man/man1";
/// Where each shell looks for completions, and the name that it expects.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "share/bash-completion/completions/spanferry"),
    (Shell::Zsh, "share/zsh/site-functions/_spanferry"),
    (Shell::Fish, "share/fish/vendor_completions.d/spanferry.fish"),
];

/// Writes everything below `folder`, each file where it stands below `/usr/local`.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let manual = folder.join(MANUAL);
    std::fs::create_dir_all(&manual)?;
    clap_mangen::generate_to(args::command(), &manual)?;
    for (shell, path) in COMPLETIONS {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut args::command(), PROGRAM, &mut text);
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
        std::fs::write(path, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{COMPLETIONS, MANUAL, args, write};

    #[test]
    fn each_command_has_a_page_and_each_shell_its_completions() {
        let folder = std::env::temp_dir().join(format!("spanferry-manual-{}", std::process::id()));
        write(&folder).unwrap();
        let read = |path: &str| std::fs::read_to_string(folder.join(path)).unwrap();
        let verbs: Vec<String> = args::command()
            .get_subcommands()
            .map(|verb| verb.get_name().to_owned())
            .collect();
        assert!(verbs.len() > 5, "{verbs:?}");
        let whole = read(&format!("{MANUAL}/spanferry.1"));
        for verb in &verbs {
            let page = read(&format!("{MANUAL}/spanferry-{verb}.1"));
            assert!(page.contains(".SH SYNOPSIS"), "{page}");
            assert!(whole.contains(&format!("spanferry\\-{verb}(1)")), "{whole}");
        }
        for (_, path) in COMPLETIONS {
            let text = read(path);
            for verb in &verbs {
                assert!(text.contains(verb.as_str()), "{verb}: {path}");
            }
            assert!(text.contains("stop-when"), "{path}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
