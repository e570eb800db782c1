//! Commits: mutations assembled as bytes, sent once.

use std::time::Duration;

use bytes::{BufMut, Bytes};
use prost::Message;
use spanferry_core::port::target::CommitTimestamp;
use spanferry_core::wire::list_value;
use spanferry_core::wire::rows::RowBatch;
use spanferry_spanner_api::spanner::commit_response::MultiplexedSessionRetry;
use spanferry_spanner_api::spanner::transaction_options::{Mode, ReadWrite};
use spanferry_spanner_api::spanner::{
    CommitRequest, CommitResponse, MultiplexedSessionPrecommitToken, TransactionOptions, commit_request,
};
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;

use crate::channel::MESSAGE_BYTES_MAX;
use crate::client::{COMMIT_DEADLINE, Client, Route};
use crate::error::SpannerError;

/// Largest commit that Spanner takes.
pub const COMMIT_BYTES_MAX: usize = 100 << 20;
/// How often a commit is completed with the precommit token that the server sent back.
const TOKEN_ROUNDS_MAX: usize = 8;

const TAG_COMMIT_MUTATIONS: u8 = 0x22; // CommitRequest.mutations = 4
const TAG_TABLE: u8 = 0x0a; // Write.table = 1, Delete.table = 1
const TAG_WRITE_COLUMNS: u8 = 0x12; // Write.columns = 2
const TAG_MUTATION_DELETE: u8 = 0x2a; // Mutation.delete = 5
const TAG_DELETE_KEY_SET: u8 = 0x12; // Delete.key_set = 2
const TAG_KEY_SET_KEYS: u8 = 0x0a; // KeySet.keys = 1
const TAG_KEY_SET_RANGES: u8 = 0x12; // KeySet.ranges = 2
const KEY_SET_ALL: [u8; 2] = [0x18, 1]; // KeySet.all = 3
const TAG_RANGE_START_CLOSED: u8 = 0x0a; // KeyRange.start_closed = 1
const TAG_RANGE_END_CLOSED: u8 = 0x1a; // KeyRange.end_closed = 3

/// What a write does to a row that is there, or is not (mutation.proto: the field numbers of
/// `Mutation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// The row must not be there.
    Insert,
    /// The row must be there.
    Update,
    /// Either.
    Upsert,
}

impl WriteKind {
    fn tag(self) -> u8 {
        match self {
            WriteKind::Insert => 0x0a,
            WriteKind::Update => 0x12,
            WriteKind::Upsert => 0x1a,
        }
    }
}

/// The mutations of one commit in their wire form, in the order in which they are applied.
#[derive(Debug, Clone, Default)]
pub struct Mutations {
    bytes: Vec<u8>,
}

impl Mutations {
    /// No mutation.
    pub fn new() -> Mutations {
        Mutations::default()
    }

    /// No mutation, with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Mutations {
        Mutations {
            bytes: Vec::with_capacity(bytes),
        }
    }

    /// Bytes on the wire.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends writes of whole rows; each holds the values of `columns` in their order. No rows, no
    /// mutation.
    pub fn write<'a>(
        &mut self,
        kind: WriteKind,
        table: &str,
        columns: impl IntoIterator<Item = &'a str>,
        rows: &RowBatch,
    ) {
        if rows.is_empty() {
            return;
        }
        let out = &mut self.bytes;
        out.push(TAG_COMMIT_MUTATIONS);
        let mutation = list_value::open_length(out);
        out.push(kind.tag());
        let write = list_value::open_length(out);
        put_text(out, TAG_TABLE, table);
        for column in columns {
            put_text(out, TAG_WRITE_COLUMNS, column);
        }
        out.extend_from_slice(rows.as_write_values());
        list_value::close_length(out, write);
        list_value::close_length(out, mutation);
    }

    /// Appends a delete of rows by their keys; missing rows are no error. No keys, no mutation.
    pub fn delete(&mut self, table: &str, keys: &RowBatch) {
        if keys.is_empty() {
            return;
        }
        self.delete_keys(table, |out| {
            for key in keys.payloads() {
                put_delimited(out, TAG_KEY_SET_KEYS, key);
            }
        });
    }

    /// Appends a delete of all rows whose key begins with `prefix`, a `ListValue` payload.
    pub(crate) fn delete_prefix(&mut self, table: &str, prefix: &[u8]) {
        self.delete_keys(table, |out| {
            out.push(TAG_KEY_SET_RANGES);
            let range = list_value::open_length(out);
            put_delimited(out, TAG_RANGE_START_CLOSED, prefix);
            put_delimited(out, TAG_RANGE_END_CLOSED, prefix);
            list_value::close_length(out, range);
        });
    }

    /// Appends a delete of all rows of a table.
    pub(crate) fn delete_all(&mut self, table: &str) {
        self.delete_keys(table, |out| out.extend_from_slice(&KEY_SET_ALL));
    }

    fn delete_keys(&mut self, table: &str, keys: impl FnOnce(&mut Vec<u8>)) {
        let out = &mut self.bytes;
        out.push(TAG_COMMIT_MUTATIONS);
        let mutation = list_value::open_length(out);
        out.push(TAG_MUTATION_DELETE);
        let delete = list_value::open_length(out);
        put_text(out, TAG_TABLE, table);
        out.push(TAG_DELETE_KEY_SET);
        let key_set = list_value::open_length(out);
        keys(out);
        list_value::close_length(out, key_set);
        list_value::close_length(out, delete);
        list_value::close_length(out, mutation);
    }
}

fn put_text(out: &mut Vec<u8>, tag: u8, text: &str) {
    put_delimited(out, tag, text.as_bytes());
}

fn put_delimited(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    list_value::put_varint(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// A commit that the server has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The commit timestamp.
    pub at: prost_types::Timestamp,
}

impl Committed {
    /// The commit timestamp in the words of the boundary.
    pub(crate) fn timestamp(&self) -> CommitTimestamp {
        timestamp(self.at)
    }
}

/// A timestamp of the server in the words of the boundary.
pub(crate) fn timestamp(at: prost_types::Timestamp) -> CommitTimestamp {
    CommitTimestamp {
        seconds: at.seconds,
        nanoseconds: u32::try_from(at.nanos).unwrap_or_default(),
    }
}

impl Client {
    /// Commits blind mutations in a transaction of their own, once: no retry of any kind, also not
    /// inside the transport.
    ///
    /// `object` names what it is about in errors. After `Unanswered` the outcome is unknown; after
    /// every other error nothing of this attempt happened (an earlier attempt may have). Dropping
    /// the future leaves the outcome unknown.
    pub async fn commit(&self, object: &str, mutations: Mutations) -> Result<Committed, SpannerError> {
        let session = self.session().await?;
        let single_use = TransactionOptions {
            mode: Some(Mode::ReadWrite(ReadWrite::default())),
            ..TransactionOptions::default()
        };
        let transaction = commit_request::Transaction::SingleUseTransaction(single_use);
        self.commit_in(object, &session, transaction, None, mutations)
            .await
    }

    /// Commits in a given transaction; resends with the server's precommit token when it asks for
    /// that.
    pub(crate) async fn commit_in(
        &self,
        object: &str,
        session: &str,
        transaction: commit_request::Transaction,
        token: Option<MultiplexedSessionPrecommitToken>,
        mutations: Mutations,
    ) -> Result<Committed, SpannerError> {
        let mut head = CommitRequest {
            session: session.to_owned(),
            transaction: Some(transaction),
            request_options: Some(self.request_options(true)),
            max_commit_delay: self.commit_delay_max().map(protobuf_duration),
            precommit_token: token,
            ..CommitRequest::default()
        };
        let mutations = Bytes::from(mutations.bytes);
        for _ in 0..TOKEN_ROUNDS_MAX {
            let message = EncodedCommit {
                head: head.encode_to_vec(),
                mutations: mutations.clone(),
            };
            let response = self.send_commit(object, session, message).await?;
            match (response.multiplexed_session_retry, response.commit_timestamp) {
                (Some(MultiplexedSessionRetry::PrecommitToken(token)), _) => {
                    head.precommit_token = Some(token);
                }
                (None, Some(at)) => return Ok(Committed { at }),
                (None, None) => break,
            }
        }
        Err(SpannerError::Unanswered {
            object: self.object(object),
            code: tonic::Code::Internal,
            message: "expected a commit timestamp".to_owned(),
            retry_delay: None,
        })
    }

    async fn send_commit(
        &self,
        object: &str,
        session: &str,
        message: EncodedCommit,
    ) -> Result<CommitResponse, SpannerError> {
        let request = self
            .request(message, ("session", session), Route::Leader, COMMIT_DEADLINE)
            .await?;
        let mut grpc = Grpc::new(self.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        // The channel is always ready unless its worker is gone; nothing has been sent then.
        grpc.ready().await.map_err(|error| SpannerError::Unanswered {
            object: self.object(object),
            code: tonic::Code::Unavailable,
            message: error.to_string(),
            retry_delay: None,
        })?;
        match grpc
            .unary(request, PathAndQuery::from_static(COMMIT_PATH), CommitCodec)
            .await
        {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self.session_error(object, session, &status).await),
        }
    }
}

const COMMIT_PATH: &str = "/google.spanner.v1.Spanner/Commit";

pub(crate) fn protobuf_duration(duration: Duration) -> prost_types::Duration {
    duration.try_into().expect("a delay of milliseconds fits")
}

/// A `CommitRequest` in two parts: protobuf fields may come in any order, so the parts are simply
/// joined.
#[derive(Debug)]
struct EncodedCommit {
    head: Vec<u8>,
    mutations: Bytes,
}

/// Passes the encoded request through, and decodes the response as usual.
#[derive(Debug, Clone, Copy, Default)]
struct CommitCodec;

impl Codec for CommitCodec {
    type Encode = EncodedCommit;
    type Decode = CommitResponse;
    type Encoder = CommitCodec;
    type Decoder = CommitCodec;

    fn encoder(&mut self) -> CommitCodec {
        CommitCodec
    }

    fn decoder(&mut self) -> CommitCodec {
        CommitCodec
    }
}

impl Encoder for CommitCodec {
    type Item = EncodedCommit;
    type Error = Status;

    fn encode(&mut self, item: EncodedCommit, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(item.head.len() + item.mutations.len());
        out.put_slice(&item.head);
        out.put_slice(&item.mutations);
        Ok(())
    }
}

impl Decoder for CommitCodec {
    type Item = CommitResponse;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<CommitResponse>, Status> {
        let decoded = CommitResponse::decode(source);
        decoded
            .map(Some)
            .map_err(|error| Status::internal(format!("malformed commit response: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use spanferry_spanner_api::spanner::mutation::{Delete, Operation, Write};
    use spanferry_spanner_api::spanner::{KeyRange, KeySet, key_range};

    use super::*;

    fn decoded(mutations: &Mutations) -> Vec<Operation> {
        let request = CommitRequest::decode(mutations.bytes.as_slice()).unwrap();
        request
            .mutations
            .into_iter()
            .map(|mutation| mutation.operation.unwrap())
            .collect()
    }

    fn batch(rows: &[&[u8]]) -> RowBatch {
        let mut batch = RowBatch::new();
        for row in rows {
            batch.push(row);
        }
        batch
    }

    #[test]
    fn bytes_are_what_the_protocol_says() {
        let rows = batch(&[b"r1", b"r2"]);
        let mut mutations = Mutations::new();
        mutations.delete("d", &batch(&[b"k1", b"k2"]));
        mutations.delete_prefix("p", b"pre");
        mutations.delete_all("a");
        mutations.delete("none", &batch(&[]));
        mutations.write(WriteKind::Upsert, "none", ["x"], &batch(&[]));
        for kind in [WriteKind::Insert, WriteKind::Update, WriteKind::Upsert] {
            mutations.write(kind, "w", ["x", "y"], &rows);
        }
        let delete = |table: &str, key_set| {
            Operation::Delete(Delete {
                table: table.to_owned(),
                key_set: Some(key_set),
            })
        };
        let range = KeyRange {
            start_key_type: Some(key_range::StartKeyType::StartClosed(Bytes::from_static(b"pre"))),
            end_key_type: Some(key_range::EndKeyType::EndClosed(Bytes::from_static(b"pre"))),
        };
        let write = Write {
            table: "w".to_owned(),
            columns: vec!["x".to_owned(), "y".to_owned()],
            values: vec![Bytes::from_static(b"r1"), Bytes::from_static(b"r2")],
        };
        let keys = vec![Bytes::from_static(b"k1"), Bytes::from_static(b"k2")];
        let expected = [
            delete(
                "d",
                KeySet {
                    keys,
                    ..KeySet::default()
                },
            ),
            delete(
                "p",
                KeySet {
                    ranges: vec![range],
                    ..KeySet::default()
                },
            ),
            delete(
                "a",
                KeySet {
                    all: true,
                    ..KeySet::default()
                },
            ),
            Operation::Insert(write.clone()),
            Operation::Update(write.clone()),
            Operation::InsertOrUpdate(write),
        ];
        assert_eq!(decoded(&mutations), expected);
    }
}
