//! The register of error and finding codes: append-only, one line a code, the source of
//! `docs/reference/errors.md`.

use std::fmt;

/// How a process ends when an error with this code is what ended it (see
/// `docs/reference/exit-codes.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// 1: an invariant of Spanferry itself broke.
    Bug,
    /// 2: usage: unknown option, unreadable configuration, wrong pair of state and target, second
    /// process.
    Usage,
    /// 3: refused by what `check` finds at the start.
    Refused,
    /// 4: finished or interrupted while something is set aside or differs.
    SetAside,
    /// 5: source, target or disk failed beyond the retry budget.
    Failed,
    /// 130: interrupted by the operator, resumable.
    Interrupted,
    /// None: it is reported and ends nothing.
    Recorded,
}

impl Exit {
    /// The process exit status. What should end nothing and has ended a process all the same is a
    /// bug.
    pub fn status(self) -> u8 {
        match self {
            Exit::Bug | Exit::Recorded => 1,
            Exit::Usage => 2,
            Exit::Refused => 3,
            Exit::SetAside => 4,
            Exit::Failed => 5,
            Exit::Interrupted => 130,
        }
    }
}

/// One entry of the register: a number that never changes its meaning.
#[derive(Clone, Copy)]
pub struct Code {
    number: u16,
    title: &'static str,
    explanation: &'static str,
    exit: Exit,
}

impl Code {
    /// The four digits behind `SF-`.
    pub fn number(self) -> u16 {
        self.number
    }

    /// What it means, in one lower-case fragment.
    pub fn title(self) -> &'static str {
        self.title
    }

    /// What an operator does about it, in sentences.
    pub fn explanation(self) -> &'static str {
        self.explanation
    }

    /// The exit status of a process ended by it.
    pub fn exit(self) -> Exit {
        self.exit
    }

    /// The code written `SF-1234`, `sf-1234` or `1234`, if it is registered.
    pub fn parse(text: &str) -> Option<Code> {
        let upper = text.to_ascii_uppercase();
        let digits = upper.strip_prefix("SF-").unwrap_or(&upper);
        let number: u16 = digits.parse().ok()?;
        ALL.iter().copied().find(|code| code.number == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SF-{:04}", self.number)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Code {}
impl PartialOrd for Code {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Code {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}
impl std::hash::Hash for Code {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

macro_rules! codes {
    ($($name:ident = $number:literal, $exit:ident, $title:literal, $explanation:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code { number: $number, title: $title, explanation: $explanation, exit: Exit::$exit };)*
        /// Every code, by number.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    // 10xx usage and the pair of state and target
    USAGE = 1001, Usage, "wrong command line or configuration", "Correct the named option; `spanferry help VERB` lists them all.";
    STATE_LOCKED = 1002, Usage, "another process uses this state directory", "Wait for it to end, or stop it. Another `--state-dir` is only for another target.";
    STATE_FOREIGN = 1003, Usage, "state directory, source and target do not belong together", "Use the state directory of this migration, or a new empty one for a new target.";
    STATE_LOST = 1004, Usage, "the target holds a migration whose state directory is not here", "Changes are fetched again from the source, as far back as it still has them; nothing needs to be done.";
    SELECTION_UNMATCHED = 1005, Recorded, "a name or glob of an option matches no table", "Correct the name after `--include`, `--exclude` or `--accept`, or leave it out.";
    CONTROL_FORMAT = 1010, Usage, "the control tables at the target have the format of another release", "Continue with the release that wrote them. Or begin again: `spanferry end --abandon`, drop the target's tables, and `spanferry migrate`.";
    TABLES_INCOMPLETE = 1011, SetAside, "tables of the migration are not complete", "Run `spanferry migrate` until it has caught up; for a stopped table, run `spanferry resync TABLE` first. To end the migration all the same, use `spanferry end --abandon`: the named tables stay at the target as they are, without the rows that are missing.";
    STATE_UNSAFE = 1015, Usage, "the state directory, or a file in it, is open to other users", "Run the command shown. If another user may have changed the directory, name a new one with `--state-dir`.";
    // 20xx what `check` finds at the source
    SOURCE_UNREACHABLE = 2001, Refused, "the source cannot be reached", "Check host, port, firewall and that the server listens there.";
    SOURCE_LOGIN = 2002, Refused, "the source refuses the login", "Check user and password; the password is taken from `SPANFERRY_SOURCE_PASSWORD`, a file, a prompt or the URL.";
    SOURCE_PRIVILEGE = 2003, Refused, "the source account lacks a privilege", "Where the source denies access to the schema itself, check the spelling of the schema in `--source` first: the server gives the same answer for a schema that does not exist. Otherwise run, as an administrator of the source, the GRANT statement that `spanferry check` prints.";
    SOURCE_SETTING = 2004, Refused, "a setting of the source makes an exact migration impossible", "Run the statement shown at the source, then start again.";
    SOURCE_TLS = 2005, Refused, "the TLS connection to the source failed", "Name the CA with `ssl-ca`, use `ssl-mode=VERIFY_CA` for certificates without names, or correct the certificate.";
    SOURCE_SCHEMA = 2006, Refused, "the source schema does not exist or is not visible", "Check the schema's name in the source URL and the account's privileges on it.";
    SOURCE_TABLE_UNSUPPORTED = 2007, Refused, "a table cannot be carried by this release", "Leave it out with `--exclude`, or change it as the text says.";
    SOURCE_RETENTION = 2008, Refused, "the source may forget its binary log before the load ends", "Raise the retention with the statement shown.";
    SOURCE_NOTICE = 2009, Recorded, "a setting of the source is worth knowing", "Nothing needs to be done.";
    SOURCE_SERVER_ID = 2010, Refused, "the server id is in use by another replica of the source", "Choose another with `--server-id`.";
    SOURCE_STRAINED = 2011, Recorded, "reading the source puts a load on it", "Do as the text says, or let the migration continue.";
    SOURCE_PARTLY_VISIBLE = 2012, Refused, "tables of the schema may be hidden from the account", "Run the GRANT statement shown; where only the tables that can be seen are meant, `--accept SF-2012`.";
    SOURCE_SESSION = 2020, Refused, "the source does not take a session setting", "Every connection sets the session variables that could change what it reads, and reads them back. Find what keeps the account from setting the one named: a proxy between, a server with a lock on its settings, or a missing privilege.";
    SOURCE_UNVERIFIED = 2021, Refused, "the password is not sent to a server that has not proved which one it is", "Verify the server: `ssl-mode=VERIFY_CA&ssl-ca=FILE` in the source URL, or, without TLS, `ssl-mode=DISABLED&server-public-key-path=FILE`. Over a network path that you trust, `get-server-public-key=true` allows it. This holds for a loopback address too: a tunnel may end there.";
    SOURCE_CLEAR_PASSWORD = 2022, Refused, "the account's login needs the password in clear, which is not allowed", "The account logs in through PAM, LDAP or a cloud's IAM, and the server hands the password on. If it may have it, add `enable-cleartext-plugin=true` to the source URL, beside `ssl-mode=VERIFY_IDENTITY` or `ssl-mode=VERIFY_CA`: the password goes only through TLS with a verified certificate.";
    SOURCE_LOGIN_METHOD = 2023, Refused, "the account's login method is not supported", "Spanferry logs in with a password: `caching_sha2_password`, `sha256_password` and `mysql_native_password` of MySQL; `ed25519`, `parsec` and `mysql_native_password` of MariaDB; `mysql_clear_password` where `enable-cleartext-plugin=true` allows it. Create an account with one of these for the migration, as the message shows.";
    SOURCE_PREPARED = 2025, Failed, "prepared transactions are open at the source", "The change log has the changes of a prepared (XA) transaction where it was prepared, and they become visible where it is committed: a snapshot between the two would miss them. End each that is named with `XA COMMIT` or `XA ROLLBACK`, as its coordinator decides; the load then continues by itself. One that the change log shows to have changed no migrated table is not waited for.";
    SOURCE_SESSIONS = 2026, Refused, "a limit of the source is too small for a migration", "Run the statement shown at the source. Where a limit on sessions leaves room for a smaller number, the snapshot is read by so many, and the migration says so.";
    SOURCE_SESSIONS_TAKEN = 2027, Refused, "the source has no session free", "Sessions of others, or of this account elsewhere, have taken what the account or the server allows. End some of them, or raise the limit with the statement shown. With `--accept SF-2027` the migration begins all the same and waits for them.";
    CASCADE_HIDDEN = 2032, SetAside, "a foreign key of the source may have changed rows that its log does not show", "MySQL 9.7 logs what ON DELETE and ON UPDATE change, but only for its own changes. If it is a replica of a server that does not log them (MySQL 8, or `innodb_native_foreign_keys = ON`), they are missing from its log too. Migrate from a server that has no such server above it, or take the actions away where the changes are made: the text shows the statements. Then stop `migrate` and run `spanferry resync TABLE`.";
    // 30xx target
    TARGET_UNREACHABLE = 3001, Refused, "the target cannot be reached", "Check the endpoint, `SPANNER_EMULATOR_HOST`, routes and firewall.";
    TARGET_LOGIN = 3002, Refused, "the target refuses the credentials", "Set application default credentials of an account with the role `roles/spanner.databaseAdmin`.";
    TARGET_MISSING = 3003, Refused, "the target database does not exist", "Correct its name in `--target`, or create it. `check` and `migrate` create it with `--create-database --dialect googlesql`.";
    TARGET_NOT_EMPTY = 3004, Refused, "the target is not empty", "Name an empty database, or drop the tables listed.";
    TARGET_LIMIT = 3005, Refused, "the schema exceeds a limit of Spanner", "Change or leave out the object named.";
    TARGET_FAILED = 3006, Failed, "the target failed", "Look at the cause; run the same command again to resume.";
    TARGET_FENCED = 3007, Failed, "another process has taken over this migration", "Find the other process; run the same command again only when it has ended.";
    TARGET_DDL = 3008, Failed, "the target refuses a DDL statement", "Look at the statement and the reason shown.";
    TARGET_INSTANCE_MISSING = 3009, Refused, "the target's instance does not exist", "Create the instance, or correct its name in `--target`.";
    TARGET_TABLE_MISSING = 3012, SetAside, "a migrated table is not at the target any more", "Somebody has dropped it there. Stop `migrate`, run `spanferry resync TABLE`, and start `migrate` again: it creates the table and loads it. If the table is not wanted, `spanferry resync TABLE --forget` takes it out of the migration.";
    // 40xx schema and values
    VALUE_REFUSED = 4001, SetAside, "a value has no exact form at the target", "Correct the value at the source, or leave the table out; then stop `migrate` and run `spanferry resync TABLE`.";
    TYPE_REFUSED = 4002, Refused, "a column type has no exact form at the target", "Leave the table out with `--exclude`.";
    KEY_NOT_INJECTIVE = 4003, Refused, "two source keys could become one target key", "Leave the table out with `--exclude`, or change the key's type.";
    LEFT_OUT = 4004, Recorded, "a schema object is not created at the target", "Create it at the target by hand after the migration, if it is needed.";
    CONVERTED = 4005, Recorded, "a schema object has another form at the target", "Check that the application agrees.";
    CONSTRAINT_LEFT_OUT = 4006, Recorded, "a constraint or index cannot hold at the target", "See the reason; correct the data and create it by hand.";
    UNIQUE_LEFT_OUT = 4010, Recorded, "a unique index is not created at the target", "Nothing at the target keeps these values unique: see the reason. Let the application keep them unique, or create an index by hand.";
    CONSTRAINT_MISSING = 4011, Recorded, "an index or foreign key is no longer at the target", "It is built again. If it was dropped on purpose, drop it when the migration has ended.";
    CONSTRAINT_UNFINISHED = 4012, Recorded, "the target is still building an index or foreign key", "Nothing needs to be done; the table counts as complete when it is ready.";
    VALUE_UNSTABLE = 4013, Refused, "a VIRTUAL column depends on more than its row", "Create the column as STORED, so that its value is fixed when a row is written, or leave the table out with `--exclude`. Where only a session variable matters, see that all sessions of the application have the value that `docs/reference/session.md` names.";
    PLAN_NOT_BUILT = 4014, Refused, "a table has a plan that this release cannot run", "Run the release that has recorded it, or leave the table out with `--exclude`.";
    OVERRIDE_REFUSED = 4015, Refused, "what a person has decided about a table cannot be applied", "The finding names the table, column, index or foreign key, and the reason. Correct that entry of the decisions, or remove it: then the rule decides.";
    ROWS_CHANGED = 4016, SetAside, "rows that were begun to be loaded are not there any more", "A load continues behind the rows that it has written, and the source now has fewer: a file was changed or replaced meanwhile. Empty the table at the target, and load it again.";
    DEFAULT_NEEDED = 4019, Recorded, "a NOT NULL column has lost its default", "The finding names the default and why the target does not have it. An INSERT that leaves the column out works at the source and fails at the target: let the application give the value, or set a default at the target by hand (`ALTER TABLE … ALTER COLUMN … SET DEFAULT`) before it writes there.";
    // 50xx the stream
    DDL_SEEN = 5001, SetAside, "a schema change reached a migrated table", "Stop `migrate`, run `spanferry resync TABLE`, and start `migrate` again: it loads the group with its present schema.";
    EVENT_UNSUPPORTED = 5002, SetAside, "the source wrote an event that does not carry the whole change", "Correct the setting that the text names: the server's (`spanferry check` looks at it), or that of the session that wrote it. Then stop `migrate` and run `spanferry resync TABLE`.";
    CHANGE_REJECTED = 5003, SetAside, "the target rejects a change", "Look at the reason, correct it, then stop `migrate` and run `spanferry resync TABLE`.";
    SCHEMA_MISMATCH = 5004, SetAside, "the stream's schema of a table is not the one the migration began with", "Stop `migrate`, run `spanferry resync TABLE`, and start `migrate` again.";
    TABLE_CREATED = 5005, SetAside, "a table was created at the source after the migration began, and is not carried", "Or it was left out before, and is selected now. The migrated tables flow on; this one and its rows are not at the target. Stop `migrate` and run `spanferry resync TABLE` to take it in, or name it in `--exclude` if it is not wanted there.";
    POSITION_PURGED = 5006, Failed, "the source has forgotten the position", "The changes since then are lost at the source: `spanferry end --abandon`, drop the target's tables or name another database, raise the retention, and begin again.";
    HISTORY_CHANGED = 5007, Refused, "the source is not the one the migration began with", "It lacks transactions that were captured, or has others in their place: it was reset, restored from a backup, or is another server. Point the URL at a server that has all transactions already captured; if there is none any more, begin again with `spanferry end --abandon` and an empty target.";
    SOURCE_FAILED = 5008, Failed, "the source failed", "Look at the cause; run the same command again to resume.";
    SOURCE_AHEAD = 5009, Failed, "the source has moved on", "Stop the writes, drain with `spanferry migrate --stop-when caught-up`, and verify again.";
    DIFFERENT = 5010, SetAside, "source and target differ", "Look at the keys listed. `spanferry resync TABLE` and the next `migrate` load a table again.";
    SNAPSHOT_LOST = 5011, Failed, "the snapshot was lost", "A new snapshot is opened by itself; if the command ended, run it again.";
    SOURCE_LOGIN_LOST = 5021, Failed, "the source no longer takes the password", "The password was changed while the migration ran. Write the new one into the file of `--source-password-file`, which a running migration reads again for 10 minutes; or run the same command again with the new one.";
    RESYNC_UNFINISHED = 5025, SetAside, "a resync of the table was ended before it was done", "Run the same `spanferry resync` again.";
    CONSTRAINT_CHANGED = 5026, Recorded, "an index or foreign key was added or dropped at the source after the migration began", "The target keeps the indexes and foreign keys that are recorded. `spanferry resync TABLE` takes over today's; or create or drop it at the target by hand.";
    TABLE_GONE = 5027, SetAside, "a table of the migration is not at the source any more", "If it was dropped or renamed, `spanferry resync TABLE --forget` drops it at the target and takes it out of the migration. If it was renamed, `spanferry resync NEW-NAME` then takes the table in under its new name.";
    TABLE_UNSELECTED = 5028, SetAside, "a table of the migration is not selected any more", "If it is not wanted at the target, `spanferry resync TABLE --forget` drops it there and takes it out of the migration. To take it in again, select it: run `spanferry migrate --include '*' --stop-when caught-up` once, with `--exclude` for each table that stays out. A selection is remembered, so leaving `--exclude` out of the command changes nothing. Then run `spanferry resync TABLE` and start `migrate` again.";
    HISTORY_UNPROVED = 5030, Refused, "the source cannot show that it is the one the migration began with", "Spanferry looks for the last transaction that it has seen, with its commit time and content: a server that was reset or restored gives the same numbers to others. This server has no longer, or never had, that part of its binary log. If you know that nothing was reset or restored since, continue with `--accept SF-5030`; if it was, changes would be lost without a word: begin again with `spanferry end --abandon` and an empty target.";
    CHANGE_INCOMPLETE = 5031, SetAside, "a change lacks values that the source did not send", "The source leaves out the values of columns that have not changed, and here they are needed: the row moved to another key, or it is not where the change expects it. Let the source log whole rows (PostgreSQL: `REPLICA IDENTITY FULL`). Then stop `migrate` and run `spanferry resync TABLE`.";
    KEY_TWICE = 5032, SetAside, "a key comes twice", "Two rows of the load have one key, or the target already has a row with it. Neither of the two is taken for the right one, so the table stops at it. Correct the rows that are loaded, empty the table at the target, and load it again.";
    ROAD_CHANGED = 5033, Refused, "the migration was begun in another way", "What was begun as a load without a stream of changes is resumed as such a load, and a migration that follows changes by `spanferry migrate`. To change from one to the other, begin again: `spanferry end --abandon`, and an empty target.";
    LANES_UNKNOWN = 5034, Refused, "the migration was applied with more lanes than this release knows", "Continue with the release of Spanferry that ran it last: only that release knows what each lane has applied.";
    SELECTION_NARROWED = 5035, Refused, "the selection leaves out a table that the migration follows", "A table that is left out stops, and taking it in again means that it is loaded again. Correct `--include` or `--exclude`: without them, the selection of the last start is used. If the table is to be left out, add `--accept SF-5035` (or `--accept SF-5035:TABLE`) to this one start.";
    VERSION_EXPIRED = 5037, Failed, "the target no longer keeps the version of its rows that was being read", "A read sees the database as it was at one moment, and Spanner keeps old versions for `version_retention_period` (1 hour by default). `verify` reads a large table in pieces, each as of its own moment; here not even one piece was read in time. Run the same command again. If it fails again, let the target keep its versions for longer, in GoogleSQL by `ALTER DATABASE name SET OPTIONS (version_retention_period = '7d')`, in the PostgreSQL dialect by `ALTER DATABASE name SET spanner.version_retention_period = '7d'`.";
    COUNT_TOO_LONG = 5038, Failed, "the target cannot count the rows of a table in the time that it has", "A count is one statement, which must end within an hour and within the target's `version_retention_period`. `verify` counts a table in several parts if it also read it in several pieces; here a part took too long, or the table's key cannot be counted by parts. Give the target more processing units while `verify` runs, and run it again.";
    // 60xx change log and state
    LOG_CORRUPT = 6001, Failed, "the change log is damaged", "Move the state directory's `log` folder away and run the same command: changes are fetched again while the source still has them.";
    LOG_BUDGET = 6002, Failed, "the change log is at its budget", "Give it more space with `--log-budget`, or let apply catch up.";
    DISK_FAILED = 6003, Failed, "the disk refuses to write", "Free space or repair the disk, then run the same command again.";
    INTERRUPTED = 6004, Interrupted, "interrupted by the operator", "Run the same command again to resume.";
    BUG = 9001, Bug, "an invariant of Spanferry broke", "Please report it, with the run's log file.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_parse_back() {
        for pair in ALL.windows(2) {
            assert!(
                pair[0].number() < pair[1].number(),
                "{} before {}",
                pair[0],
                pair[1]
            );
        }
        for code in ALL {
            assert_eq!(Code::parse(&code.to_string()), Some(*code));
            assert_eq!(Code::parse(&code.to_string().to_lowercase()), Some(*code));
        }
        assert_eq!(Code::parse("SF-0"), None);
    }
}
