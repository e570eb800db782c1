//! The parts of a source URL: host and port, percent-encoding.
//!
//! The parts are cut out here and not by the crate `url`. By the rules of browsers that it follows,
//! a `/` or `#` in a password ends the host, and tabs are dropped: URLs that are understood today
//! would be refused or read otherwise.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::MysqlError;

/// MySQL's registered port.
const PORT: u16 = 3306;

/// Splits `host[:port]`; an IPv6 address stands in brackets.
pub(super) fn split_host(authority: &str) -> Result<(String, u16), MysqlError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| MysqlError::usage("expected `]` after the IPv6 address in the source URL"))?;
            (host, rest.strip_prefix(':'))
        }
        None => authority
            .split_once(':')
            .map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(MysqlError::usage(
            "expected a host name after `@` in the source URL",
        ));
    }
    let port = port
        .map_or(Ok(PORT), str::parse)
        .map_err(|_| MysqlError::usage("expected a port number from 1 to 65535 in the source URL"))?;
    Ok((host.to_owned(), port))
}

/// What `encode` leaves as it is; everything else could mean something in a URL.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Percent-decodes a part of the URL. A `%` without two digits is an error, not itself: a password
/// with it is likelier not encoded at all.
pub(super) fn decode(text: &str, part: &str) -> Result<String, MysqlError> {
    let is_code = |code: &str| {
        let digits = code.as_bytes().first_chunk::<2>();
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(decoded) if text.split('%').skip(1).all(is_code) => Ok(decoded.into_owned()),
        Ok(_) | Err(_) => Err(MysqlError::usage(&format!(
            "expected percent-encoded UTF-8 in the {part} of the source URL (`%` itself is `%25`)"
        ))),
    }
}

/// Percent-encodes everything that could mean something in a URL.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}

/// Whether a host is this machine by its spelling alone.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
