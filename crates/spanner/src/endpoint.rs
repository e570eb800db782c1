//! Which server to talk to, and over what: emulator, private or regional endpoint, or the service
//! itself.

use std::net::IpAddr;

/// Names the emulator's gRPC address, as all of Google's clients read it.
pub const EMULATOR_VARIABLE: &str = "SPANNER_EMULATOR_HOST";

/// The service's public endpoint.
const SERVICE: &str = "spanner.googleapis.com";
const SERVICE_PORT: u16 = 443;

/// A server and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    kind: EndpointKind,
}

/// What stands behind an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// The emulator: no TLS, no credentials, one read-write transaction at a time.
    Emulator,
    /// Spanner itself over TLS, with application default credentials.
    Service,
    /// Spanner's protocol without TLS or credentials: a test server or a local proxy that adds
    /// both.
    Plaintext,
}

/// What the operator said about the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointChoice {
    /// The value of [`EMULATOR_VARIABLE`], if it is set and not empty.
    pub emulator_host: Option<String>,
    /// `--target-endpoint`: `host`, `host:port`, `https://host:port` or `http://host:port`.
    pub endpoint: Option<String>,
    /// Allows `http://` to a host that is not loopback.
    pub allow_plaintext: bool,
}

/// An endpoint that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `host` or `host:port`.
    #[error("expected `host`, `host:port` or `https://host:port`, found `{0}`")]
    Malformed(String),
    /// Data would travel readable for anyone.
    #[error("plaintext to `{0}`, which is not loopback: use `https://`")]
    Plaintext(String),
}

impl Endpoint {
    /// Chooses: an explicit endpoint before the emulator variable before the service.
    pub fn choose(choice: &EndpointChoice) -> Result<Endpoint, EndpointError> {
        if let Some(text) = &choice.endpoint {
            return explicit(text, choice.allow_plaintext);
        }
        match &choice.emulator_host {
            Some(text) => {
                let (host, port) = split(text.strip_prefix("http://").unwrap_or(text), 9010)?;
                Ok(Endpoint {
                    host,
                    port,
                    kind: EndpointKind::Emulator,
                })
            }
            None => Ok(Endpoint {
                host: SERVICE.to_owned(),
                port: SERVICE_PORT,
                kind: EndpointKind::Service,
            }),
        }
    }

    /// What stands behind it.
    pub fn kind(&self) -> EndpointKind {
        self.kind
    }

    /// Host name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The form that the transport takes.
    pub fn uri(&self) -> String {
        let scheme = match self.kind {
            EndpointKind::Service => "https",
            EndpointKind::Emulator | EndpointKind::Plaintext => "http",
        };
        if self.host.contains(':') {
            format!("{scheme}://[{}]:{}", self.host, self.port)
        } else {
            format!("{scheme}://{}:{}", self.host, self.port)
        }
    }
}

fn explicit(text: &str, allow_plaintext: bool) -> Result<Endpoint, EndpointError> {
    if let Some(rest) = text.strip_prefix("http://") {
        let (host, port) = split(rest, 80)?;
        if !allow_plaintext && !is_loopback(&host) {
            return Err(EndpointError::Plaintext(host));
        }
        return Ok(Endpoint {
            host,
            port,
            kind: EndpointKind::Plaintext,
        });
    }
    let (host, port) = split(text.strip_prefix("https://").unwrap_or(text), SERVICE_PORT)?;
    Ok(Endpoint {
        host,
        port,
        kind: EndpointKind::Service,
    })
}

fn split(text: &str, default_port: u16) -> Result<(String, u16), EndpointError> {
    let malformed = || EndpointError::Malformed(text.to_owned());
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(malformed)?)),
        None => text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(default_port), |port| port.parse().map_err(|_| malformed()))?;
    let plain = host
        .chars()
        .all(|character| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_'));
    if host.is_empty() || !(plain || host.parse::<IpAddr>().is_ok()) {
        return Err(malformed());
    }
    Ok((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        emulator: Option<&str>,
        endpoint: Option<&str>,
        expected: Result<(&str, EndpointKind), EndpointError>,
    ) {
        let choice = EndpointChoice {
            emulator_host: emulator.map(str::to_owned),
            endpoint: endpoint.map(str::to_owned),
            allow_plaintext: false,
        };
        let chosen = Endpoint::choose(&choice).map(|endpoint| (endpoint.uri(), endpoint.kind()));
        assert_eq!(chosen, expected.map(|(uri, kind)| (uri.to_owned(), kind)));
    }

    #[test]
    fn choices() {
        use EndpointKind::{Emulator, Plaintext, Service};
        check(None, None, Ok(("https://spanner.googleapis.com:443", Service)));
        check(
            Some("localhost:9010"),
            None,
            Ok(("http://localhost:9010", Emulator)),
        );
        check(Some("[::1]:9010"), None, Ok(("http://[::1]:9010", Emulator)));
        check(
            Some("x:1"),
            Some("http://127.0.0.1:99"),
            Ok(("http://127.0.0.1:99", Plaintext)),
        );
        check(
            None,
            Some("spanner.me-central2.rep.googleapis.com"),
            Ok(("https://spanner.me-central2.rep.googleapis.com:443", Service)),
        );
        check(
            None,
            Some("http://10.0.0.1:99"),
            Err(EndpointError::Plaintext("10.0.0.1".to_owned())),
        );
        check(None, Some("a b"), Err(EndpointError::Malformed("a b".to_owned())));
        check(
            Some("host:port"),
            None,
            Err(EndpointError::Malformed("host:port".to_owned())),
        );
    }
}
