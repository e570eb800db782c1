//! What can go wrong between us and a MySQL or MariaDB server, classified where it happens.

use std::io;
use std::time::Duration;

use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::{Class, Failure, ServerWords};

use crate::login_method;
use crate::sql;

/// How long another password is waited for.
pub(crate) const PASSWORD_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// A failed operation on a connection. Never holds a password.
#[derive(Debug, thiserror::Error)]
pub enum MysqlError {
    /// The address cannot be reached, or the socket broke.
    #[error("{operation} {address} failed")]
    Io {
        /// `connecting to`, `reading from` or `writing to`.
        operation: &'static str,
        /// `host:port`.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Nothing came in time: the server is stalled, or gone without a word.
    #[error("{operation} {address} brought nothing for {} s", after.as_secs())]
    Timeout {
        /// As in `Io`.
        operation: &'static str,
        /// `host:port`.
        address: String,
        /// How long it was waited.
        after: Duration,
    },
    /// The server closed the connection in the middle of a conversation.
    #[error("{address} closed the connection")]
    Closed {
        /// `host:port`.
        address: String,
    },
    /// TLS could not be established as `ssl-mode` demands.
    #[error("TLS with {address}: {reason}")]
    Tls {
        /// `host:port`.
        address: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// The login may need the password itself, and nothing proves which server would get it.
    #[error("{address} has not proved which server it is, and this login may need the password itself")]
    Unverified {
        /// `host:port`.
        address: String,
        /// Whether there is TLS, whose certificate was not looked at.
        encrypted: bool,
    },
    /// The account needs a login method that this client does not have, or does not exist: the
    /// server then names any method, so that accounts cannot be guessed.
    #[error(
        "there is no such account for this host, or it uses the authentication plugin `{plugin}`{}, which is not supported",
        login_method::description(plugin)
    )]
    AuthPlugin {
        /// The plugin's name as the server gives it.
        plugin: String,
    },
    /// The account's login hands the password on in clear, and the options do not allow it.
    #[error(
        "the account uses the authentication plugin `mysql_clear_password`: the server wants the password in clear"
    )]
    ClearPassword {
        /// Whether the server's certificate was verified, so that only the operator's consent is
        /// missing.
        is_verified: bool,
    },
    /// The server refuses the password that it took before.
    #[error("{}", login_lost(refusal, file.as_deref(), *is_waiting))]
    LoginLost {
        /// The server's words.
        refusal: String,
        /// The file that the password was read from, if it came from one.
        file: Option<String>,
        /// Whether another password may still come.
        is_waiting: bool,
    },
    /// The server answered with an error.
    #[error("server error {code} ({sqlstate}): {message}")]
    Server {
        /// Error number, as the server's manual lists it.
        code: u16,
        /// Five characters.
        sqlstate: String,
        /// The server's own text.
        message: String,
        /// Whether it is the answer to a login, not to a statement.
        at_login: bool,
    },
    /// Bytes that the protocol does not allow.
    #[error("expected {expected} from the server")]
    Protocol {
        /// What should have come.
        expected: &'static str,
    },
    /// A session setting on which every connection insists is another one.
    #[error("the session variable `{name}` is `{found}` and cannot be set to `{wanted}`")]
    SessionSetting {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// The value that is needed.
        wanted: &'static str,
    },
    /// An index or a foreign key of a table is shown, a column of it is not.
    #[error("a column of an index of {table} cannot be seen")]
    HiddenColumn {
        /// Schema and table, quoted.
        table: String,
    },
    /// Options or URL that make no sense.
    #[error("{0}")]
    Usage(String),
}

/// Server errors after which the same call may be made again (error numbers: MySQL error reference,
/// MariaDB error codes).
const RETRYABLE: &[u16] = &[
    1053, // shutdown in progress
    1152, 1158, 1159, 1160, 1161, // aborted connection, network read and write
    1205, 1213, // lock wait timeout, deadlock
    1317, // query interrupted
    1927, // MariaDB: connection was killed
    3024, 1969, // statement timeout
    4031, // disconnected for inactivity
];

/// Server errors of a login, or of a statement, that is beyond what the account or the server may
/// have at this time: too many connections, a host that is blocked for now, two limits of the
/// account.
const LIMITED: &[u16] = &[1040, 1129, 1203, 1226];

/// Trouble of the server's machine with files or memory while it answers, not with the data: a
/// temporary table that it could not make, grow or delete, no descriptor, no memory. The statement
/// had no effect. Numbers below 1000 come from the server's file layer; 22 and 28 of them are
/// unknown character sets and collations, which no second attempt repairs.
fn is_server_resource(code: u16) -> bool {
    matches!(code, 1..=21 | 23..=27 | 29..=31) || matches!(code, 1021 | 1037 | 1038 | 1041 | 1114) // disk full, out of memory, sort memory, resources, table full
}

/// Whether the words of a server error quote no value.
fn names_objects_only(code: u16) -> bool {
    let known = [LOGIN, DENIED, LIMITED, RETRYABLE, OF_OBJECTS];
    is_server_resource(code) || known.iter().any(|codes| codes.contains(&code))
}

/// Server errors that mean a missing privilege.
const DENIED: &[u16] = &[1044, 1142, 1143, 1227, 1370, 3879];

/// Server errors that mean a refused login; as an answer to a statement, a missing privilege:
/// Amazon RDS refuses some statements so.
const NO_ACCESS: &[u16] = &[1045, 1698];

/// Server errors that mean a refused login.
const LOGIN: &[u16] = &[1045, 1698, 1862, 1820, 3118];

/// Further server errors whose words name objects only, never a value.
const OF_OBJECTS: &[u16] = &[
    1049, 1051, 1146, // unknown schema, unknown table
    1054, 1176, // unknown column, unknown key
    1193, 1236, // unknown variable, the binary log
    1412, // the table's definition has changed
];

impl MysqlError {
    /// What is wrong with an option or with the source URL, and the form that is expected.
    pub(crate) fn usage(text: &str) -> MysqlError {
        MysqlError::Usage(text.to_owned())
    }

    /// The server's error number, if it is a server error.
    pub fn server_code(&self) -> Option<u16> {
        match self {
            MysqlError::Server { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the server says that a privilege is missing.
    pub(crate) fn is_denied(&self) -> bool {
        let MysqlError::Server { code, at_login, .. } = self else {
            return false;
        };
        DENIED.contains(code) || (NO_ACCESS.contains(code) && !at_login)
    }

    /// The same error as an answer to a login.
    #[must_use]
    pub(crate) fn at_login(mut self) -> MysqlError {
        if let MysqlError::Server { at_login, .. } = &mut self {
            *at_login = true;
        }
        self
    }

    /// Whether the server refuses the account or its password.
    pub(crate) fn is_login_refused(&self) -> bool {
        let is_refusal = |code: u16| LOGIN.contains(&code) && !self.is_denied();
        matches!(self, MysqlError::AuthPlugin { .. }) || self.server_code().is_some_and(is_refusal)
    }

    /// Whether the connection is of no more use.
    pub(crate) fn is_connection_lost(&self) -> bool {
        match self {
            MysqlError::Io { .. } | MysqlError::Timeout { .. } | MysqlError::Closed { .. } => true,
            MysqlError::Protocol { .. }
            | MysqlError::Tls { .. }
            | MysqlError::Unverified { .. }
            | MysqlError::LoginLost { .. }
            | MysqlError::ClearPassword { .. }
            | MysqlError::AuthPlugin { .. } => true,
            MysqlError::Server { code, .. } => matches!(code, 1053 | 1152..=1161 | 1927 | 4031),
            MysqlError::SessionSetting { .. } | MysqlError::HiddenColumn { .. } | MysqlError::Usage(_) => {
                false
            }
        }
    }

    /// Whether the same call may simply be made again (on a new connection if this one is lost).
    pub fn is_retryable(&self) -> bool {
        match self {
            MysqlError::Io { .. } | MysqlError::Timeout { .. } | MysqlError::Closed { .. } => true,
            MysqlError::Server { code, .. } => {
                RETRYABLE.contains(code) || LIMITED.contains(code) || is_server_resource(*code)
            }
            MysqlError::LoginLost { is_waiting, .. } => *is_waiting,
            MysqlError::Protocol { .. }
            | MysqlError::Tls { .. }
            | MysqlError::Unverified { .. }
            | MysqlError::ClearPassword { .. }
            | MysqlError::AuthPlugin { .. }
            | MysqlError::SessionSetting { .. }
            | MysqlError::HiddenColumn { .. }
            | MysqlError::Usage(_) => false,
        }
    }

    /// What a log may hold of it. A server quotes values where it judges data, and parts of a
    /// statement where it does not understand it, which may be the bounds of a range: those words
    /// are left out.
    pub fn for_log(&self) -> String {
        match self {
            MysqlError::Server { code, sqlstate, .. } if !names_objects_only(*code) => {
                format!("server error {code} ({sqlstate})")
            }
            _ => self.to_string(),
        }
    }

    fn code(&self) -> Code {
        match self {
            MysqlError::Io {
                operation: "connecting to",
                ..
            }
            | MysqlError::Timeout {
                operation: "connecting to",
                ..
            } => code::SOURCE_UNREACHABLE,
            MysqlError::Io { .. } | MysqlError::Timeout { .. } | MysqlError::Closed { .. } => {
                code::SOURCE_FAILED
            }
            MysqlError::Protocol { .. } => code::SOURCE_FAILED,
            MysqlError::Tls { .. } => code::SOURCE_TLS,
            MysqlError::Unverified { .. } => code::SOURCE_UNVERIFIED,
            MysqlError::AuthPlugin { .. } => code::SOURCE_LOGIN_METHOD,
            MysqlError::ClearPassword { .. } => code::SOURCE_CLEAR_PASSWORD,
            MysqlError::LoginLost { .. } => code::SOURCE_LOGIN_LOST,
            MysqlError::Server { .. } if self.is_denied() => code::SOURCE_PRIVILEGE,
            MysqlError::Server { code, .. } if LOGIN.contains(code) => code::SOURCE_LOGIN,
            MysqlError::Server { code, .. } if LIMITED.contains(code) => code::SOURCE_SESSIONS_TAKEN,
            MysqlError::Server { code: 1049, .. } => code::SOURCE_SCHEMA,
            MysqlError::Server { .. } => code::SOURCE_FAILED,
            MysqlError::SessionSetting { .. } => code::SOURCE_SESSION,
            MysqlError::HiddenColumn { .. } => code::SOURCE_PRIVILEGE,
            MysqlError::Usage(_) => code::USAGE,
        }
    }

    /// The failure at a boundary of the core; `object` names what it happened to.
    pub fn into_failure(self, object: impl Into<String>) -> Failure {
        let class = if self.is_retryable() {
            Class::Retry { after: None }
        } else {
            Class::StopMigration
        };
        let code = self.code();
        let failure = Failure::new(code, class, object, code.title());
        match self.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
        .caused_by(ServerWords::from(self))
    }

    /// The next step where it is more precise than what the code says.
    fn hint(&self) -> Option<String> {
        match self {
            MysqlError::HiddenColumn { table } => Some(format!(
                "As an administrator of the source, grant the account SELECT on the whole schema of {table}; where a DDL has just changed the table, run the same command again."
            )),
            MysqlError::Unverified { encrypted, .. } => Some(unverified_hint(*encrypted)),
            MysqlError::AuthPlugin { plugin } => Some(login_method::hint(plugin)),
            MysqlError::ClearPassword { is_verified } => Some(clear_password_hint(*is_verified)),
            MysqlError::LoginLost { file, .. } => Some(login_lost_hint(file.as_deref())),
            MysqlError::Server { code, .. } => limit_hint(*code).or_else(|| self.grant()),
            MysqlError::Io { .. }
            | MysqlError::Timeout { .. }
            | MysqlError::Closed { .. }
            | MysqlError::Tls { .. }
            | MysqlError::Protocol { .. }
            | MysqlError::SessionSetting { .. }
            | MysqlError::Usage(_) => None,
        }
    }

    /// What opens a schema that the account may not even name: `check` cannot say it, because it
    /// does not get so far.
    fn grant(&self) -> Option<String> {
        const SCHEMA_DENIED: u16 = 1044;
        let MysqlError::Server {
            code: SCHEMA_DENIED,
            message,
            ..
        } = self
        else {
            return None;
        };
        let first = "Check the spelling of the schema first: the server gives the same answer for a schema that does not exist.";
        Some(grant_statement(message).map_or_else(
            || first.to_owned(),
            |grant| {
                format!(
                    "{first} If it is right, then as an administrator of the source, run {grant}; `spanferry check` then says what else is missing."
                )
            },
        ))
    }
}

/// The statement that opens the schema which the server's message names; none if the message is not
/// in English.
fn grant_statement(message: &str) -> Option<String> {
    let (_, denied) = message.split_once("for user ")?;
    let (account, schema) = denied.split_once(" to database ")?;
    let schema = sql::identifier(schema.strip_prefix('\'')?.strip_suffix('\'')?);
    Some(format!("GRANT SELECT ON {schema}.* TO {account}"))
}

impl From<MysqlError> for ServerWords {
    fn from(error: MysqlError) -> ServerWords {
        let for_log = error.for_log();
        ServerWords::new(error, for_log)
    }
}

/// Which setting of the source is the limit that was reached.
fn limit_hint(code: u16) -> Option<String> {
    let what = match code {
        1040 => "All sessions that `max_connections` of the server allows are taken. End some, or raise it.",
        1129 => {
            "The server has blocked this host after connections that were broken off. As an administrator, run FLUSH HOSTS (in MySQL \
             8.4 and later TRUNCATE TABLE performance_schema.host_cache)."
        }
        1203 => {
            "`max_user_connections` of the server is reached for this account. End some of its sessions, or raise it."
        }
        1226 => {
            "A limit of the account is reached; the server's words name it. End some of its sessions, or raise the limit with ALTER \
             USER … WITH …, as `spanferry check` shows."
        }
        _ => return None,
    };
    Some(what.to_owned())
}

fn login_lost(refusal: &str, file: Option<&str>, is_waiting: bool) -> String {
    let first = format!("the password that was accepted before is refused now ({refusal})");
    match file {
        Some(file) if is_waiting => {
            let minutes = PASSWORD_PATIENCE.as_secs() / 60;
            format!("{first}; another one is waited for in `{file}`, for {minutes} minutes")
        }
        Some(file) => format!("{first}, and `{file}` held no other that is accepted"),
        None => first,
    }
}

fn login_lost_hint(file: Option<&str>) -> String {
    match file {
        Some(file) => {
            format!("Write the account's password into `{file}`; a run that has ended is resumed by the same command.")
        }
        None => "Run the same command again with the account's new password. A run reads `SPANFERRY_SOURCE_PASSWORD`, the prompt and the \
                 URL only when it starts; with `--source-password-file FILE` it takes a new password while it runs."
            .to_owned(),
    }
}

/// What to add to the URL.
fn clear_password_hint(is_verified: bool) -> String {
    let verify = if is_verified {
        "`enable-cleartext-plugin=true`"
    } else {
        "`enable-cleartext-plugin=true`, and `ssl-mode=VERIFY_CA&ssl-ca=FILE` with the authority of the server's certificate,"
    };
    format!(
        "If the server may have the password (it hands it on to PAM, LDAP or a cloud's IAM), add {verify} to the source URL."
    )
}

/// What to add to the URL, the safest first.
fn unverified_hint(encrypted: bool) -> String {
    let key = if encrypted {
        ""
    } else {
        "`ssl-mode=DISABLED&server-public-key-path=FILE` with the server's RSA key (`public_key.pem` in its data directory), "
    };
    format!(
        "Add to the source URL one of: `ssl-mode=VERIFY_CA&ssl-ca=FILE` with the authority of the server's certificate (`ca.pem` in its data \
         directory, or what the provider publishes), {key}or, over a network path that you trust, `get-server-public-key=true`."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: u16, expected: bool) {
        let error = MysqlError::Server {
            code,
            sqlstate: "HY000".to_owned(),
            message: String::new(),
            at_login: false,
        };
        assert_eq!(error.is_retryable(), expected, "{code}");
        assert_eq!(error.into_failure("t").is_retry(), expected, "{code}");
    }

    #[test]
    fn an_unknown_plugin_may_mean_an_unknown_account() {
        for (plugin, words) in [
            ("other", "`other`, which is not supported"),
            ("dialog", "`dialog` (PAM with questions), which is not supported"),
        ] {
            let error = MysqlError::AuthPlugin {
                plugin: plugin.to_owned(),
            };
            assert_eq!(
                error.to_string(),
                format!(
                    "there is no such account for this host, or it uses the authentication plugin {words}"
                )
            );
            assert_eq!(error.into_failure("h:1").code, code::SOURCE_LOGIN_METHOD);
        }
    }

    #[test]
    fn a_password_in_clear_needs_a_proved_server_and_consent() {
        for is_verified in [true, false] {
            let failure = MysqlError::ClearPassword { is_verified }.into_failure("h:1");
            assert_eq!(
                (failure.code, failure.is_retry()),
                (code::SOURCE_CLEAR_PASSWORD, false)
            );
            let hint = failure.hint.unwrap_or_default();
            assert!(hint.contains("`enable-cleartext-plugin=true`"), "{hint}");
            assert_eq!(hint.contains("ssl-ca=FILE"), !is_verified, "{hint}");
        }
    }

    #[test]
    fn a_schema_that_is_closed_to_the_account_is_opened_by_name() {
        let hint = |message: &str| {
            let error = MysqlError::Server {
                code: 1044,
                sqlstate: "42000".to_owned(),
                message: message.to_owned(),
                at_login: false,
            };
            error.into_failure("t").hint
        };
        let told = hint("Access denied for user 'a'@'%' to database 'my`shop'").unwrap();
        assert!(
            told.contains("GRANT SELECT ON `my``shop`.* TO 'a'@'%';"),
            "{told}"
        );
        // A misspelt schema has the same answer.
        let spelling = "Check the spelling of the schema first: ";
        assert!(told.starts_with(spelling), "{told}");
        let foreign = hint("Benutzer 'a'@'%' hat keine Zugriffsberechtigung").unwrap();
        assert!(
            foreign.starts_with(spelling) && !foreign.contains("GRANT"),
            "{foreign}"
        );
    }

    #[test]
    fn a_password_that_is_refused_later_is_waited_for_if_it_can_change() {
        let failure = |file: Option<&str>, is_waiting| {
            let error = MysqlError::LoginLost {
                refusal: "server error 1045 (28000): no".to_owned(),
                file: file.map(str::to_owned),
                is_waiting,
            };
            error.into_failure("h:1")
        };
        let waiting = failure(Some("/p"), true);
        assert_eq!(
            (waiting.code, waiting.is_retry()),
            (code::SOURCE_LOGIN_LOST, true)
        );
        assert!(
            waiting
                .reason()
                .ends_with("another one is waited for in `/p`, for 10 minutes"),
            "{waiting:?}"
        );
        for file in [Some("/p"), None] {
            let ended = failure(file, false);
            assert_eq!(
                (ended.code, ended.class),
                (code::SOURCE_LOGIN_LOST, Class::StopMigration)
            );
            assert!(ended.reason().contains("1045"), "{ended:?}");
        }
    }

    #[test]
    fn what_may_be_asked_again() {
        // Lock wait, interrupted query, a temporary file that is gone or cannot be deleted, a full
        // disk, no memory, limits on sessions and a blocked host.
        for code in [1205, 1317, 6, 7, 20, 29, 1021, 1037, 1114, 1040, 1129, 1203, 1226] {
            check(code, true);
        }
        // Unknown character set, syntax, missing table, denied, a crashed table: these stay as they
        // are.
        for code in [22, 28, 1064, 1146, 1142, 1194, 1030] {
            check(code, false);
        }
    }

    /// Amazon RDS answers some statements with the number of a refused login.
    #[test]
    fn only_a_login_is_refused_as_one() {
        let check = |code: u16, at_login: bool, expected: Code| {
            let error = MysqlError::Server {
                code,
                sqlstate: "28000".to_owned(),
                message: String::new(),
                at_login,
            };
            assert_eq!(error.is_denied(), expected == code::SOURCE_PRIVILEGE, "{code}");
            let failure = error.into_failure("t");
            assert_eq!((failure.code, failure.is_retry()), (expected, false), "{code}");
        };
        for code in [1045, 1698] {
            check(code, true, code::SOURCE_LOGIN);
            check(code, false, code::SOURCE_PRIVILEGE);
        }
        // The password has expired: said at the login, or at the first statement.
        check(1820, false, code::SOURCE_LOGIN);
        check(1227, false, code::SOURCE_PRIVILEGE);
    }
}
