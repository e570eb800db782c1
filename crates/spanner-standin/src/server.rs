//! Connections, calls as raw messages, and the faults around them.

use std::convert::Infallible;
use std::net::{Shutdown, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use spanferry_spanner_api::spanner::commit_response::MultiplexedSessionRetry;
use spanferry_spanner_api::spanner::{CommitResponse, MultiplexedSessionPrecommitToken};
use tokio::net::TcpListener;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::tokio_stream::StreamExt as _;
use tonic::codegen::{BoxFuture, Service, http, tokio_stream};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use crate::faults::{Fault, Loss};
use crate::refusal::retryable;
use crate::{Back, Shared};

/// Larger than Spanner's 100 MiB, so that a commit beyond the limit is judged and not cut off.
pub(crate) const MESSAGE_BYTES_MAX: usize = 128 << 20;
/// As Google's front ends allow on one connection.
const STREAMS_MAX: u32 = 100;
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
const FRAME_BYTES: u32 = 1 << 20;
const DATA_SERVICE: &str = "google.spanner.v1.Spanner";

/// Messages as they come.
pub(crate) type Messages = tonic::codegen::BoxStream<Bytes>;

/// One message.
pub(crate) fn single(message: &impl Message) -> Messages {
    Box::pin(tokio_stream::once(Ok(Bytes::from(message.encode_to_vec()))))
}

/// Accepts connections until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(connection(stream, Arc::clone(&shared)));
    }
}

async fn connection(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let cut = || -> std::io::Result<_> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let handle = Arc::new(stream.try_clone()?);
        Ok((tokio::net::TcpStream::from_std(stream)?, handle))
    };
    let Ok((stream, handle)) = cut() else { return };
    let service = service_fn(move |request| {
        let (shared, handle) = (Arc::clone(&shared), Arc::clone(&handle));
        async move { Ok::<_, Infallible>(answer(shared, handle, request).await) }
    });
    // A broken connection is the client's affair.
    drop(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .await,
    );
}

async fn answer(
    shared: Arc<Shared>,
    connection: Arc<StdStream>,
    request: http::Request<Incoming>,
) -> http::Response<tonic::body::Body> {
    let path = request.uri().path().to_owned();
    let mut grpc = tonic::server::Grpc::new(Raw)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    grpc.server_streaming(
        Handler {
            shared,
            connection,
            path,
        },
        request,
    )
    .await
}

struct Handler {
    shared: Arc<Shared>,
    connection: Arc<StdStream>,
    path: String,
}

impl Service<Request<Bytes>> for Handler {
    type Response = Response<Messages>;
    type Error = Status;
    type Future = BoxFuture<Response<Messages>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let call = Call {
            path: self.path.clone(),
            metadata: request.metadata().clone(),
            message: request.into_inner(),
        };
        let (shared, connection) = (Arc::clone(&self.shared), Arc::clone(&self.connection));
        Box::pin(async move { shared.faulty(&connection, call).await.map(Response::new) })
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) metadata: MetadataMap,
    pub(crate) message: Bytes,
}

impl Call {
    pub(crate) fn method(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    pub(crate) fn service(&self) -> &str {
        self.path.split('/').nth(1).unwrap_or_default()
    }
}

fn unavailable() -> Status {
    Status::unavailable("The stand-in injected this: unavailable.")
}

/// The first part of a result, and a refusal in the place of the others.
async fn cut_short(mut whole: Messages) -> Messages {
    let mut parts: Vec<_> = whole.next().await.into_iter().collect();
    if whole.next().await.is_some() {
        let text = "The stand-in injected this: the version is not kept any more.";
        parts.push(Err(Status::failed_precondition(text)));
    }
    Box::pin(tokio_stream::iter(parts))
}

/// Ends the connection; the call never gets an answer on it.
async fn cut(connection: &StdStream) -> Status {
    drop(connection.shutdown(Shutdown::Both));
    std::future::pending().await
}

impl Shared {
    async fn faulty(&self, connection: &StdStream, call: Call) -> Result<Messages, Status> {
        let fault = if call.service() == DATA_SERVICE {
            self.faults.draw(call.method())
        } else {
            self.faults.draw_once(call.method())
        };
        let Some(fault) = fault else {
            return self.carry_out(call).await;
        };
        match fault {
            Fault::Latency(delay) => {
                tokio::time::sleep(delay).await;
                self.carry_out(call).await
            }
            Fault::Aborted(delay) => Err(retryable(Code::Aborted, "Transaction was aborted.", delay)),
            Fault::Unavailable => Err(unavailable()),
            Fault::Exhausted(delay) => Err(retryable(
                Code::ResourceExhausted,
                "The stand-in injected this: no room.",
                delay,
            )),
            Fault::Drop => Err(cut(connection).await),
            Fault::LostReply(loss) => {
                let answer = self.carry_out(call).await;
                match loss {
                    Loss::Unavailable => answer.and_then(|_| Err(unavailable())),
                    Loss::Drop => Err(cut(connection).await),
                    Loss::Silence => std::future::pending().await,
                }
            }
            Fault::VersionGone => Ok(cut_short(self.carry_out(call).await?).await),
            Fault::Late(after) => {
                self.late.push(after, call.metadata, call.message);
                Err(unavailable())
            }
            Fault::Duplicate(after) => {
                let again = call.clone();
                let answer = self.carry_out(call).await?;
                self.late.push(after, again.metadata, again.message);
                Ok(answer)
            }
            Fault::AlreadyExists => {
                drop(self.carry_out(call).await?);
                Err(Status::already_exists(
                    "Row in table already exists (repeated by the stand-in)",
                ))
            }
            Fault::RetryToken => self.retry_token(&call),
        }
    }

    fn retry_token(&self, call: &Call) -> Result<Messages, Status> {
        let token = match &self.back {
            Back::Null(null) => null
                .retry_token(&call.message)
                .map_err(|refusal| self.violations.refuse(refusal))?,
            Back::Forward(_) => {
                let precommit_token = Bytes::from_static(b"stand-in");
                MultiplexedSessionPrecommitToken {
                    precommit_token,
                    seq_num: i32::MAX,
                }
            }
        };
        let retry = Some(MultiplexedSessionRetry::PrecommitToken(token));
        Ok(single(&CommitResponse {
            multiplexed_session_retry: retry,
            ..CommitResponse::default()
        }))
    }

    async fn carry_out(&self, call: Call) -> Result<Messages, Status> {
        let is_commit = call.service() == DATA_SERVICE && call.method() == "Commit";
        let answer = self.once(call).await;
        if is_commit && answer.is_ok() {
            for late in self.late.due() {
                let path = format!("/{DATA_SERVICE}/Commit");
                let (metadata, message) = (late.metadata, late.message);
                // No task waits for its outcome.
                drop(
                    self.once(Call {
                        path,
                        metadata,
                        message,
                    })
                    .await,
                );
            }
        }
        answer
    }

    async fn once(&self, call: Call) -> Result<Messages, Status> {
        if call.service() == DATA_SERVICE {
            self.check_headers(&call)?;
        }
        if call.method() == "UpdateDatabaseDdl" {
            self.ddl_rules.judge_call(&call.message)?;
        }
        match &self.back {
            Back::Null(null) => null
                .answer(self, &call)
                .map_err(|refusal| self.violations.refuse(refusal)),
            Back::Forward(forward) => forward.answer(self, call).await,
        }
    }

    /// Counts a commit that was carried out.
    pub(crate) fn count(&self, rows: u64, bytes: usize) {
        self.counting.commits.fetch_add(1, Ordering::Relaxed);
        self.counting.rows.fetch_add(rows, Ordering::Relaxed);
        self.counting.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Passes messages through as bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length)))
    }
}
