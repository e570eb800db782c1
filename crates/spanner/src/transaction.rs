//! Read-write transactions: begin, read, commit with mutations.

use std::sync::Arc;

use bytes::Bytes;
use spanferry_spanner_api::spanner::transaction_options::{Mode, ReadWrite};
use spanferry_spanner_api::spanner::{
    BeginTransactionRequest, MultiplexedSessionPrecommitToken, RollbackRequest, TransactionOptions,
    commit_request,
};

use crate::client::{CALL_DEADLINE, Client, Route};
use crate::commit::{Committed, Mutations};
use crate::error::SpannerError;
use crate::read::Read;

/// A read-write transaction in progress. It must read before it commits: a multiplexed session asks
/// a transaction that only writes for one of its mutations at its begin, which `Client::commit`
/// makes needless.
///
/// Dropped without `commit` or `rollback`, it holds its locks until the server gives it up (10
/// seconds of silence).
#[derive(Debug)]
pub struct Transaction {
    client: Client,
    object: String,
    session: Arc<str>,
    own_session: bool,
    id: Bytes,
    token: Option<MultiplexedSessionPrecommitToken>,
}

impl Client {
    /// Begins a read-write transaction, once.
    pub async fn begin(&self, object: &str) -> Result<Transaction, SpannerError> {
        // The emulator keeps 32 transactions a session and forgets the oldest: there each gets its
        // own session.
        let own_session = self.is_emulator();
        let session = if own_session {
            self.create_session().await?
        } else {
            self.session().await?
        };
        let options = TransactionOptions {
            mode: Some(Mode::ReadWrite(ReadWrite::default())),
            ..TransactionOptions::default()
        };
        let message = BeginTransactionRequest {
            session: session.to_string(),
            options: Some(options),
            request_options: Some(self.request_options(true)),
            ..BeginTransactionRequest::default()
        };
        let request = self
            .request(message, ("session", &session), Route::Leader, CALL_DEADLINE)
            .await?;
        let begun = match self.data().begin_transaction(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(self.session_error(object, &session, &status).await),
        };
        let (client, object) = (self.clone(), object.to_owned());
        Ok(Transaction {
            client,
            object,
            session,
            own_session,
            id: begun.id,
            token: begun.precommit_token,
        })
    }
}

impl Transaction {
    /// Reads rows (`ListValue` payloads) and locks them; the result must be small.
    pub async fn read(&mut self, read: &Read) -> Result<Vec<Bytes>, SpannerError> {
        let mut rows = self
            .client
            .read_in(&self.object, &self.session, &self.id, read)
            .await?;
        let mut read = Vec::new();
        while let Some(row) = rows.next().await? {
            read.push(row);
        }
        let newer = |token: &MultiplexedSessionPrecommitToken| {
            self.token
                .as_ref()
                .is_none_or(|known| known.seq_num < token.seq_num)
        };
        if let Some(token) = rows.precommit_token().filter(newer) {
            self.token = Some(token);
        }
        Ok(read)
    }

    /// Commits, once. What an error says about the outcome: see [`Client::commit`].
    pub async fn commit(self, mutations: Mutations) -> Result<Committed, SpannerError> {
        let transaction = commit_request::Transaction::TransactionId(self.id.clone());
        let token = self.token.clone();
        let committed = self
            .client
            .commit_in(&self.object, &self.session, transaction, token, mutations)
            .await;
        if committed.is_ok() {
            self.end().await;
        } else {
            // Its locks would stand in the way of the next attempt; one that has ended after all
            // refuses this without harm.
            self.rollback().await;
        }
        committed
    }

    /// Gives it up; a failure to say so leaves it to the server's own clean-up.
    pub async fn rollback(self) {
        let message = RollbackRequest {
            session: self.session.to_string(),
            transaction_id: self.id.clone(),
        };
        let request = self
            .client
            .request(message, ("session", &self.session), Route::Leader, CALL_DEADLINE)
            .await;
        if let Ok(request) = request
            && let Err(status) = self.client.data().rollback(request).await
        {
            tracing::debug!(status = ?status.code(), "transaction not rolled back");
        }
        self.end().await;
    }

    async fn end(&self) {
        if self.own_session {
            self.client.delete_session(&self.session).await;
        }
    }
}
