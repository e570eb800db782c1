//! TLS as `ssl-mode` demands it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::MysqlError;
use crate::options::{Options, SslMode};

/// Encrypts a connected socket.
pub(super) async fn encrypt(
    socket: TcpStream,
    options: &Options,
) -> Result<TlsStream<TcpStream>, MysqlError> {
    let failed = |reason: String| MysqlError::Tls {
        address: options.address(),
        reason,
    };
    let config = configure(options).map_err(failed)?;
    let name = ServerName::try_from(options.host.clone())
        .map_err(|_| failed("expected a DNS name or an address as host".to_owned()))?;
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .map_err(|error| failed(error.to_string()))
}

fn configure(options: &Options) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier(options, provider)?);
    match (&options.ssl_cert, &options.ssl_key) {
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("`ssl-key` {}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(chain, "ssl-cert")?, key)
                .map_err(|error| error.to_string())
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn verifier(options: &Options, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    match options.ssl_mode {
        SslMode::Disabled | SslMode::Preferred | SslMode::Required => Ok(Arc::new(ChainVerifier {
            roots: None,
            provider,
        })),
        SslMode::VerifyCa => Ok(Arc::new(ChainVerifier {
            roots: Some(roots(options)?),
            provider,
        })),
        SslMode::VerifyIdentity => {
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(options)?), provider);
            verifier
                .build()
                .map(|verifier| verifier as Arc<dyn ServerCertVerifier>)
                .map_err(|error| error.to_string())
        }
    }
}

fn roots(options: &Options) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match &options.ssl_ca {
        Some(file) => {
            for certificate in certificates(file, "ssl-ca")? {
                roots
                    .add(certificate)
                    .map_err(|error| format!("`ssl-ca` {}: {error}", file.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err("expected trusted authorities: name a PEM file with `ssl-ca`".to_owned());
    }
    Ok(roots)
}

fn certificates(file: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(format!(
            "`{option}` {}: expected a certificate as PEM",
            file.display()
        )),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("`{option}` {}: {error}", file.display())),
    }
}

/// Verifies the chain up to a trusted authority but no name (VERIFY_CA: certificates that MySQL
/// makes for itself have none), or, without roots, nothing but that the server owns its
/// certificate's key (REQUIRED and PREFERRED).
#[derive(Debug)]
struct ChainVerifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
