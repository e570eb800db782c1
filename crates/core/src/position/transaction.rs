//! The identity of one transaction of a source.

use std::fmt;

use super::ServerUuid;

/// A source transaction, as its server names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionId {
    /// MySQL: server UUID, optional tag (8.3 and later), number from 1.
    Mysql {
        /// Origin server.
        server: ServerUuid,
        /// Tag, empty if none.
        tag: String,
        /// Number within (server, tag).
        number: u64,
    },
    /// MariaDB: `domain-server-sequence`.
    Mariadb {
        /// Replication domain.
        domain: u32,
        /// Origin server.
        server: u32,
        /// Sequence within the domain.
        number: u64,
    },
}

impl TransactionId {
    /// Parses what `Display` writes: `uuid:number`, `uuid:tag:number` or `domain-server-number`.
    pub fn parse(text: &str) -> Option<TransactionId> {
        if let Some((server, rest)) = text.split_once(':') {
            let server = ServerUuid::parse(server)?;
            let (tag, number) = rest.split_once(':').unwrap_or(("", rest));
            return Some(TransactionId::Mysql {
                server,
                tag: tag.to_ascii_lowercase(),
                number: number.parse().ok()?,
            });
        }
        let mut parts = text.split('-');
        let id = TransactionId::Mariadb {
            domain: parts.next()?.parse().ok()?,
            server: parts.next()?.parse().ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransactionId::Mysql { server, tag, number } if tag.is_empty() => write!(f, "{server}:{number}"),
            TransactionId::Mysql { server, tag, number } => write!(f, "{server}:{tag}:{number}"),
            TransactionId::Mariadb {
                domain,
                server,
                number,
            } => write!(f, "{domain}-{server}-{number}"),
        }
    }
}
