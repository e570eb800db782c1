//! Streaming reads: rows by key, resumed where the server allows it, in bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_types::Timestamp;
use spanferry_spanner_api::spanner::transaction_options::{Mode, ReadOnly, read_only::TimestampBound};
use spanferry_spanner_api::spanner::{
    ExecuteSqlRequest, KeyRange, KeySet, MultiplexedSessionPrecommitToken, PartialResultSet, ReadRequest,
    TransactionOptions, TransactionSelector, transaction_selector::Selector,
};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::backoff::{Backoff, RETRY_BUDGET};
use crate::chunk::RowAssembler;
use crate::client::{Client, Route, STREAM_IDLE_DEADLINE};
use crate::error::SpannerError;

/// Bytes held back while waiting for a resume token; past them rows are given out and the read
/// cannot be resumed until the next token. The emulator sends no tokens.
const UNRESUMABLE_BYTES_MAX: usize = 8 << 20;
/// Deadline of the whole stream: Spanner itself ends streams after an hour.
pub(crate) const STREAM_DEADLINE: Duration = Duration::from_secs(3600);

/// Which rows of a table or index.
#[derive(Debug, Clone)]
pub enum Keys {
    /// All of them.
    All,
    /// Rows with these keys (`ListValue` payloads); missing ones are left out.
    List(Vec<Bytes>),
    /// Rows in these ranges.
    Ranges(Vec<KeyRange>),
}

/// When the rows are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadAt {
    /// Now: everything committed before the call is seen.
    Strong,
    /// At this timestamp.
    Exact(Timestamp),
}

/// One read.
#[derive(Debug, Clone)]
pub struct Read {
    /// Table.
    pub table: String,
    /// Index to read by, empty for the primary key.
    pub index: String,
    /// Columns of the result in order, at least one.
    pub columns: Vec<String>,
    /// Rows.
    pub keys: Keys,
    /// Most rows, 0 for all.
    pub limit: u32,
}

impl Read {
    /// A read of all given columns of a table by its primary key.
    pub fn new<'a>(table: &str, columns: impl IntoIterator<Item = &'a str>, keys: Keys) -> Read {
        let columns = columns.into_iter().map(str::to_owned).collect();
        Read {
            table: table.to_owned(),
            index: String::new(),
            columns,
            keys,
            limit: 0,
        }
    }

    fn request(&self) -> ReadRequest {
        let key_set = match &self.keys {
            Keys::All => KeySet {
                all: true,
                ..KeySet::default()
            },
            Keys::List(keys) => KeySet {
                keys: keys.clone(),
                ..KeySet::default()
            },
            Keys::Ranges(ranges) => KeySet {
                ranges: ranges.clone(),
                ..KeySet::default()
            },
        };
        ReadRequest {
            table: self.table.clone(),
            index: self.index.clone(),
            columns: self.columns.clone(),
            key_set: Some(key_set),
            limit: i64::from(self.limit),
            ..ReadRequest::default()
        }
    }
}

/// What is sent again, with a resume token, when the stream breaks.
#[derive(Debug, Clone)]
enum Request {
    Read(Box<ReadRequest>),
    Query(Box<ExecuteSqlRequest>),
}

impl Request {
    /// Whether the caller has chosen the timestamp.
    fn is_at_timestamp(&self) -> bool {
        let transaction = match self {
            Request::Read(request) => &request.transaction,
            Request::Query(request) => &request.transaction,
        };
        let bound = match transaction.as_ref().and_then(|chosen| chosen.selector.as_ref()) {
            Some(Selector::SingleUse(TransactionOptions {
                mode: Some(Mode::ReadOnly(read_only)),
                ..
            })) => &read_only.timestamp_bound,
            Some(Selector::SingleUse(_) | Selector::Begin(_) | Selector::Id(_)) | None => return false,
        };
        matches!(bound, Some(TimestampBound::ReadTimestamp(_)))
    }
}

/// Rows of one read or query, in the order of the server. Memory is bounded by what waits for a
/// resume token.
#[derive(Debug)]
pub struct RowStream {
    client: Client,
    object: String,
    session: Arc<str>,
    route: Route,
    request: Request,
    /// How long the server may be silent.
    idle: Duration,
    stream: Option<Streaming<PartialResultSet>>,
    token: Bytes,
    resumable: bool,
    waiting: VecDeque<PartialResultSet>,
    waiting_bytes: usize,
    assembler: Option<RowAssembler>,
    columns: Option<usize>,
    rows: VecDeque<Bytes>,
    read_timestamp: Option<Timestamp>,
    precommit: Option<MultiplexedSessionPrecommitToken>,
    finished: bool,
}

impl Client {
    /// Opens a read in a read-only transaction of its own. Passing failures before the first row
    /// are retried within a bound.
    pub async fn read(&self, object: &str, read: &Read, at: ReadAt) -> Result<RowStream, SpannerError> {
        let request = Request::Read(Box::new(ReadRequest {
            transaction: single_use(at),
            ..read.request()
        }));
        self.open(object, request, Some(read.columns.len())).await
    }

    /// Opens a read inside a read-write transaction; it locks what it reads. Not resumed when it
    /// breaks.
    pub(crate) async fn read_in(
        &self,
        object: &str,
        session: &Arc<str>,
        transaction: &Bytes,
        read: &Read,
    ) -> Result<RowStream, SpannerError> {
        let request = Request::Read(Box::new(ReadRequest {
            transaction: selected(Selector::Id(transaction.clone())),
            ..read.request()
        }));
        let columns = Some(read.columns.len());
        let mut stream = RowStream::new(self, object, Arc::clone(session), Route::Leader, request, columns);
        stream.resumable = false;
        stream.first().await?;
        Ok(stream)
    }

    /// Runs a query, strongly: for INFORMATION_SCHEMA only, whose results are small.
    pub async fn query(&self, object: &str, sql: &str) -> Result<RowStream, SpannerError> {
        let request = Request::Query(Box::new(ExecuteSqlRequest {
            transaction: single_use(ReadAt::Strong),
            sql: sql.to_owned(),
            ..ExecuteSqlRequest::default()
        }));
        self.open(object, request, None).await
    }

    /// Runs a query that reads much and returns little: silence is no sign of trouble. The
    /// parameters are `params` and `param_types` of the request; it has no transaction yet.
    pub(crate) async fn aggregate(
        &self,
        object: &str,
        query: ExecuteSqlRequest,
        at: ReadAt,
    ) -> Result<RowStream, SpannerError> {
        let request = Request::Query(Box::new(ExecuteSqlRequest {
            transaction: single_use(at),
            ..query
        }));
        let session = self.session().await?;
        let mut stream = RowStream::new(self, object, session, Route::Any, request, None);
        stream.idle = STREAM_DEADLINE;
        stream.first().await?;
        Ok(stream)
    }

    async fn open(
        &self,
        object: &str,
        request: Request,
        columns: Option<usize>,
    ) -> Result<RowStream, SpannerError> {
        let session = self.session().await?;
        let mut stream = RowStream::new(self, object, session, Route::Any, request, columns);
        stream.first().await?;
        Ok(stream)
    }
}

fn selected(selector: Selector) -> Option<TransactionSelector> {
    Some(TransactionSelector {
        selector: Some(selector),
    })
}

fn single_use(at: ReadAt) -> Option<TransactionSelector> {
    selected(Selector::SingleUse(read_only(at)))
}

fn read_only(at: ReadAt) -> TransactionOptions {
    let bound = match at {
        ReadAt::Strong => TimestampBound::Strong(true),
        ReadAt::Exact(timestamp) => TimestampBound::ReadTimestamp(timestamp),
    };
    let mode = Mode::ReadOnly(ReadOnly {
        return_read_timestamp: true,
        timestamp_bound: Some(bound),
    });
    TransactionOptions {
        mode: Some(mode),
        ..TransactionOptions::default()
    }
}

impl RowStream {
    fn new(
        client: &Client,
        object: &str,
        session: Arc<str>,
        route: Route,
        request: Request,
        columns: Option<usize>,
    ) -> RowStream {
        RowStream {
            client: client.clone(),
            object: object.to_owned(),
            session,
            route,
            request,
            idle: STREAM_IDLE_DEADLINE,
            stream: None,
            token: Bytes::new(),
            resumable: true,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            assembler: None,
            columns,
            rows: VecDeque::new(),
            read_timestamp: None,
            precommit: None,
            finished: false,
        }
    }

    /// The timestamp at which a read-only read sees the database; known once the stream is open.
    pub fn read_timestamp(&self) -> Option<Timestamp> {
        self.read_timestamp
    }

    /// The newest precommit token of the read-write transaction that it is part of.
    pub(crate) fn precommit_token(&mut self) -> Option<MultiplexedSessionPrecommitToken> {
        self.precommit.take()
    }

    /// The next row as `ListValue` payload, or `None` at the end. Cancellation-safe: a dropped call
    /// loses no row.
    pub async fn next(&mut self) -> Result<Option<Bytes>, SpannerError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            if self.finished {
                return Ok(None);
            }
            self.fetch().await?;
        }
    }

    /// All remaining rows: only for results that are small by nature.
    pub async fn collect(mut self) -> Result<Vec<Bytes>, SpannerError> {
        let mut rows = Vec::new();
        while let Some(row) = self.next().await? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// Opens the stream and waits for its first part, so that an error of the request itself shows
    /// at once.
    async fn first(&mut self) -> Result<(), SpannerError> {
        self.fetch().await
    }

    /// Takes one more part from the server, resuming the stream when it breaks.
    async fn fetch(&mut self) -> Result<(), SpannerError> {
        let mut backoff = Backoff::new(RETRY_BUDGET);
        loop {
            let error = match self.part().await {
                Ok(Some(part)) => return self.take(part),
                Ok(None) => return self.finish(),
                Err(error) => error,
            };
            self.stream = None;
            if !(error.is_passing() && self.resumable) {
                return Err(if self.has_timestamp() {
                    error.at_timestamp()
                } else {
                    error
                });
            }
            backoff.wait(error).await?;
            // What waits was not given out: it comes again.
            self.waiting.clear();
            self.waiting_bytes = 0;
            if self.token.is_empty() {
                self.read_timestamp = None;
            }
        }
    }

    /// Whether what is left to read must be read at a timestamp that is chosen already: by the
    /// caller, or by the server when it gave the first part.
    fn has_timestamp(&self) -> bool {
        self.request.is_at_timestamp() || self.read_timestamp.is_some() || !self.token.is_empty()
    }

    async fn part(&mut self) -> Result<Option<PartialResultSet>, SpannerError> {
        if self.stream.is_none() {
            self.stream = Some(self.open().await?);
        }
        let stream = self.stream.as_mut().expect("it was just opened, or was open");
        match timeout(self.idle, stream.message()).await {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(status)) => Err(self
                .client
                .session_error(&self.object, &self.session, &status)
                .await),
            Err(_) => {
                let status = Status::deadline_exceeded("the result stream stalled");
                Err(self.client.error(&self.object, &status))
            }
        }
    }

    async fn open(&mut self) -> Result<Streaming<PartialResultSet>, SpannerError> {
        if self.route == Route::Any && self.token.is_empty() {
            self.session = self.client.session().await?;
        }
        let session = self.session.to_string();
        let options = Some(self.client.request_options(false));
        let answer = match &self.request {
            Request::Read(request) => {
                let mut message = ReadRequest::clone(request);
                (message.session, message.resume_token) = (session, self.token.clone());
                message.request_options = options;
                let key = ("session", &*self.session);
                let request = self
                    .client
                    .request(message, key, self.route, STREAM_DEADLINE)
                    .await?;
                timeout(self.idle, self.client.data().streaming_read(request)).await
            }
            Request::Query(request) => {
                let mut message = ExecuteSqlRequest::clone(request);
                (message.session, message.resume_token) = (session, self.token.clone());
                message.request_options = options;
                let key = ("session", &*self.session);
                let request = self
                    .client
                    .request(message, key, self.route, STREAM_DEADLINE)
                    .await?;
                timeout(self.idle, self.client.data().execute_streaming_sql(request)).await
            }
        };
        let stalled = |_| Err(Status::deadline_exceeded("no answer to the read"));
        match answer.unwrap_or_else(stalled) {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(self
                .client
                .session_error(&self.object, &self.session, &status)
                .await),
        }
    }

    fn take(&mut self, mut part: PartialResultSet) -> Result<(), SpannerError> {
        if let Some(metadata) = part.metadata.take() {
            self.columns = self.columns.or(metadata.row_type.map(|row| row.fields.len()));
            let begun = metadata
                .transaction
                .and_then(|transaction| transaction.read_timestamp);
            self.read_timestamp = self.read_timestamp.or(begun);
        }
        if let Some(token) = part.precommit_token.take() {
            let newer = self
                .precommit
                .as_ref()
                .is_none_or(|known| known.seq_num < token.seq_num);
            self.precommit = if newer { Some(token) } else { self.precommit.take() };
        }
        let token = std::mem::take(&mut part.resume_token);
        self.waiting_bytes += part.values.iter().map(Bytes::len).sum::<usize>();
        self.waiting.push_back(part);
        if !token.is_empty() {
            self.token = token;
            self.resumable = self.route == Route::Any;
            self.release()
        } else if !self.resumable || self.waiting_bytes > UNRESUMABLE_BYTES_MAX {
            self.resumable = false;
            self.release()
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> Result<(), SpannerError> {
        self.release()?;
        self.finished = true;
        if self
            .assembler
            .as_ref()
            .is_some_and(|assembler| !assembler.is_at_row_end())
        {
            return Err(self.malformed("whole rows"));
        }
        Ok(())
    }

    /// Gives out the rows of everything that waits.
    fn release(&mut self) -> Result<(), SpannerError> {
        self.waiting_bytes = 0;
        while let Some(part) = self.waiting.pop_front() {
            if part.values.is_empty() {
                continue;
            }
            let Some(columns) = self.columns.filter(|columns| *columns > 0) else {
                return Err(self.malformed("the columns of the result"));
            };
            let assembler = self.assembler.get_or_insert_with(|| RowAssembler::new(columns));
            let rows = &mut self.rows;
            let pushed = assembler.push(&part.values, part.chunked_value, |row| {
                rows.push_back(Bytes::copy_from_slice(row));
            });
            pushed.map_err(|_| self.malformed("chunks of one value that fit together"))?;
        }
        Ok(())
    }

    fn malformed(&self, expected: &'static str) -> SpannerError {
        SpannerError::malformed(self.client.object(&self.object), expected)
    }
}
