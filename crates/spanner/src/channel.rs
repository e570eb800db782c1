//! HTTP/2 channels to the target: limits, windows, keep-alive, TLS.

use std::time::Duration;

use tonic::transport::{Channel, ClientTlsConfig, Endpoint as TonicEndpoint};

use crate::endpoint::{Endpoint, EndpointKind};
use crate::error::SpannerError;

/// Largest message in either direction: Spanner's 100 MiB commit limit and some room for its frame.
pub(crate) const MESSAGE_BYTES_MAX: usize = 110 << 20;

/// Connections to the service: one carries at most 100 calls at a time, and its TLS is bound to one
/// core.
const SERVICE_CHANNELS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Google's front ends refuse pings more often than every 5 minutes on idle connections, and allow
/// this while calls are open.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
const USER_AGENT: &str = concat!("spanferry/", env!("CARGO_PKG_VERSION"));

/// Opens the channels lazily: the first call connects, and the next call replaces a broken
/// connection. The transport repeats no call by itself.
pub(crate) fn open(endpoint: &Endpoint) -> Result<Vec<Channel>, SpannerError> {
    let count = match endpoint.kind() {
        EndpointKind::Emulator => 1,
        EndpointKind::Service | EndpointKind::Plaintext => SERVICE_CHANNELS,
    };
    let configured = configure(endpoint).map_err(|source| SpannerError::Transport {
        endpoint: endpoint.uri(),
        source,
    })?;
    Ok((0..count).map(|_| configured.connect_lazy()).collect())
}

fn configure(endpoint: &Endpoint) -> Result<TonicEndpoint, tonic::transport::Error> {
    let configured = TonicEndpoint::from_shared(endpoint.uri())?
        .user_agent(USER_AGENT)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    match endpoint.kind() {
        EndpointKind::Service => configured.tls_config(
            ClientTlsConfig::new()
                .with_native_roots()
                .domain_name(endpoint.host()),
        ),
        EndpointKind::Emulator | EndpointKind::Plaintext => Ok(configured),
    }
}

#[cfg(test)]
mod tests {
    use crate::endpoint::EndpointChoice;

    use super::*;

    /// Nothing is connected yet: this shows that the TLS configuration, its provider and the
    /// system's roots are in order.
    #[tokio::test]
    async fn the_service_is_reached_over_tls() {
        let endpoint = Endpoint::choose(&EndpointChoice::default()).unwrap();
        assert_eq!(open(&endpoint).unwrap().len(), SERVICE_CHANNELS);
    }
}
