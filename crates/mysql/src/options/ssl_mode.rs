//! How much of TLS is demanded.

/// How much of TLS is demanded: MySQL's own `ssl-mode` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server offers it; the certificate is not looked at.
    Preferred,
    /// Encrypted; the certificate is not looked at.
    Required,
    /// Encrypted, and the certificate comes from a trusted authority; its name is not looked at.
    VerifyCa,
    /// Encrypted, from a trusted authority, and for this host.
    VerifyIdentity,
}

impl SslMode {
    /// Reads `ssl-mode` as the URL names it, in any case.
    pub(super) fn parse(text: &str) -> Option<SslMode> {
        Some(match text.to_ascii_uppercase().as_str() {
            "DISABLED" => SslMode::Disabled,
            "PREFERRED" => SslMode::Preferred,
            "REQUIRED" => SslMode::Required,
            "VERIFY_CA" => SslMode::VerifyCa,
            "VERIFY_IDENTITY" => SslMode::VerifyIdentity,
            _ => return None,
        })
    }

    /// Whether the server has to prove by its certificate which one it is.
    pub(crate) fn is_verified(self) -> bool {
        match self {
            SslMode::Disabled | SslMode::Preferred | SslMode::Required => false,
            SslMode::VerifyCa | SslMode::VerifyIdentity => true,
        }
    }

    /// As `parse` takes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            SslMode::Disabled => "DISABLED",
            SslMode::Preferred => "PREFERRED",
            SslMode::Required => "REQUIRED",
            SslMode::VerifyCa => "VERIFY_CA",
            SslMode::VerifyIdentity => "VERIFY_IDENTITY",
        }
    }
}
