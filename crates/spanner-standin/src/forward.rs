//! The forward mode: calls go to the emulator as they came; commits are checked first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use spanferry_spanner_api::database_admin::GetDatabaseDdlRequest;
use spanferry_spanner_api::database_admin::database_admin_client::DatabaseAdminClient;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::StreamExt;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::message::{commit_head, text};
use crate::refusal::Rule;
use crate::schema::Schema;
use crate::server::{Call, MESSAGE_BYTES_MAX, Messages, Raw};
use crate::{Shared, check, ddl};

/// Databases whose schema is remembered.
const SCHEMAS_MAX: usize = 1_000;

/// The emulator and what is known of its databases.
#[derive(Debug)]
pub(crate) struct Forward {
    channel: Channel,
    schemas: Mutex<HashMap<String, Arc<Schema>>>,
}

impl Forward {
    /// Connects at the first call.
    pub(crate) fn new(upstream: &str) -> Result<Forward, tonic::transport::Error> {
        let channel = Endpoint::from_shared(format!("http://{upstream}"))?
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Forward {
            channel,
            schemas: Mutex::new(HashMap::new()),
        })
    }

    pub(crate) async fn answer(&self, shared: &Shared, call: Call) -> Result<Messages, Status> {
        let tally = if call.method() == "Commit" {
            Some(self.check(shared, &call).await?)
        } else {
            None
        };
        let changes_schema = matches!(
            call.method(),
            "UpdateDatabaseDdl" | "CreateDatabase" | "DropDatabase" | "GetOperation"
        );
        let bytes = call.message.len();
        let answer = self.send(call).await;
        if changes_schema {
            self.schemas
                .lock()
                .expect("no holder of this lock panics")
                .clear();
        }
        let answer = answer?;
        if let Some(tally) = tally {
            shared.count(tally.rows, bytes);
        }
        Ok(answer)
    }

    async fn send(&self, call: Call) -> Result<Messages, Status> {
        let path: PathAndQuery = call
            .path
            .parse()
            .map_err(|_| Status::unimplemented("no such method"))?;
        let mut request = Request::new(call.message);
        *request.metadata_mut() = call.metadata;
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut stream = grpc.server_streaming(request, path, Raw).await?.into_inner();
        // The first message is waited for, so that a refusal is this call's answer and not the
        // stream's.
        let first = stream.next().await;
        match first {
            Some(Err(status)) => Err(status),
            Some(Ok(message)) => {
                let head: Result<Bytes, Status> = Ok(message);
                Ok(Box::pin(tonic::codegen::tokio_stream::once(head).chain(stream)))
            }
            None => Ok(Box::pin(tonic::codegen::tokio_stream::empty())),
        }
    }

    async fn check(&self, shared: &Shared, call: &Call) -> Result<check::Tally, Status> {
        let refuse = |refusal| shared.violations.refuse(refusal);
        let session = commit_head(&call.message).map_err(refuse)?.session;
        let database = session.split("/sessions/").next().unwrap_or_default();
        let schema = self.schema(database, false).await?;
        match check::commit(&schema, &call.message, shared.check) {
            // It may be that the schema has just changed.
            Err(refusal) if matches!(refusal.rule, Some(Rule::UnknownTable | Rule::UnknownColumn)) => {
                let schema = self
                    .schema(text(database.as_bytes()).map_err(refuse)?, true)
                    .await?;
                check::commit(&schema, &call.message, shared.check).map_err(refuse)
            }
            checked => checked.map_err(refuse),
        }
    }

    async fn schema(&self, database: &str, fresh: bool) -> Result<Arc<Schema>, Status> {
        let known = self
            .schemas
            .lock()
            .expect("no holder of this lock panics")
            .get(database)
            .cloned();
        if let (Some(schema), false) = (known, fresh) {
            return Ok(schema);
        }
        let request = GetDatabaseDdlRequest {
            database: database.to_owned(),
        };
        let answer = DatabaseAdminClient::new(self.channel.clone())
            .get_database_ddl(request)
            .await?;
        let mut schema = Schema::default();
        for statement in answer.into_inner().statements {
            // The emulator has accepted it; what we do not understand is not checked.
            drop(ddl::apply(&mut schema, &statement));
        }
        let schema = Arc::new(schema);
        let mut schemas = self.schemas.lock().expect("no holder of this lock panics");
        if schemas.len() >= SCHEMAS_MAX {
            schemas.clear();
        }
        schemas.insert(database.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }
}
