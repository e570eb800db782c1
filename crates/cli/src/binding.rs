//! What binds a state directory to one migration: a command line is completed from what the
//! directory remembers, and must agree with it.

use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::schema::source::NameCase;

use crate::args::{Common, MigrateArgs};
use crate::run_file::{RunFile, VERSION, source_name_of};
use crate::settings::{Settings, read_config};
use crate::source_options::SourceOptions;

/// In what a command line must agree with what the state directory remembers of the migration,
/// where it gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Source, target and selection.
    Whole,
    /// Source and target; a selection narrows what is done.
    Ends,
    /// The target: source and selection are renewed.
    Target,
}

/// Settings of `migrate`, with the options that only it has. It may continue from a new host of
/// the source, and with another selection.
pub(crate) fn load_migrate(args: &MigrateArgs) -> Result<Settings, Failure> {
    let mut settings = load_known(&args.common, Agreement::Target)?;
    settings.stop_when = args.stop_when.or(settings.stop_when);
    settings.dry_run |= args.dry_run;
    Ok(settings)
}

/// Settings of a command that continues a migration: what is not given is taken from what the
/// state directory remembers, and what is given must agree with it.
pub(crate) fn load_known(common: &Common, agreement: Agreement) -> Result<Settings, Failure> {
    let file = read_config(common)?;
    let given = Settings::merge(common, file.clone())?;
    let Some(run) = RunFile::read(&given.state_dir)? else {
        return Ok(given);
    };
    expect_same(&run, &given, agreement)?;
    let selects = !(given.include.is_empty() && given.exclude.is_empty());
    let mut filled = file;
    filled.source.get_or_insert(run.source);
    filled.target.get_or_insert(run.target);
    if common.to.target_endpoint.is_none() && filled.target_endpoint.is_none() {
        filled.target_endpoint = run.target_endpoint;
        filled.target_allow_plaintext |= run.target_allow_plaintext;
    }
    if !selects {
        (filled.include, filled.exclude) = (run.include, run.exclude);
    }
    let mut settings = Settings::merge(common, filled)?;
    if let Some(file) = run.source_password_file
        && settings
            .source
            .as_ref()
            .is_some_and(|source| !source.has_password())
    {
        settings.find_password(Some(file))?;
    }
    Ok(settings)
}

/// The run that settings describe.
pub(crate) fn run_of(settings: &Settings) -> Result<RunFile, Failure> {
    Ok(RunFile {
        version: VERSION,
        source: settings.need_source()?.url(),
        source_password_file: settings.source_password_file.clone(),
        target: target_url(settings)?,
        target_endpoint: settings.target_endpoint.clone(),
        target_allow_plaintext: settings.target_allow_plaintext,
        include: settings.include.clone(),
        exclude: settings.exclude.clone(),
    })
}

/// What a state directory remembers before a start, if anything; one that another target has
/// been bound to is refused.
pub(crate) fn expect_unbound_or_same(settings: &Settings) -> Result<Option<RunFile>, Failure> {
    let known = RunFile::read(&settings.state_dir)?;
    if let Some(run) = &known {
        expect_target(run, settings)?;
    }
    Ok(known)
}

/// Refuses settings that name something else than this run, as far as they must agree with it.
pub(crate) fn expect_same(run: &RunFile, given: &Settings, agreement: Agreement) -> Result<(), Failure> {
    expect_target(run, given)?;
    let source = source_name_of(&run.source);
    // Whether letter case counts in the schema's name is known once the source is reached: the
    // target's own record of the schema is compared then.
    let is_other = match (&given.source, &source) {
        (None, _) => false,
        (Some(_), Some(known)) => !NameCase::Insensitive.same(&source_name(given)?, known),
        (Some(_), None) => true,
    };
    if is_other && agreement != Agreement::Target {
        return Err(differs(
            given,
            "--source",
            source.as_deref().unwrap_or(&run.source),
        ));
    }
    let selects = !(given.include.is_empty() && given.exclude.is_empty());
    if agreement != Agreement::Whole || !selects {
        return Ok(());
    }
    if given.include != run.include {
        return Err(differs(given, "--include", &run.include.join("`, `")));
    }
    if given.exclude != run.exclude {
        return Err(differs(given, "--exclude", &run.exclude.join("`, `")));
    }
    Ok(())
}

fn expect_target(run: &RunFile, given: &Settings) -> Result<(), Failure> {
    if given.target.is_none() || target_url(given)? == run.target {
        return Ok(());
    }
    let text = format!("it belongs to the migration into `{}`", run.target);
    let hint = "Leave `--target` out: it is taken from the state directory. For another migration, name another `--state-dir`.";
    Err(foreign(given, text).hint(hint))
}

/// The failure of an option that is not the one that the migration has.
fn differs(given: &Settings, option: &str, known: &str) -> Failure {
    let text = format!("its migration has another `{option}`: `{known}`");
    let hint = format!(
        "Leave `{option}` out: it is taken from the state directory. Where the source has a new host, or other tables are to be \
         migrated, run `spanferry migrate` with the new `{option}` first."
    );
    foreign(given, text).hint(hint)
}

fn foreign(settings: &Settings, text: String) -> Failure {
    let object = settings.state_dir.display().to_string();
    Failure::new(code::STATE_FOREIGN, Class::StopMigration, object, text)
}

fn target_url(settings: &Settings) -> Result<String, Failure> {
    Ok(format!("spanner://{}", settings.need_target()?.path()))
}

/// The source for a person: host, port and schema, without account or password.
pub(crate) fn source_name(settings: &Settings) -> Result<String, Failure> {
    settings.need_source().map(SourceOptions::named)
}
