//! What is to become of DDL beyond the stand-in's own judgement: refusals, and work that takes its
//! time.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use prost::Message;
use spanferry_spanner_api::database_admin::UpdateDatabaseDdlRequest;
use tonic::{Code, Status};

/// When a statement is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DdlStage {
    /// With the whole call, before it becomes an operation: the answer does not say which statement
    /// it is about.
    Call,
    /// By the operation, behind the statements before it. In forward mode nothing is refused at
    /// this stage.
    Operation,
}

/// How a call outlasts its caller's deadline, as calls at the emulator do: it works on while the
/// caller has no answer, and its operation exists only when all statements are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlast {
    /// Later calls and looks that find the statements still at work.
    pub at_work: u32,
    /// Later calls and looks that find the statements done and no operation yet.
    pub unknown: u32,
}

/// Rules for statements, by a part of their text.
#[derive(Debug, Default)]
pub struct DdlRules {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refused: Vec<(String, DdlStage)>,
    held: BTreeSet<String>,
    outlasts: Option<Outlast>,
    calls: Vec<usize>,
}

impl DdlRules {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Statements that contain this text are refused from now on.
    pub fn refuse(&self, text: &str, stage: DdlStage) {
        self.state().refused.push((text.to_owned(), stage));
    }

    /// The next operation that creates the index or foreign key of this name continues only when
    /// `StandIn::finish_ddl` is called. In forward mode nothing is held.
    pub fn hold(&self, name: &str) {
        self.state().held.insert(name.to_owned());
    }

    /// The next call is answered DEADLINE_EXCEEDED and works on. In forward mode nothing is done.
    pub fn outlast(&self, how: Outlast) {
        self.state().outlasts = Some(how);
    }

    /// How many statements each call had so far, refused calls included.
    pub fn calls(&self) -> Vec<usize> {
        self.state().calls.clone()
    }

    /// Judges a call as a whole.
    pub(crate) fn judge_call(&self, message: &Bytes) -> Result<(), Status> {
        let Ok(request) = UpdateDatabaseDdlRequest::decode(message.clone()) else {
            return Ok(());
        };
        self.state().calls.push(request.statements.len());
        let mut statements = request.statements.iter();
        match statements.find_map(|statement| self.refusal(statement, DdlStage::Call)) {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }

    /// Why a statement is refused at a stage, if it is.
    pub(crate) fn refusal(&self, statement: &str, stage: DdlStage) -> Option<Status> {
        let state = self.state();
        let text = state
            .refused
            .iter()
            .find(|(text, when)| *when == stage && statement.contains(text.as_str()))
            .map(|(text, _)| text.clone())?;
        let code = match stage {
            DdlStage::Call => Code::InvalidArgument,
            DdlStage::Operation => Code::FailedPrecondition,
        };
        Some(Status::new(code, format!("The stand-in refuses `{text}`.")))
    }

    /// How the next call outlasts its caller's deadline, if it does.
    pub(crate) fn take_outlast(&self) -> Option<Outlast> {
        self.state().outlasts.take()
    }

    /// The name of what a statement creates, if it is to be held; each is held once.
    pub(crate) fn take_held(&self, statement: &str) -> Option<String> {
        let mut state = self.state();
        let creates = |name: &&String| {
            [format!(" `{name}` "), format!(" \"{name}\" ")]
                .iter()
                .any(|quoted| statement.contains(quoted))
        };
        let name = state.held.iter().find(creates).cloned()?;
        state.held.remove(&name);
        Some(name)
    }
}
