//! The parts of a source URL: host and port, percent-encoding.

use super::usage;
use crate::error::MysqlError;

/// MySQL's registered port.
const PORT: u16 = 3306;

/// Splits `host[:port]`; an IPv6 address stands in brackets.
pub(super) fn split_host(authority: &str) -> Result<(String, u16), MysqlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| usage("expected `]` after the IPv6 address in the source URL"))?;
            (host, rest.strip_prefix(':'))
        }
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(usage("expected a host name after `@` in the source URL"));
    }
    let port = port
        .map_or(Ok(PORT), str::parse)
        .map_err(|_| usage("expected a port number from 1 to 65535 in the source URL"))?;
    Ok((host.to_owned(), port))
}

/// Percent-decodes a part of the URL.
pub(super) fn decode(text: &str, part: &str) -> Result<String, MysqlError> {
    let wrong = || {
        usage(&format!(
            "expected percent-encoded UTF-8 in the {part} of the source URL (`%` itself is `%25`)"
        ))
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

/// Percent-encodes everything that could mean something in a URL.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    encoded
}

/// Whether a host is this machine by its spelling alone.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
