//! The low-level client: one database, its channels, session and call metadata.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use spanferry_spanner_api::spanner::request_options::Priority as WirePriority;
use spanferry_spanner_api::spanner::spanner_client::SpannerClient;
use spanferry_spanner_api::spanner::{CreateSessionRequest, DeleteSessionRequest, RequestOptions, Session};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::backoff::retry;
use crate::channel::{self, MESSAGE_BYTES_MAX};
use crate::credentials::CallCredentials;
use crate::endpoint::{Endpoint, EndpointKind};
use crate::error::SpannerError;
use crate::name::DatabaseName;

/// Deadline of a call that reads or changes little: sessions, transactions, metadata.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// Deadline of one commit. Past it the outcome is unknown, not failed.
pub(crate) const COMMIT_DEADLINE: Duration = Duration::from_secs(120);
/// Longest wait for the next piece of a result; the stream is resumed past it.
pub(crate) const STREAM_IDLE_DEADLINE: Duration = Duration::from_secs(60);

/// A multiplexed session lives 28 days; Google's clients replace it after 7, we before that.
const SESSION_AGE_MAX: Duration = Duration::from_secs(6 * 24 * 3600);
/// The tag that our requests carry in Spanner's statistics.
const TAG: &str = "app=spanferry";

/// How urgent our requests are beside an application's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// Serving traffic goes first.
    Low,
    /// Between.
    #[default]
    Medium,
    /// As serving traffic.
    High,
}

/// What the operator may choose about the calls.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Priority of every request.
    pub priority: Priority,
    /// How long Spanner may hold a commit back to batch it with others: latency for throughput. At
    /// most 500 ms.
    pub commit_delay_max: Option<Duration>,
}

/// A client of one database. Clones share channels and session.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: DatabaseName,
    path: String,
    endpoint: Endpoint,
    options: ClientOptions,
    credentials: CallCredentials,
    channels: Vec<Channel>,
    turn: AtomicUsize,
    session: Mutex<Option<OpenSession>>,
}

#[derive(Debug)]
struct OpenSession {
    name: Arc<str>,
    opened: Instant,
}

/// How a call is routed: to the leader region if it is part of a read-write transaction or changes
/// a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Leader,
    Any,
}

impl Client {
    /// A client; connects at the first call. Credentials are looked for at once, which needs a
    /// tokio runtime.
    pub fn new(
        name: DatabaseName,
        endpoint: Endpoint,
        options: ClientOptions,
    ) -> Result<Client, SpannerError> {
        let credentials = match endpoint.kind() {
            EndpointKind::Service => CallCredentials::application_default()?,
            EndpointKind::Emulator | EndpointKind::Plaintext => CallCredentials::None,
        };
        let channels = channel::open(&endpoint)?;
        let (path, turn, session) = (name.path(), AtomicUsize::new(0), Mutex::new(None));
        let inner = Inner {
            name,
            path,
            endpoint,
            options,
            credentials,
            channels,
            turn,
            session,
        };
        Ok(Client {
            inner: Arc::new(inner),
        })
    }

    /// The database.
    pub fn name(&self) -> &DatabaseName {
        &self.inner.name
    }

    /// The server.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// Whether it is the emulator, or a server that says it is one.
    pub(crate) fn is_emulator(&self) -> bool {
        self.inner.endpoint.kind() == EndpointKind::Emulator
    }

    /// Longest time that Spanner may hold a commit back.
    pub(crate) fn commit_delay_max(&self) -> Option<Duration> {
        self.inner.options.commit_delay_max
    }

    /// The database's resource path.
    pub(crate) fn path(&self) -> &str {
        &self.inner.path
    }

    /// The next channel, in turn.
    pub(crate) fn channel(&self) -> Channel {
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed);
        self.inner.channels[turn % self.inner.channels.len()].clone()
    }

    /// The stub of the data service.
    pub(crate) fn data(&self) -> SpannerClient<Channel> {
        SpannerClient::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// A request with its metadata: credentials, routing, deadline.
    pub(crate) async fn request<M>(
        &self,
        message: M,
        (key, value): (&str, &str),
        route: Route,
        deadline: Duration,
    ) -> Result<Request<M>, SpannerError> {
        let mut request = Request::new(message);
        let headers = self.inner.credentials.headers().await?;
        *request.metadata_mut() = MetadataMap::from_headers(headers);
        let metadata = request.metadata_mut();
        metadata.insert("google-cloud-resource-prefix", ascii(self.path()));
        metadata.insert(
            "x-goog-request-params",
            ascii(&format!("{key}={}", percent_encoded(value))),
        );
        if route == Route::Leader {
            metadata.insert(
                "x-goog-spanner-route-to-leader",
                MetadataValue::from_static("true"),
            );
        }
        request.set_timeout(deadline);
        Ok(request)
    }

    /// Priority and tags of a request; the tag is a request tag for reads, a transaction tag for
    /// transactions.
    pub(crate) fn request_options(&self, transaction: bool) -> RequestOptions {
        let priority = match self.inner.options.priority {
            Priority::Low => WirePriority::Low,
            Priority::Medium => WirePriority::Medium,
            Priority::High => WirePriority::High,
        };
        let (request_tag, transaction_tag) = if transaction { ("", TAG) } else { (TAG, "") };
        RequestOptions {
            priority: priority as i32,
            request_tag: request_tag.to_owned(),
            transaction_tag: transaction_tag.to_owned(),
            client_context: None,
        }
    }

    /// The name of the shared session, opened when there is none or it has grown old.
    pub(crate) async fn session(&self) -> Result<Arc<str>, SpannerError> {
        let mut session = self.inner.session.lock().await;
        if let Some(open) = &*session
            && open.opened.elapsed() < SESSION_AGE_MAX
        {
            return Ok(Arc::clone(&open.name));
        }
        let name = self.create_session().await?;
        *session = Some(OpenSession {
            name: Arc::clone(&name),
            opened: Instant::now(),
        });
        Ok(name)
    }

    /// Opens a session of its own: what the emulator needs for a read-write transaction, since it
    /// keeps 32 a session.
    pub(crate) async fn create_session(&self) -> Result<Arc<str>, SpannerError> {
        retry(|| self.create_session_once()).await
    }

    async fn create_session_once(&self) -> Result<Arc<str>, SpannerError> {
        let session = Session {
            multiplexed: true,
            ..Session::default()
        };
        let message = CreateSessionRequest {
            database: self.path().to_owned(),
            session: Some(session),
        };
        let request = self
            .request(message, ("database", self.path()), Route::Leader, CALL_DEADLINE)
            .await?;
        let answer = self.data().create_session(request).await;
        let session = answer
            .map_err(|status| self.error("session", &status))?
            .into_inner();
        tracing::debug!(multiplexed = session.multiplexed, "session opened");
        Ok(session.name.into())
    }

    /// Ends a session of its own; a failure leaves it to the server's own clean-up.
    pub(crate) async fn delete_session(&self, name: &str) {
        let message = DeleteSessionRequest {
            name: name.to_owned(),
        };
        let Ok(request) = self
            .request(message, ("name", name), Route::Any, CALL_DEADLINE)
            .await
        else {
            return;
        };
        if let Err(status) = self.data().delete_session(request).await {
            tracing::debug!(status = ?status.code(), "session not deleted");
        }
    }

    /// Forgets the shared session if it is still this one: the server did not find it.
    pub(crate) async fn forget_session(&self, name: &str) {
        let mut session = self.inner.session.lock().await;
        if session.as_ref().is_some_and(|open| &*open.name == name) {
            *session = None;
        }
    }

    /// Classifies a status of a call about `object` of this database, and forgets a session that is
    /// gone.
    pub(crate) async fn session_error(&self, object: &str, session: &str, status: &Status) -> SpannerError {
        let error = self.error(object, status);
        if matches!(error, SpannerError::SessionLost { .. }) {
            self.forget_session(session).await;
        }
        error
    }

    /// Classifies a status of a call about `object` of this database.
    pub(crate) fn error(&self, object: &str, status: &Status) -> SpannerError {
        SpannerError::new(self.object(object), status)
    }

    /// `database D, OBJECT`, for messages.
    pub(crate) fn object(&self, object: &str) -> String {
        format!("database {}, {object}", self.inner.name.database())
    }
}

/// Resource names are made of characters that `DatabaseName` has checked, or come from the server.
fn ascii(text: &str) -> MetadataValue<tonic::metadata::Ascii> {
    text.parse().unwrap_or_else(|_| MetadataValue::from_static(""))
}

/// What routing headers leave as it is (AIP-4222).
const UNRESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The form that routing headers take (AIP-4222): everything but unreserved characters as `%XX`.
fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, &UNRESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_parameters_are_encoded() {
        assert_eq!(
            percent_encoded("projects/a.b:c/x-1").to_string(),
            "projects%2Fa.b%3Ac%2Fx-1"
        );
    }
}
