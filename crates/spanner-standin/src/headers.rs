//! The metadata that every call of the data service must carry.

use tonic::{Code, Status};

use crate::Shared;
use crate::message::{Field, Fields};
use crate::refusal::{Refusal, Rule};
use crate::server::Call;

impl Shared {
    /// Refuses a call whose routing headers are missing or name another session or database.
    pub(crate) fn check_headers(&self, call: &Call) -> Result<(), Status> {
        // The resource is the first field of every request of the service.
        let resource = Fields(&call.message).find_map(|field| match field {
            Ok((1, Field::Bytes(bytes))) => std::str::from_utf8(bytes).ok(),
            Ok(_) | Err(_) => None,
        });
        let resource = resource.unwrap_or_default();
        let database = resource.split("/sessions/").next().unwrap_or_default();
        let header = |name: &str| call.metadata.get(name).and_then(|value| value.to_str().ok());
        let refuse = |message: String| {
            Err(self.violations.refuse(Refusal::broken(
                Rule::RoutingHeader,
                Code::InvalidArgument,
                message,
            )))
        };
        if header("google-cloud-resource-prefix") != Some(database) {
            return refuse(format!(
                "google-cloud-resource-prefix does not name {database}: {}",
                call.method()
            ));
        }
        let routed = header("x-goog-request-params").map(decoded).unwrap_or_default();
        if !routed
            .split('&')
            .any(|pair| pair.split_once('=').is_some_and(|(_, value)| value == resource))
        {
            return refuse(format!(
                "x-goog-request-params does not name {resource}: {}",
                call.method()
            ));
        }
        let leader = matches!(
            call.method(),
            "Commit" | "BeginTransaction" | "Rollback" | "CreateSession"
        );
        if leader && header("x-goog-spanner-route-to-leader") != Some("true") {
            let message = format!("x-goog-spanner-route-to-leader is missing: {}", call.method());
            self.violations.record(Rule::LeaderHeader, &message);
        }
        Ok(())
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = (byte == b'%').then(|| {
            let digits = [rest.next().unwrap_or(b'x'), rest.next().unwrap_or(b'x')];
            u8::from_str_radix(&String::from_utf8_lossy(&digits), 16).unwrap_or(b'?')
        });
        bytes.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
