//! How both ends are reached, one step after the other: name, route, TLS, login; a step that fails
//! says which one it was.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use spanferry_core::port::target::SchemaTarget;
use spanferry_core::report::code::{self, Code};
use spanferry_core::report::failure::{Class, Failure};
use spanferry_spanner::endpoint::EndpointKind;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::session::Session;
use crate::settings::Settings;
use crate::source::CliSource;
use crate::{json as output, render};

/// How long a name server, or a host that a firewall keeps silent, may take.
const STEP_PATIENCE: Duration = Duration::from_secs(15);

/// The steps towards one end, up to the first that failed.
pub(crate) struct Probe {
    end: &'static str,
    steps: Vec<Step>,
}

struct Step {
    name: &'static str,
    /// What was seen, or why it failed.
    result: Result<String, Failure>,
}

impl Probe {
    fn new(end: &'static str) -> Probe {
        Probe {
            end,
            steps: Vec::new(),
        }
    }

    /// Notes a step; `None` if it failed, so that no later one is tried.
    fn note<T>(
        &mut self,
        name: &'static str,
        result: Result<T, Failure>,
        seen: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => {
                let result = Ok(seen(&value));
                self.steps.push(Step { name, result });
                Some(value)
            }
            Err(failure) => {
                let result = Err(failure);
                self.steps.push(Step { name, result });
                None
            }
        }
    }

    /// Name and route.
    async fn reach(&mut self, host: &str, port: u16, code: Code) -> Option<()> {
        let found = addresses(host, port, code).await;
        let addresses = self.note("name", found, |addresses| listed(addresses))?;
        let route = connect(&addresses, host, port, code).await;
        self.note("route", route, |address| format!("TCP to {address}"))
            .map(|_| ())
    }

    /// The failure that ended it, if one did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.steps.iter().find_map(|step| step.result.as_ref().err())
    }

    /// Prints a line a step.
    pub(crate) fn print(&self) {
        for step in &self.steps {
            let text = match &step.result {
                Ok(seen) => format!("ok, {seen}"),
                Err(failure) => format!("failed, {failure}"),
            };
            render::print(&format!("{} {}: {text}", self.end, step.name));
        }
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| match &step.result {
                Ok(seen) => json!({"step": step.name, "ok": true, "text": seen}),
                Err(failure) => {
                    let error = output::failure(failure);
                    json!({"step": step.name, "ok": false, "text": failure.to_string(), "error": error})
                }
            })
            .collect();
        json!({"end": self.end, "steps": steps})
    }
}

/// Tries to reach the source.
pub(crate) async fn source<S: CliSource>(
    session: &Session<S>,
    settings: &Settings,
) -> Result<Probe, Failure> {
    let options = settings.need_source()?;
    let mut probe = Probe::new("source");
    if probe
        .reach(options.host(), options.port(), code::SOURCE_UNREACHABLE)
        .await
        .is_none()
    {
        return Ok(probe);
    }
    match session.source.log_in().await {
        Ok(login) => {
            probe.note("TLS", Ok(()), |()| login.encryption.to_owned());
            probe.note("login", Ok(()), |()| login.server);
        }
        Err(failure) => probe.fail_at(failure, code::SOURCE_TLS, code::SOURCE_UNREACHABLE),
    }
    Ok(probe)
}

/// Tries to reach the target. A missing database is a finding of its own, not a failed login.
pub(crate) async fn target<S>(session: &Session<S>, settings: &Settings) -> Probe {
    let endpoint = &settings.endpoint;
    let mut probe = Probe::new("target");
    if probe
        .reach(endpoint.host(), endpoint.port(), code::TARGET_UNREACHABLE)
        .await
        .is_none()
    {
        return probe;
    }
    match session.target.describe().await {
        Err(failure) if failure.code != code::TARGET_MISSING => {
            probe.fail_at(failure, code::TARGET_UNREACHABLE, code::TARGET_UNREACHABLE);
        }
        Ok(_) | Err(_) => {
            let (tls, login) = match endpoint.kind() {
                EndpointKind::Service => ("encrypted", "application default credentials accepted"),
                EndpointKind::Emulator => ("not encrypted, the emulator", "none needed, the emulator"),
                EndpointKind::Plaintext => ("not encrypted, as asked for", "none needed"),
            };
            probe.note("TLS", Ok(()), |()| tls.to_owned());
            probe.note("login", Ok(()), |()| login.to_owned());
        }
    }
    probe
}

impl Probe {
    /// Notes the failure of a conversation whose route was good: at TLS if its code says so, else
    /// at the login.
    fn fail_at(&mut self, failure: Failure, tls: Code, silent: Code) {
        if failure.code == tls || failure.code == silent {
            self.note("TLS", Err::<(), _>(failure), |()| String::new());
        } else {
            self.note("TLS", Ok(()), |()| "negotiated".to_owned());
            self.note("login", Err::<(), _>(failure), |()| String::new());
        }
    }
}

fn listed(addresses: &[SocketAddr]) -> String {
    let texts: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
    texts.join(", ")
}

async fn addresses(host: &str, port: u16, code: Code) -> Result<Vec<SocketAddr>, Failure> {
    let unknown = || Failure::new(code, Class::StopMigration, host, "the name cannot be resolved");
    let found = timeout(STEP_PATIENCE, tokio::net::lookup_host((host, port))).await;
    let found: Vec<_> = found
        .map_err(|late| unknown().caused_by(late))?
        .map_err(|cause| unknown().caused_by(cause))?
        .collect();
    if found.is_empty() {
        return Err(unknown());
    }
    Ok(found)
}

/// Tries the addresses one after the other, as the clients do; the first that answers.
async fn connect(addresses: &[SocketAddr], host: &str, port: u16, code: Code) -> Result<SocketAddr, Failure> {
    let closed = || {
        Failure::new(
            code,
            Class::StopMigration,
            format!("{host}:{port}"),
            "no TCP connection",
        )
    };
    let mut last = closed();
    for address in addresses {
        match timeout(STEP_PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(cause)) => last = closed().caused_by(cause),
            Err(late) => last = closed().caused_by(late),
        }
    }
    Err(last)
}
