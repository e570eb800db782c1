//! Application default credentials as call metadata.

use google_cloud_auth::credentials::{AccessTokenCredentials, Builder, CacheableResource, Credentials};
use http::{Extensions, HeaderMap};

use crate::error::SpannerError;

/// What a token must allow: Spanner's data and its admin services.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/spanner.data",
    "https://www.googleapis.com/auth/spanner.admin",
];

/// Where call metadata comes from. Tokens are cached and refreshed by the credentials library in the background.
#[derive(Debug, Clone)]
pub(crate) enum CallCredentials {
    /// None: the emulator, or a server reached without TLS.
    None,
    /// Application default credentials.
    Google(AccessTokenCredentials),
}

impl CallCredentials {
    /// Finds application default credentials: the environment's file, gcloud's login, or the metadata server.
    pub(crate) fn application_default() -> Result<CallCredentials, SpannerError> {
        let built = Builder::default()
            .with_scopes(SCOPES)
            .build_access_token_credentials();
        built
            .map(CallCredentials::Google)
            .map_err(|error| SpannerError::Denied {
                object: OBJECT.to_owned(),
                message: with_causes(&error),
                passing: false,
            })
    }

    /// The headers of one call: the token, and the quota project if there is one.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, SpannerError> {
        let CallCredentials::Google(credentials) = self else {
            return Ok(HeaderMap::new());
        };
        let credentials: Credentials = credentials.clone().into();
        match credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => {
                Err(SpannerError::malformed(OBJECT, "headers, none being cached"))
            }
            Err(error) => Err(SpannerError::Denied {
                object: OBJECT.to_owned(),
                passing: error.is_transient(),
                message: with_causes(&error),
            }),
        }
    }
}

const OBJECT: &str = "application default credentials";

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
