//! Shows the transactions by which the source's history is recognised, without being one of its
//! replicas.

use spanferry_core::port::source::HistorySource;
use spanferry_core::position::{
    Bookmark, GtidSet, MariadbGtids, Position, PositionError, TransactionId, Witness, Witnesses,
};
use spanferry_core::report::code;
use spanferry_core::report::failure::Failure;
use spanferry_core::report::finding::{Finding, Severity, Subject};

use crate::binlog::Reader;
use crate::connection::Connection;
use crate::history;
use crate::position::{position, unreadable};
use crate::source::{At, MysqlSource};
use crate::sql;

/// Binary log files that are looked into, from the newest on, for one that holds any transaction.
const FILES_MAX: usize = 64;
/// First events of a file among which it lists what lies before it; an encrypted file has one event
/// more.
const HEAD_EVENTS: usize = 5;

impl HistorySource for MysqlSource {
    async fn bookmark(&self, position: &Position) -> Result<Bookmark, Failure> {
        let _turn = self.visit().await;
        let connection = self.connect().await.at(self)?;
        self.bookmark_over(connection, position).await
    }

    async fn prove(&self, known: &Bookmark) -> Result<(), Failure> {
        let _turn = self.visit().await;
        self.open_proved(Reader::Visitor, known).await.map(drop)
    }
}

/// What lies before a place of the binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Before {
    Mysql(GtidSet),
    /// Domain, server and sequence; several servers a domain.
    Mariadb(Vec<(u32, u32, u64)>),
}

impl MysqlSource {
    /// The bookmark of a position, read over a connection that is of no further use.
    async fn bookmark_over(
        &self,
        mut connection: Connection,
        position: &Position,
    ) -> Result<Bookmark, Failure> {
        let awaited = self.last_identities(&mut connection, position).await?;
        let mut witnesses = Witnesses::default();
        if !awaited.is_empty() {
            for witness in self.learn(connection, position, awaited).await? {
                witnesses.push(witness);
            }
        }
        Ok(Bookmark {
            position: position.clone(),
            witnesses,
        })
    }

    /// A finding if the binary log shows no transaction by which its history could be recognised
    /// later.
    pub(crate) async fn expect_witness(
        &self,
        mut connection: Connection,
    ) -> Result<Option<Finding>, Failure> {
        let now = position(&mut connection).await;
        let now = now.at(self)?;
        let now = now.map_err(|error| unreadable(self.options(), error))?;
        let found = self.bookmark_over(connection, &now).await?;
        if !found.witnesses.is_empty() {
            return Ok(None);
        }
        let text = "its binary log holds no transaction by which its history could be recognised later: a reset would go unseen";
        let finding = Finding::new(code::HISTORY_UNPROVED, Severity::Blocking, Subject::whole(), text);
        Ok(Some(finding.remedy(
            "commit any transaction at the source, or `--accept SF-5030`",
        )))
    }

    /// The last transaction of each origin in `position`, as far as the newest file that has any of
    /// `position` holds them.
    async fn last_identities(
        &self,
        connection: &mut Connection,
        position: &Position,
    ) -> Result<Vec<Witness>, Failure> {
        let files = connection.query_if_allowed("SHOW BINARY LOGS").await;
        let Some(files) = files.at(self)? else {
            // Without REPLICATION CLIENT the files are not known: what is not purged is looked for,
            // wherever it lies.
            let forgotten = match position {
                Position::Mysql(_) => Before::Mysql(history::purged(self, connection).await?),
                Position::Mariadb(_) => Before::Mariadb(Vec::new()),
            };
            return Ok(last_beyond(position, &forgotten));
        };
        for file in files.rows.iter().rev().take(FILES_MAX) {
            let Some(before) = self.before_file(connection, &file.text_or_empty(0)).await? else {
                break;
            };
            let last = last_beyond(position, &before);
            if !last.is_empty() {
                return Ok(last);
            }
        }
        Ok(Vec::new())
    }

    /// What a binary log file lists as lying before it; nothing if the file is gone.
    async fn before_file(&self, connection: &mut Connection, file: &str) -> Result<Option<Before>, Failure> {
        let statement = format!("SHOW BINLOG EVENTS IN {} LIMIT {HEAD_EVENTS}", sql::text(file));
        let events = connection.query_if_allowed(&statement).await;
        let Some(events) = events.at(self)? else {
            return Ok(None);
        };
        let (Some(kind), Some(info)) = (events.column("Event_type"), events.column("Info")) else {
            return Ok(None);
        };
        let list = events.rows.iter().find_map(|event| {
            let info = event.text_or_empty(info);
            match event.text_or_empty(kind).as_str() {
                "Previous_gtids" => Some(GtidSet::parse(&info).map(Before::Mysql)),
                "Gtid_list" => Some(gtid_list(&info).map(Before::Mariadb)),
                _ => None,
            }
        });
        list.transpose()
            .map_err(|error| unreadable(self.options(), error))
    }
}

/// Reads `[0-1-30,0-2-31,3-77-60]`.
fn gtid_list(info: &str) -> Result<Vec<(u32, u32, u64)>, PositionError> {
    let inner = info.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.ok_or_else(|| PositionError::Malformed(info.to_owned()))?;
    let mut list = Vec::new();
    for part in inner.split(',').filter(|part| !part.is_empty()) {
        // One entry a domain is what this reads; a list has one for each server of it.
        list.extend(MariadbGtids::parse(part)?.last());
    }
    Ok(list)
}

/// The last transaction of each origin in `position` that does not lie before a place.
fn last_beyond(position: &Position, before: &Before) -> Vec<Witness> {
    let ids: Vec<TransactionId> = match (position, before) {
        (Position::Mysql(set), Before::Mysql(before)) => set
            .highest_beyond(before)
            .into_iter()
            .map(|(server, tag, number)| TransactionId::Mysql { server, tag, number })
            .collect(),
        (Position::Mariadb(list), Before::Mariadb(before)) => list
            .last()
            .filter(|last| {
                let covers =
                    |known: &(u32, u32, u64)| (known.0, known.1) == (last.0, last.1) && known.2 >= last.2;
                !before.iter().any(covers)
            })
            .map(|(domain, server, number)| TransactionId::Mariadb {
                domain,
                server,
                number,
            })
            .collect(),
        // A server of the other kind shows none of it.
        (Position::Mysql(_), Before::Mariadb(_)) | (Position::Mariadb(_), Before::Mysql(_)) => Vec::new(),
    };
    ids.into_iter().map(Witness::unknown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_transactions_behind_a_files_beginning() {
        let check = |position: &str, before: Before, expected: &[&str]| {
            let found = last_beyond(&Position::parse(position).unwrap(), &before);
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{position} {before:?}");
        };
        let server = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let set = |text: &str| Before::Mysql(GtidSet::parse(text).unwrap());
        let position = format!("mysql:{server}:1-9,{server}:t:1-3");
        let (last, tagged) = (format!("{server}:9"), format!("{server}:t:3"));
        check(&position, set(""), &[&last, &tagged]);
        check(&position, set(&format!("{server}:1-5:t:1-3")), &[&last]);
        check(&position, set(&format!("{server}:1-12:t:1-3")), &[]);
        let list = |text: &str| Before::Mariadb(gtid_list(text).unwrap());
        check("mariadb:0-1-9,3-2-5", list("[]"), &["0-1-9", "3-2-5"]);
        check("mariadb:0-1-9,3-2-5", list("[0-1-9,3-2-4]"), &["3-2-5"]);
        check("mariadb:0-1-9,3-2-5", list("[0-1-8,0-2-12,3-2-6]"), &["0-1-9"]);
        check("mariadb:", list("[0-1-8]"), &[]);
        check("mariadb:0-1-9", set(""), &[]);
        gtid_list("0-1-8").unwrap_err();
        gtid_list("[0-1]").unwrap_err();
    }
}
