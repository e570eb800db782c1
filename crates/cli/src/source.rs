//! The kinds of sources: the one place that opens them and names their types.

use spanferry_core::port::source::{ChangeSource, HistorySource, SessionSource, Source};
use spanferry_core::port::target::ControlStore;
use spanferry_core::report::failure::Failure;
use spanferry_core::verify::witness::WitnessSource;
use spanferry_mysql::{MysqlSource, Options as MysqlOptions};

use crate::server_id::default_server_id;
use crate::settings::Settings;
use crate::source_options::SourceOptions;

/// A source with everything that the verbs need of it.
pub(crate) trait CliSource: Source + SessionSource + WitnessSource {
    /// The same source for a client that only looks at its changes.
    type Observer: HistorySource + ChangeSource;

    /// An observer beside a migration that may be running: that one keeps its stream.
    fn observer(&self) -> Self::Observer;

    /// Tries a login. A failure names the source.
    fn log_in(&self) -> impl Future<Output = Result<Login, Failure>> + Send;
}

/// A login that has succeeded, for a person.
pub(crate) struct Login {
    /// Whether the connection is encrypted.
    pub(crate) encryption: &'static str,
    /// The account, and what the server says of itself.
    pub(crate) server: String,
}

impl CliSource for MysqlSource {
    type Observer = MysqlSource;

    fn observer(&self) -> MysqlSource {
        MysqlSource::observer(self)
    }

    async fn log_in(&self) -> Result<Login, Failure> {
        let options = self.options();
        let connection = self.connect().await;
        let connection = connection.map_err(|error| error.into_failure(options.address()))?;
        let encryption = if connection.is_encrypted() {
            "encrypted"
        } else {
            "not encrypted, as `ssl-mode` and the server allow"
        };
        let server = format!("{} on {}", options.user, connection.server());
        Ok(Login { encryption, server })
    }
}

/// A source of one of the kinds.
pub(crate) enum AnySource {
    /// MySQL or MariaDB.
    Mysql(MysqlSource),
}

/// Runs a block with the source that is in an [`AnySource`]. The block is compiled for each kind.
macro_rules! with_source {
    ($any:expr, $source:ident => $block:expr) => {
        match $any {
            $crate::source::AnySource::Mysql($source) => $block,
        }
    };
}
pub(crate) use with_source;

/// The source that the settings name. It connects at its first call.
pub(crate) fn open(settings: &Settings) -> Result<AnySource, Failure> {
    match settings.need_source()? {
        SourceOptions::Mysql(options) => open_mysql(options, settings).map(AnySource::Mysql),
    }
}

fn open_mysql(options: &MysqlOptions, settings: &Settings) -> Result<MysqlSource, Failure> {
    let (options, address) = (options.clone(), options.address());
    let source = match settings.server_id {
        Some(server_id) => MysqlSource::new(options, server_id),
        None => {
            let place = format!("{}:{}/{}", options.host, options.port, options.schema);
            let (first, name) = default_server_id(&place, &settings.target_text());
            MysqlSource::choosing_id(options, first, name)
        }
    };
    source.map_err(|error| error.into_failure(address))
}

/// Ends the migration at the target, and at its source if that is known; false if there was none.
pub(crate) async fn end(source: Option<&AnySource>, target: &impl ControlStore) -> Result<bool, Failure> {
    match source {
        // No call reaches a source; the type must be one.
        None => spanferry_engine::end::end(None::<&MysqlSource>, target).await,
        Some(any) => with_source!(any, source => spanferry_engine::end::end(Some(source), target).await),
    }
}
