//! What a person sees, whole, as snapshots: a change of any word shows in a review.
//!
//! `INSTA_UPDATE=always cargo test -p spanferry golden` writes them again. They depend on no time,
//! machine or width. The help of each command is compared as `docs/reference/cli.md` (`reference`).

mod many_tables;

use serde_json::{Value, json};
use spanferry_core::fixture;
use spanferry_core::mapping::convert::map_decided;
use spanferry_core::mapping::decide::decide;
use spanferry_core::mapping::decision::PartChoice;
use spanferry_core::mapping::known::Known;
use spanferry_core::mapping::options::MappingOptions;
use spanferry_core::mapping::override_error::OverrideError;
use spanferry_core::mapping::overrides::{self, ColumnOverride, Overrides, TableOverride};
use spanferry_core::port::target::TablePhase;
use spanferry_core::report::code;
use spanferry_core::report::failure::{Class, Failure};
use spanferry_core::report::finding::{Finding, Severity, Subject};
use spanferry_core::report::remedy::Remedy;
use spanferry_core::schema::source::QualifiedName;
use spanferry_core::schema::target::Dialect;
use spanferry_engine::migrate::Outcome;
use spanferry_engine::progress::{Snapshot, TableProgress};
use spanferry_engine::verify::{DifferentKey, Kind, Lack, TableVerdict, Testimony};
use spanferry_mysql::{MysqlError, Options};

use crate::command::status;
use crate::findings::Room;
use crate::rates::Meter;
use crate::wrap::plain;
use crate::{document, json, monitor, render, status_lines, verdict};

/// What a printed command needs for this migration.
const OPTIONS: &str = " --state-dir /data/shop";
const SCREEN: Room = Room::Screen {
    columns: 110,
    rows: 40,
};
/// 2026-07-30T12:34:56Z.
const AT_US: u64 = 1_785_414_896_000_000;

fn check(page: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(".");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(page, plain(text)));
}

fn some_findings() -> Vec<Finding> {
    let stop = Finding::new(
        code::DDL_SEEN,
        Severity::Blocking,
        Subject::table(&QualifiedName::new("shop", "order lines")),
        "`ALTER TABLE` changes it, at 0-1-500",
    );
    let default = |table: &str| {
        let text = "the default (an empty string) is not created at the target";
        Finding::new(
            code::LEFT_OUT,
            Severity::Warning,
            Subject::part(&QualifiedName::new("shop", table), "note"),
            text,
        )
    };
    let engine = Finding::new(
        code::SOURCE_TABLE_UNSUPPORTED,
        Severity::Blocking,
        Subject::table(&QualifiedName::new("shop", "logs")),
        "its engine is MyISAM, which has no transactions: a snapshot of it is not consistent",
    );
    let engine = engine.remedy(
        Remedy::source("ALTER TABLE `shop`.`logs` ENGINE = InnoDB, ROW_FORMAT = DEFAULT")
            .note("this rebuilds the table, which takes long for a large one"),
    );
    let certificate = Finding::new(
        code::SOURCE_NOTICE,
        Severity::Notice,
        Subject::whole(),
        "the certificate of the source is not verified",
    );
    let certificate = certificate.remedy("Add `ssl-mode=VERIFY_CA&ssl-ca=FILE` to the source URL.");
    vec![
        stop.remedy(Remedy::resync(&QualifiedName::new("shop", "order lines"))),
        engine,
        default("customers"),
        default("orders"),
        certificate,
    ]
}

fn table(name: &str, group: u32, phase: TablePhase) -> TableProgress {
    TableProgress {
        name: QualifiedName::new("shop", name),
        phase,
        rows_estimate: 46_912,
        rows_loaded: 23_456,
        bytes_loaded: 1 << 20,
        group,
        stopped: (phase == TablePhase::Stopped)
            .then(|| "SF-5001: order lines: `ALTER TABLE` changes it, at 0-1-500".to_owned()),
    }
}

/// A migration in its load: one group stopped, two tables loading, many complete.
fn snapshot() -> Snapshot {
    let complete =
        (1..=40).map(|number| table(&format!("archive_{number}"), number, TablePhase::Constrained));
    let mut tables: Vec<TableProgress> = complete.collect();
    tables.extend([
        table("customers", 50, TablePhase::Loading),
        table("invoices", 51, TablePhase::Loading),
        table("order lines", 52, TablePhase::Stopped),
        table("orders", 52, TablePhase::Stopped),
    ]);
    Snapshot {
        tables,
        phase: "running".to_owned(),
        captured_sequence: 5_200,
        applied_sequence: 2_000,
        log_bytes: 5_000_000,
        log_transactions: 5_200,
        log_budget_bytes: 8_000_000,
        throttled: Some(
            "capture waits: a transaction takes 9.5 MiB or more, and the change log may take 7.6 MiB. Waiting does not help: stop \
             `migrate`, and start it again with a larger `--log-budget`."
                .to_owned(),
        ),
        findings: some_findings(),
        ..Snapshot::default()
    }
}

fn status_of(state: &str) -> Value {
    let snapshot = snapshot();
    let rates = Meter::default().look(&snapshot);
    let mut status = json::status(&snapshot, &rates, AT_US, OPTIONS);
    status["state"] = json!(state);
    status
}

#[test]
fn the_screen_of_migrate() {
    check(
        "screen-80x24",
        &monitor::screen_text(&status_of("running"), (80, 24)),
    );
}

#[test]
fn a_plain_line_of_migrate() {
    check("line", &status_lines::line(&status_of("running")));
}

#[test]
fn status_while_it_runs_and_after() {
    let lines = |status: &Value| status::lines(status, None, None, 110, SCREEN).join("\n");
    check("status-running", &lines(&status_of("running")));
    let mut ended = status_of("ended");
    let failure = Failure::new(
        code::SOURCE_FAILED,
        Class::StopMigration,
        "db1:3306",
        "it is gone",
    );
    ended["end"] =
        json!({"at_us": AT_US, "exit_status": 5, "interrupted": false, "error": json::failure(&failure)});
    status::bring_up_to_date(&mut ended, None, AT_US + 75_000_000);
    check("status-ended", &lines(&ended));
}

#[test]
fn findings_of_check() {
    let texts: Vec<String> = some_findings()
        .iter()
        .map(|finding| render::finding(finding, OPTIONS))
        .collect();
    check("findings", &texts.join("\n"));
}

/// What a person has decided and what cannot be applied is printed as every other finding.
#[test]
fn findings_of_a_persons_decisions() {
    let table = || QualifiedName::new("shop", "orders");
    let column = || "state".to_owned();
    let errors = [
        OverrideError::NoTable(table()),
        OverrideError::NoColumn(table(), column()),
        OverrideError::NoIndex(table(), "by_state".to_owned()),
        OverrideError::NoForeignKey(table(), "to_state".to_owned()),
        OverrideError::Name(table(), "2nd state".to_owned()),
        OverrideError::Contradiction(table(), column()),
        OverrideError::NotCreated(table(), "by_text".to_owned()),
        OverrideError::Type(table(), column()),
        OverrideError::Key(table()),
    ];
    let texts = errors.map(|error| render::finding(&error.finding(), OPTIONS));
    check("findings-of-decisions", &texts.join("\n"));
}

/// What a person has chosen, and what is lost by it: each finding says who has chosen.
#[test]
fn findings_of_what_a_person_has_chosen() {
    let columns = || ["id", "state", "note"].map(|name| fixture::column(name, fixture::BIGINT));
    let mut orders = fixture::table("orders", columns().into());
    orders.indexes = [("by_state", true), ("by_note", false), ("again", false)]
        .map(|(name, unique)| fixture::index(name, unique, &[1]))
        .into();
    orders.foreign_keys = ["to_state", "to_other"]
        .map(|name| fixture::foreign_key(name, &[1], "states", &["id"]))
        .into();
    let states = fixture::table("states", columns().into());
    let choices = |name: &str, chosen: &str, left_out: &str| {
        let chosen = (chosen.to_owned(), PartChoice::Name(name.to_owned()));
        [chosen, (left_out.to_owned(), PartChoice::Exclude)].into()
    };
    let note = ColumnOverride {
        exclude: true,
        ..ColumnOverride::default()
    };
    let wanted = TableOverride {
        name: Some("purchase".to_owned()),
        columns: [("note".to_owned(), note)].into(),
        indexes: choices("purchase_note", "by_note", "by_state"),
        foreign_keys: choices("state_of", "to_state", "to_other"),
        ..TableOverride::default()
    };
    let (known, options) = (
        Known::default(),
        MappingOptions {
            dialect: Dialect::GoogleSql,
            uuid_supported: true,
        },
    );
    let overrides = Overrides::from([(orders.name.clone(), wanted)]);
    let decisions = decide(vec![orders, states], &known, &options);
    let decisions = overrides::apply(decisions, &overrides, &known).expect("choices that can be applied");
    let findings = map_decided(decisions, &known).findings;
    let texts: Vec<String> = findings
        .iter()
        .map(|finding| render::finding(finding, OPTIONS))
        .collect();
    check("findings-of-choices", &texts.join("\n"));
}

/// What this release leaves in `report.json`, but for the figures of its process.
#[test]
fn a_report() {
    let mut report = json::end(&Outcome::default(), &snapshot(), OPTIONS);
    report["at_us"] = json!(AT_US);
    report["process"] = json!({"cpu_seconds": null, "memory_peak_bytes": null});
    report["findings"].as_array_mut().expect("a list").truncate(1);
    let text = serde_json::to_string_pretty(&report).expect("JSON");
    assert_eq!(
        document::read(text.as_bytes(), "report.json").expect("a report"),
        report
    );
    check("report-json", &text);
}

#[test]
fn a_failure() {
    let cause = std::io::Error::other("connection refused");
    let failure = Failure::new(
        code::SOURCE_UNREACHABLE,
        Class::StopMigration,
        "db1:3306",
        "no TCP connection",
    );
    check("failure", &render::failure(&failure.caused_by(cause)));
}

/// What a login can end with, with its hint.
#[test]
fn failures_of_a_login() {
    let address = || "db1:3306".to_owned();
    let refused = |code: u16, message: &str| MysqlError::Server {
        code,
        sqlstate: "28000".to_owned(),
        message: message.to_owned(),
        at_login: true,
    };
    let plugin = |name: &str| MysqlError::AuthPlugin {
        plugin: name.to_owned(),
    };
    let errors = [
        refused(1045, "Access denied for user 'a'@'%' (using password: YES)"),
        refused(1049, "Unknown database 'shop'"),
        refused(1040, "Too many connections"),
        plugin("auth_gssapi_client"),
        plugin("dialog"),
        plugin("authentication_ldap_sasl_client"),
        plugin("other"),
        MysqlError::ClearPassword { is_verified: false },
        MysqlError::ClearPassword { is_verified: true },
        MysqlError::Unverified {
            address: address(),
            encrypted: false,
        },
        MysqlError::Tls {
            address: address(),
            reason: "the server offers no TLS".to_owned(),
        },
        MysqlError::LoginLost {
            refusal: "server error 1045 (28000): Access denied".to_owned(),
            file: Some("/run/password".to_owned()),
            is_waiting: false,
        },
        Options::parse("mysql://u:s3cret%zz@h/s").expect_err("`%zz` is no byte"),
    ];
    let texts = errors.map(|error| render::failure(&error.into_failure("source db1:3306")));
    check("failures-of-a-login", &texts.join("\n\n"));
}

/// The documented form that programs read: its fields, and a failure in it.
#[test]
fn status_as_json() {
    let mut status = status_of("running");
    status["process_id"] = json!(4_711);
    let tables = status["tables"].as_array_mut().expect("a list");
    tables.retain(|table| {
        !table["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("archive"))
    });
    let failure = Failure::new(
        code::DDL_SEEN,
        Class::StopMigration,
        "order lines",
        "`ALTER TABLE` changes it",
    );
    let failure = json::failure(&failure.hint("Run `spanferry resync`."));
    let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("JSON");
    check("status-json", &pretty(&status));
    check("failure-json", &pretty(&failure));
}

#[test]
fn a_verdict() {
    let key = |kind, key: &str, columns: &[&str]| DifferentKey {
        kind,
        key: key.to_owned(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
    };
    let different = TableVerdict {
        rows_source: 1_500,
        rows_target: 1_499,
        missing: 1,
        different: 1,
        keys: vec![
            key(Kind::Missing, "[\"7\"]", &[]),
            key(Kind::Different, "[\"8\"]", &["state"]),
        ],
        testimony: Testimony {
            rows_source: 1_500,
            rows_target: 1_499,
            ..Testimony::default()
        },
        ..TableVerdict::new(&QualifiedName::new("shop", "orders"))
    };
    check("verdict", &verdict::lines(&different).join("\n"));
    let equal = |name: &str| TableVerdict {
        rows_source: 1_500,
        rows_target: 1_500,
        testimony: Testimony {
            rows_source: 1_500,
            rows_target: 1_500,
            rows_asked: 100,
            ..Testimony::default()
        },
        ..TableVerdict::new(&QualifiedName::new("shop", name))
    };
    let absent = TableVerdict {
        rows_target: 0,
        lack: Some(Lack::Table),
        ..equal("invoices")
    };
    let verdicts = [equal("customers"), equal("客户订单"), absent, different];
    let mut lines: Vec<String> = verdicts.iter().flat_map(verdict::lines).collect();
    lines.extend(verdict::confirmed(&verdicts));
    check("verify", &lines.join("\n"));
    let others = [(
        QualifiedName::new("shop", "notes"),
        "it was created after the migration began",
    )];
    let report = json::verdict(&verdicts, &others, &[], false);
    check(
        "verify-json",
        &serde_json::to_string_pretty(&report).expect("JSON"),
    );
}
