//! `spanferry check`: both ends tested step by step, then everything found at once.

use spanferry_core::code::Exit;
use spanferry_core::failure::Failure;
use spanferry_core::finding::Severity;
use spanferry_core::source::SchemaSource;

use crate::args::Output;
use crate::session::{Plan, Session, blocking};
use crate::settings::Settings;
use crate::{json, render};

/// Runs the check; exit status 0 if a migration may start, else 3.
pub(crate) async fn run(settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(settings)?;
    if settings.output == Output::Text {
        connections(settings)?;
    }
    let identity = session.source.identity().await?;
    if settings.output == Output::Text {
        render::say(&format!("source: reached, logged in: {identity}"));
    }
    let plan = session.plan(settings).await?;
    report(&plan, settings);
    Ok(if blocking(&plan.findings, settings).is_empty() {
        0
    } else {
        Exit::Refused.status()
    })
}

/// Prints all findings and a closing line.
pub(crate) fn report(plan: &Plan, settings: &Settings) {
    let stopping = blocking(&plan.findings, settings).len();
    if settings.output == Output::Json {
        let findings: Vec<_> = plan.findings.iter().map(json::finding).collect();
        let tables: Vec<_> = plan.plans.iter().map(|plan| plan.name().table.clone()).collect();
        render::say(
            &serde_json::json!({"ok": stopping == 0, "tables": tables, "findings": findings}).to_string(),
        );
        return;
    }
    let mut findings: Vec<_> = plan.findings.iter().collect();
    findings.sort_by_key(|finding| {
        (
            std::cmp::Reverse(finding.severity),
            finding.subject.clone(),
            finding.code,
        )
    });
    for finding in &findings {
        render::say(&render::finding(finding));
    }
    let count = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    render::say(&format!(
        "check: {} tables, about {} rows; {} blocking, {} warnings, {} notices",
        plan.plans.len(),
        render::count(plan.rows_estimate),
        stopping,
        count(Severity::Warning),
        count(Severity::Notice),
    ));
}

/// The connections that a network administrator must open.
fn connections(settings: &Settings) -> Result<(), Failure> {
    let (source, endpoint) = (settings.need_source()?, &settings.endpoint);
    render::say("connections from this machine:");
    let sessions = settings.source_connections + 2;
    render::say(&format!(
        "  outbound TCP {}:{} to the source: schema, {sessions} sessions of snapshot and change stream",
        source.host, source.port
    ));
    render::say(&format!(
        "  outbound TCP {}:{} to Spanner: gRPC over HTTP/2",
        endpoint.host(),
        endpoint.port()
    ));
    Ok(())
}
