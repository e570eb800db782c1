//! Application default credentials as call metadata.
//!
//! Google's library renews access tokens by itself, from credentials that it reads once. After a
//! refusal that it takes for final it never asks again. So the credentials are looked for again
//! here, now and then and after such a refusal: a key file may have been replaced.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use google_cloud_auth::credentials::{Builder, CacheableResource, Credentials};
use http::{Extensions, HeaderMap};
use tokio::time::{Instant, timeout};

use crate::error::SpannerError;

/// What a token must allow: Spanner's data and its admin services.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/spanner.data",
    "https://www.googleapis.com/auth/spanner.admin",
];
/// Time after which credentials are looked for again.
const SEARCH_INTERVAL: Duration = Duration::from_secs(10 * 60);
/// Time between two searches while those that are known are refused.
const SEARCH_PAUSE: Duration = Duration::from_secs(30);
/// How long new credentials may take to give a token. Then the known ones stay.
const FIRST_TOKEN_MAX: Duration = Duration::from_secs(30);
/// How long others are waited for when those that gave tokens before are refused.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Where call metadata comes from.
#[derive(Debug, Clone)]
pub(crate) enum CallCredentials {
    /// None: the emulator, or a server reached without TLS.
    None,
    /// Application default credentials.
    Google(Arc<RenewedCredentials>),
}

impl CallCredentials {
    /// Finds application default credentials: the environment's file, gcloud's login, or the
    /// metadata server.
    pub(crate) fn application_default() -> Result<CallCredentials, SpannerError> {
        let found = RenewedCredentials::new(application_default)?;
        Ok(CallCredentials::Google(Arc::new(found)))
    }

    /// The headers of one call: the token, and the quota project if there is one.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, SpannerError> {
        match self {
            CallCredentials::None => Ok(HeaderMap::new()),
            CallCredentials::Google(credentials) => credentials.headers().await,
        }
    }
}

fn application_default() -> Result<Credentials, SpannerError> {
    let built = Builder::default().with_scopes(SCOPES).build();
    built.map_err(|error| denied(with_causes(&error), false))
}

/// Credentials that are looked for again.
#[derive(Debug)]
pub(crate) struct RenewedCredentials {
    find: fn() -> Result<Credentials, SpannerError>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    credentials: Credentials,
    searched_at: Instant,
    /// Whether some have given a token.
    has_worked: bool,
    refused_since: Option<Instant>,
}

impl RenewedCredentials {
    fn new(find: fn() -> Result<Credentials, SpannerError>) -> Result<RenewedCredentials, SpannerError> {
        let state = State {
            credentials: find()?,
            searched_at: Instant::now(),
            has_worked: false,
            refused_since: None,
        };
        Ok(RenewedCredentials {
            find,
            state: Mutex::new(state),
        })
    }

    async fn headers(&self) -> Result<HeaderMap, SpannerError> {
        if self.begins_search(SEARCH_INTERVAL) {
            self.search().await;
        }
        let mut found = headers_of(self.current()).await;
        let is_refused = matches!(found, Err(SpannerError::Denied { passing: false, .. }));
        if is_refused && self.begins_search(SEARCH_PAUSE) {
            self.search().await;
            found = headers_of(self.current()).await;
        }
        self.judge(found)
    }

    fn current(&self) -> Credentials {
        self.with(|state| state.credentials.clone())
    }

    /// Whether it is time for a search, which the caller then makes.
    fn begins_search(&self, interval: Duration) -> bool {
        self.with(|state| {
            let is_due = state.searched_at.elapsed() >= interval;
            if is_due {
                state.searched_at = Instant::now();
            }
            is_due
        })
    }

    /// Takes what is found now, if it gives a token.
    async fn search(&self) {
        let found = match (self.find)() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(
                    error = error.for_log(),
                    "no credentials are found now; the known ones stay"
                );
                return;
            }
        };
        match timeout(FIRST_TOKEN_MAX, headers_of(found.clone())).await {
            Ok(Ok(_)) => self.with(|state| state.credentials = found),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = error.for_log(),
                    "the credentials found now are refused; the known ones stay"
                );
            }
            Err(_) => tracing::warn!("the credentials found now give no token in time; the known ones stay"),
        }
    }

    /// A refusal passes, perhaps, where a token was given before.
    fn judge(&self, found: Result<HeaderMap, SpannerError>) -> Result<HeaderMap, SpannerError> {
        self.with(|state| match found {
            Ok(headers) => {
                (state.has_worked, state.refused_since) = (true, None);
                Ok(headers)
            }
            Err(SpannerError::Denied {
                message,
                passing: false,
                ..
            }) if state.has_worked => {
                let since = *state.refused_since.get_or_insert_with(Instant::now);
                Err(denied(message, since.elapsed() < PATIENCE))
            }
            Err(error) => Err(error),
        })
    }

    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.state.lock().expect("nothing panics under this lock"))
    }
}

async fn headers_of(credentials: Credentials) -> Result<HeaderMap, SpannerError> {
    match credentials.headers(Extensions::new()).await {
        Ok(CacheableResource::New { data, .. }) => Ok(data),
        Ok(CacheableResource::NotModified) => {
            Err(SpannerError::malformed(OBJECT, "headers, none being cached"))
        }
        Err(error) => Err(denied(with_causes(&error), error.is_transient())),
    }
}

const OBJECT: &str = "application default credentials";

fn denied(message: String, passing: bool) -> SpannerError {
    SpannerError::Denied {
        object: OBJECT.to_owned(),
        message,
        passing,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use google_cloud_auth::credentials::{CredentialsProvider, EntityTag};
    use google_cloud_auth::errors::CredentialsError;
    use http::HeaderValue;

    use super::*;

    /// The key that is valid at the service, and the one in the file; zero is a file that is not
    /// there.
    static VALID: AtomicU32 = AtomicU32::new(1);
    static IN_FILE: AtomicU32 = AtomicU32::new(1);

    #[derive(Debug)]
    struct Key(u32);

    impl CredentialsProvider for Key {
        async fn headers(&self, _: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
            if VALID.load(Ordering::Relaxed) != self.0 {
                return Err(CredentialsError::from_msg(false, "the key is not valid"));
            }
            let mut data = HeaderMap::new();
            data.insert("key", HeaderValue::from(self.0));
            let entity_tag = EntityTag::new();
            Ok(CacheableResource::New { entity_tag, data })
        }

        async fn universe_domain(&self) -> Option<String> {
            None
        }
    }

    fn find() -> Result<Credentials, SpannerError> {
        match IN_FILE.load(Ordering::Relaxed) {
            0 => Err(denied("no file".to_owned(), false)),
            key => Ok(Key(key).into()),
        }
    }

    fn set(valid: u32, in_file: u32) {
        VALID.store(valid, Ordering::Relaxed);
        IN_FILE.store(in_file, Ordering::Relaxed);
    }

    /// The key that a call goes out with, or whether its refusal may pass.
    async fn call(credentials: &RenewedCredentials) -> Result<u32, bool> {
        match credentials.headers().await {
            Ok(headers) => Ok(headers["key"].to_str().unwrap().parse().unwrap()),
            Err(SpannerError::Denied { passing, .. }) => Err(passing),
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_file_may_be_replaced() {
        let unproved = RenewedCredentials::new(find).unwrap();
        set(2, 1);
        assert_eq!(call(&unproved).await, Err(false), "it never worked");

        set(1, 1);
        let credentials = RenewedCredentials::new(find).unwrap();
        assert_eq!(call(&credentials).await, Ok(1));
        // A new key in the file that is not valid yet, or no file: the known one stays in use.
        for in_file in [2, 0] {
            set(1, in_file);
            tokio::time::advance(SEARCH_INTERVAL).await;
            assert_eq!(call(&credentials).await, Ok(1));
        }
        // The old key ends before the file is replaced.
        set(2, 1);
        assert_eq!(call(&credentials).await, Err(true));
        set(2, 2);
        tokio::time::advance(SEARCH_PAUSE).await;
        assert_eq!(call(&credentials).await, Ok(2));
        // Nothing comes in time.
        set(3, 2);
        assert_eq!(call(&credentials).await, Err(true));
        tokio::time::advance(PATIENCE).await;
        assert_eq!(call(&credentials).await, Err(false));
    }
}
