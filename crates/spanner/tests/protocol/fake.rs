//! A server that gives the set answers and remembers what it was asked; a proxy that cuts
//! connections.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Any, Value};
use spanferry_spanner_api::spanner::spanner_server::{Spanner, SpannerServer};
use spanferry_spanner_api::spanner::{
    BatchCreateSessionsRequest, BatchCreateSessionsResponse, BatchWriteRequest, BatchWriteResponse,
    BeginTransactionRequest, CacheUpdate, CommitRequest, CommitResponse, CreateSessionRequest,
    DeleteSessionRequest, ExecuteBatchDmlRequest, ExecuteBatchDmlResponse, ExecuteSqlRequest,
    FetchCacheUpdateRequest, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, PartialResultSet,
    PartitionQueryRequest, PartitionReadRequest, PartitionResponse, ReadRequest, ResultSet, RollbackRequest,
    Session, Transaction,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tonic::codegen::tokio_stream::{self, Stream};
use tonic::metadata::MetadataMap;
use tonic::transport::server::{Server, TcpIncoming};
use tonic::{Request, Response, Status};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type Part = Result<PartialResultSet, Status>;

/// The server; clones share everything.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    inner: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sessions: Vec<bool>,
    commit_answers: VecDeque<Result<CommitResponse, Status>>,
    commits: Vec<(CommitRequest, MetadataMap)>,
    read_answers: VecDeque<Vec<Part>>,
    reads: Vec<ReadRequest>,
}

impl Fake {
    /// Starts it on a free port; it ends with the runtime.
    pub(crate) async fn start() -> (Fake, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let fake = Fake::default();
        let service = Server::builder().add_service(SpannerServer::new(fake.clone()));
        tokio::spawn(service.serve_with_incoming(TcpIncoming::from(listener)));
        (fake, address)
    }

    /// Answers the next commit.
    pub(crate) fn answer_commit(&self, answer: Result<CommitResponse, Status>) {
        self.inner.lock().unwrap().commit_answers.push_back(answer);
    }

    /// Answers the next read.
    pub(crate) fn answer_read(&self, parts: Vec<Part>) {
        self.inner.lock().unwrap().read_answers.push_back(parts);
    }

    /// The commits that arrived.
    pub(crate) fn commits(&self) -> Vec<(CommitRequest, MetadataMap)> {
        self.inner.lock().unwrap().commits.clone()
    }

    /// The resume tokens of the reads that arrived.
    pub(crate) fn resume_tokens(&self) -> Vec<String> {
        let state = self.inner.lock().unwrap();
        state
            .reads
            .iter()
            .map(|read| String::from_utf8(read.resume_token.to_vec()).unwrap())
            .collect()
    }

    /// The sessions that were opened: whether each was asked to be a multiplexed one.
    pub(crate) fn sessions(&self) -> Vec<bool> {
        self.inner.lock().unwrap().sessions.clone()
    }
}

/// A text as an encoded `Value`.
pub(crate) fn text(text: &str) -> Bytes {
    Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    }
    .encode_to_vec()
    .into()
}

/// One part of a result.
pub(crate) fn partial(values: &[Bytes], chunked_value: bool, token: &'static [u8]) -> PartialResultSet {
    let resume_token = Bytes::from_static(token);
    PartialResultSet {
        values: values.to_vec(),
        chunked_value,
        resume_token,
        ..PartialResultSet::default()
    }
}

/// A detail of a status.
pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

/// Everything that the client under test does not call.
macro_rules! unused {
    ($($name:ident($request:ty) -> $answer:ty;)*) => {
        /// A server with the methods that the tests need, and refusals for the others.
        #[tonic::async_trait]
        impl Spanner for Fake {
            type ExecuteStreamingSqlStream = Answers<PartialResultSet>;
            type StreamingReadStream = Answers<PartialResultSet>;
            type BatchWriteStream = Answers<BatchWriteResponse>;
            type FetchCacheUpdateStream = Answers<CacheUpdate>;

            $(async fn $name(&self, _: Request<$request>) -> Result<Response<$answer>, Status> {
                Err(Status::unimplemented(stringify!($name)))
            })*

            async fn create_session(&self, request: Request<CreateSessionRequest>) -> Result<Response<Session>, Status> {
                let mut state = self.inner.lock().unwrap();
                state.sessions.push(request.into_inner().session.is_some_and(|session| session.multiplexed));
                let name = format!("s/{}", state.sessions.len());
                Ok(Response::new(Session { name, multiplexed: true, ..Session::default() }))
            }

            async fn begin_transaction(
                &self,
                _: Request<BeginTransactionRequest>,
            ) -> Result<Response<Transaction>, Status> {
                Ok(Response::new(Transaction { id: Bytes::from_static(b"1"), ..Transaction::default() }))
            }

            async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitResponse>, Status> {
                let mut state = self.inner.lock().unwrap();
                let metadata = request.metadata().clone();
                state.commits.push((request.into_inner(), metadata));
                state.commit_answers.pop_front().expect("an answer was given").map(Response::new)
            }

            async fn streaming_read(
                &self,
                request: Request<ReadRequest>,
            ) -> Result<Response<Answers<PartialResultSet>>, Status> {
                let mut state = self.inner.lock().unwrap();
                state.reads.push(request.into_inner());
                let parts = state.read_answers.pop_front().expect("an answer was given");
                Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
            }
        }
    };
}

unused! {
    batch_create_sessions(BatchCreateSessionsRequest) -> BatchCreateSessionsResponse;
    get_session(GetSessionRequest) -> Session;
    list_sessions(ListSessionsRequest) -> ListSessionsResponse;
    delete_session(DeleteSessionRequest) -> ();
    execute_sql(ExecuteSqlRequest) -> ResultSet;
    execute_streaming_sql(ExecuteSqlRequest) -> Answers<PartialResultSet>;
    execute_batch_dml(ExecuteBatchDmlRequest) -> ExecuteBatchDmlResponse;
    read(ReadRequest) -> ResultSet;
    rollback(RollbackRequest) -> ();
    partition_query(PartitionQueryRequest) -> PartitionResponse;
    partition_read(PartitionReadRequest) -> PartitionResponse;
    batch_write(BatchWriteRequest) -> Answers<BatchWriteResponse>;
    fetch_cache_update(FetchCacheUpdateRequest) -> Answers<CacheUpdate>;
}

/// Forwards connections until they are cut.
pub(crate) struct CuttingProxy {
    /// Where it listens.
    pub(crate) address: String,
    cut: watch::Sender<()>,
}

impl CuttingProxy {
    /// Starts it on a free port before the server at `upstream`.
    pub(crate) async fn start(upstream: String) -> CuttingProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (cut, cuts) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (upstream, mut cuts) = (upstream.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(upstream).await.unwrap();
                    tokio::select! {
                        biased;
                        _ = cuts.changed() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        CuttingProxy { address, cut }
    }

    /// Cuts all connections that are open.
    pub(crate) fn cut(&self) {
        self.cut.send(()).unwrap();
    }
}
