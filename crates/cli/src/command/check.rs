//! `spanferry check`: both ends tested step by step, then everything found at once.

use serde::Serialize;
use serde_json::{Value, json};
use spanferry_core::report::code::Exit;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::Severity;
use spanferry_engine::plan::Survey;
use spanferry_spanner::endpoint::EndpointKind;

use crate::args::Output;
use crate::findings::{self, REST_OF_CHECK, Room};
use crate::probe::{self, Probe};
use crate::session::Session;
use crate::settings::Settings;
use crate::short_name::short_names;
use crate::source::CliSource;
use crate::{json, render};

/// Where Google's access tokens come from.
const TOKEN_HOST: &str = "oauth2.googleapis.com";
const HTTPS: u16 = 443;

/// Runs the check; exit status 0 if a migration may start, else 3.
pub(crate) async fn run<S: CliSource>(source: S, settings: &Settings) -> Result<u8, Failure> {
    let session = Session::open(source, settings)?;
    let connections = connections(settings)?;
    let text = settings.output == Output::Text;
    if text {
        print_connections(&connections);
    }
    let probes = [
        probe::source(&session, settings).await?,
        probe::target(&session, settings).await,
    ];
    if text {
        probes.iter().for_each(Probe::print);
    }
    if probes.iter().any(|probe| probe.failure().is_some()) {
        return Ok(unreached(&probes, &connections, settings));
    }
    let plan = session.survey(settings).await?;
    if text {
        report(&plan, settings);
    } else {
        let mut object = to_json(&plan, settings);
        object["connections"] = json!(connections);
        object["reached"] = probes.iter().map(Probe::to_json).collect();
        render::print_json(&object);
    }
    Ok(if plan.blocking().is_empty() {
        0
    } else {
        Exit::Refused.status()
    })
}

/// Reports why an end cannot be reached; both ends are reported.
fn unreached(probes: &[Probe], connections: &[Connection], settings: &Settings) -> u8 {
    if settings.output == Output::Json {
        let reached: Vec<_> = probes.iter().map(Probe::to_json).collect();
        let object = json!({"ok": false, "connections": connections, "reached": reached, "tables": [], "findings": []});
        render::print_json(&object);
    } else {
        for failure in probes.iter().filter_map(Probe::failure) {
            render::print_error(&render::failure(failure));
        }
    }
    let failures = probes.iter().filter_map(Probe::failure);
    let statuses = failures.map(|failure| failure.code.exit().status());
    statuses.min().unwrap_or(Exit::Refused.status())
}

/// What was found, for programs.
pub(crate) fn to_json(plan: &Survey, settings: &Settings) -> Value {
    let findings = findings_json(plan, settings);
    let selected = plan.today.selected.iter();
    let names = short_names(selected.map(|table| &table.name));
    let ok = plan.blocking().is_empty();
    json!({"ok": ok, "tables": names, "findings": findings})
}

fn findings_json(plan: &Survey, settings: &Settings) -> Vec<Value> {
    let options = settings.printed_options();
    let findings = plan.findings.iter();
    findings.map(|finding| json::finding(finding, &options)).collect()
}

/// Prints what was found and a closing line, for a person.
pub(crate) fn report(plan: &Survey, settings: &Settings) {
    let stopping = plan.blocking().len();
    let findings = findings_json(plan, settings);
    for line in findings::lines(&findings, 0, Room::of(settings.verbose), REST_OF_CHECK) {
        render::print(&line);
    }
    let count = |severity| {
        plan.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    render::print(&format!(
        "check: {}, about {}; {} blocking, {}, {}",
        render::counted(plan.today.selected.len(), "table"),
        render::rows(plan.rows_estimate),
        stopping,
        render::counted(count(Severity::Warning), "warning"),
        render::counted(count(Severity::Notice), "notice"),
    ));
}

/// A connection that a network administrator must open.
#[derive(Debug, Serialize)]
struct Connection {
    host: String,
    port: u16,
    /// Seen from this machine; nothing ever connects to us.
    direction: &'static str,
    purpose: String,
}

fn connections(settings: &Settings) -> Result<Vec<Connection>, Failure> {
    let (source, endpoint) = (settings.need_source()?, &settings.endpoint);
    let sessions = settings.source_connections as usize + source.sessions_beside(settings.lock);
    let outbound = |host: &str, port, purpose: String| Connection {
        host: host.to_owned(),
        port,
        direction: "outbound",
        purpose,
    };
    let mut all = vec![
        outbound(
            source.host(),
            source.port(),
            format!(
                "{} to the source: schema, snapshot and change stream, up to {sessions} sessions",
                source.protocol()
            ),
        ),
        outbound(
            endpoint.host(),
            endpoint.port(),
            "gRPC over HTTP/2 to Spanner".to_owned(),
        ),
    ];
    if endpoint.kind() == EndpointKind::Service {
        let purpose = "HTTPS for access tokens, unless a metadata server gives them";
        all.push(outbound(TOKEN_HOST, HTTPS, purpose.to_owned()));
    }
    Ok(all)
}

fn print_connections(connections: &[Connection]) {
    render::print("connections from this machine:");
    for connection in connections {
        render::print(&format!(
            "  {} TCP {}:{}: {}",
            connection.direction, connection.host, connection.port, connection.purpose
        ));
    }
}
