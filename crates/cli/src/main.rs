//! The spanferry command: arguments, configuration, rendering and exit codes.

mod args;
mod binding;
mod byte_size;
mod change;
mod clock;
mod command;
mod comparison;
mod document;
mod finding_groups;
mod findings;
#[cfg(test)]
mod golden;
mod incomplete;
mod interrupt;
mod json;
#[cfg(test)]
mod manual;
mod monitor;
mod preparation;
mod probe;
mod prompt;
mod rates;
#[cfg(test)]
mod reference;
mod render;
mod run_file;
mod run_log;
mod screen;
mod selection;
mod server_id;
mod session;
mod settings;
mod short_name;
mod source;
mod source_options;
mod state_dir;
mod status_lines;
mod suggestion;
mod table_lines;
mod task;
mod terminal_mode;
mod usage;
mod usage_failure;
mod verdict;
mod wrap;

use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::ErrorKind;
use spanferry_core::report::code::Exit;
use spanferry_core::report::failure::Failure;

use crate::args::{Cli, Output, Verb};
use crate::binding::Agreement;
use crate::interrupt::or_interrupted;
use crate::settings::Settings;
use crate::source::with_source;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    use_small_pages();
    give_memory_back_at_once();
    let matches = args::command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            render::print_error(&render::failure(
                &Failure::bug("runtime", "cannot be started").caused_by(cause),
            ));
            return ExitCode::from(Exit::Bug.status());
        }
    };
    let output = output(&cli.verb);
    let migrates = matches!(cli.verb, Verb::Migrate(_));
    let ended = runtime.block_on(run(cli.verb));
    // What is still under way, such as a question to a name server, holds nothing up.
    runtime.shutdown_background();
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            let status = failure.code.exit().status();
            match output {
                // The last line of a run's events, also of one that could not begin.
                Output::Json if migrates => {
                    render::print_json(&json::end_of_failed(&failure, status, None));
                }
                Output::Json => {
                    render::print_json(&serde_json::json!({"error": json::failure(&failure)}));
                }
                Output::Text => render::print_error(&render::failure(&failure)),
            }
            ExitCode::from(status)
        }
    }
}

/// The allocator asks for huge pages: with them every thread's first few kilobytes of a size take 2
/// MiB, which are filled with zeros first. Measured in a backlog of small transactions: 70 MiB
/// instead of 125, in less processor time.
fn use_small_pages() {
    // A kernel that cannot do it leaves us with the larger figure.
    let _unchanged = rustix::thread::disable_transparent_huge_pages(true);
}

/// The allocator keeps freed memory for a second: where large rows pass, that is several of them at
/// once. Measured with rows of 8 MiB in a debug build: 97 to 129 MiB at the peak instead of 120 to
/// 198, for about a tenth more processor time.
#[expect(
    unsafe_code,
    reason = "the allocator's option has no safe name: its binding offers none, and the environment is read before `main`"
)]
fn give_memory_back_at_once() {
    use std::ffi::{c_int, c_long};
    // mimalloc 3, `mimalloc.h`: `mi_option_purge_delay`, in milliseconds, is the sixteenth of
    // `mi_option_t`.
    const PURGE_DELAY: c_int = 15;
    unsafe extern "C" {
        fn mi_option_set(option: c_int, value: c_long);
    }
    // SAFETY: the function is part of the linked allocator and only stores a number; no other
    // thread runs yet.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

fn usage(error: &clap::Error) -> ExitCode {
    // Help and version are asked for; a closed pipe while printing them is no error.
    let _closed = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(Exit::Usage.status()),
    }
}

fn output(verb: &Verb) -> Output {
    match verb {
        Verb::Check(common) | Verb::Status(common) | Verb::Verify(common) => Settings::output(common),
        Verb::Migrate(args) => Settings::output(&args.common),
        Verb::Resync(args) => Settings::output(&args.common),
        Verb::End(args) => Settings::output(&args.common),
        Verb::Explain { .. } => Output::Text,
    }
}

async fn run(verb: Verb) -> Result<u8, Failure> {
    match verb {
        Verb::Check(common) => {
            let settings = Settings::load(&common)?.with_password()?;
            with_source!(source::open(&settings)?, source => {
                or_interrupted("check", command::check::run(source, &settings)).await
            })
        }
        Verb::Migrate(args) => {
            let settings = binding::load_migrate(&args)?.with_password()?;
            with_source!(source::open(&settings)?, source => command::migrate::run(source, &settings).await)
        }
        Verb::Status(common) => command::status::run(&binding::load_known(&common, Agreement::Whole)?),
        Verb::Verify(common) => {
            let settings = binding::load_known(&common, Agreement::Ends)?.with_password()?;
            with_source!(source::open(&settings)?, source => {
                or_interrupted("verify", command::verify::run(source, &settings)).await
            })
        }
        Verb::Resync(args) => {
            let settings = binding::load_known(&args.common, Agreement::Whole)?.with_password()?;
            with_source!(source::open(&settings)?, source => command::resync::run(source, &settings, &args).await)
        }
        Verb::End(args) => {
            command::end::run(&binding::load_known(&args.common, Agreement::Whole)?, &args).await
        }
        Verb::Explain { code } => command::explain::run(code.as_deref()),
    }
}
