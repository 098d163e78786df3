//! Snapshots over HTTP: taken, listed, deleted.
//!
//! What it keeps true:
//! - one at a time is taken or deleted; a second request is refused, not queued;
//! - a snapshot that a core could not take its part of is removed, and the first reason is told;
//! - what was begun goes on when nobody waits for it any more.
//!
//! ```text
//! core 0: begin --> every core, at once: its part --> core 0: finish, or remove --> core 0: list
//! ```

use std::fmt::{self, Write as _};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use engine::snapshot::{Begun, Listed, SnapshotError, SnapshotName, State as Worth};
use engine::store::{SnapshotDone, SnapshotRefused, SnapshotStep};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::http::{Admin, Scrape, Shared, Stage, may_change};

/// How long a request waits for its snapshot, less than a connection lives. The snapshot goes on.
const PATIENCE: Duration = Duration::from_secs(40);

/// Has cores do steps of snapshots.
pub trait SnapshotSteps: Scrape {
    /// How many cores there are; 0 before there are any.
    fn cores(&self) -> usize;

    /// Has core `core` do `step`, however long it takes.
    fn step(
        &self,
        core: usize,
        step: SnapshotStep,
    ) -> impl Future<Output = Result<SnapshotDone, StepError>> + Send;
}

/// Why a core has not done a step.
#[derive(Debug)]
pub enum StepError {
    /// It has ended, is too busy, or has no store.
    Gone(usize),
    /// It refused.
    Refused(SnapshotRefused),
    /// It failed.
    Failed(SnapshotError),
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(core) => write!(f, "core {core} does not take part"),
            Self::Refused(refused) => refused.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl IntoResponse for StepError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Refused(SnapshotRefused::Busy) | Self::Failed(SnapshotError::Exists { .. }) => {
                StatusCode::CONFLICT
            }
            Self::Refused(SnapshotRefused::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Failed(SnapshotError::Unknown { .. }) => StatusCode::NOT_FOUND,
            Self::Gone(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        refuse(status, self)
    }
}

fn refuse(status: StatusCode, why: impl fmt::Display) -> Response {
    (status, format!("{why}\n")).into_response()
}

/// The name that a request gives, if the request is one that may change something.
fn named(
    stage: Stage,
    headers: &HeaderMap,
    name: &str,
) -> Result<SnapshotName, (StatusCode, String)> {
    may_change(stage, headers).map_err(|(status, why)| (status, why.to_owned()))?;
    SnapshotName::new(name).map_err(|bad| (StatusCode::BAD_REQUEST, bad.to_string()))
}

/// `POST /snapshots/{name}`: takes one, and tells of it.
pub(super) async fn create<S: SnapshotSteps>(
    State(admin): Shared<S>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    change(admin, Change::Take, &name, &headers).await
}

/// `DELETE /snapshots/{name}`: deletes one, complete or not.
pub(super) async fn delete<S: SnapshotSteps>(
    State(admin): Shared<S>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    change(admin, Change::Delete, &name, &headers).await
}

/// `GET /snapshots`: all of them, a line each.
pub(super) async fn list<S: SnapshotSteps>(State(admin): Shared<S>) -> Response {
    match listed(&admin).await {
        Ok(listed) => told(listed.iter().map(json).collect()),
        Err(error) => error.into_response(),
    }
}

/// What is to be done about a snapshot.
enum Change {
    Take,
    Delete,
}

/// Does a change as a task of its own, unless another one is under way.
async fn change<S: SnapshotSteps>(
    admin: Arc<Admin<S>>,
    change: Change,
    name: &str,
    headers: &HeaderMap,
) -> Response {
    let name = match named(admin.readiness.get(), headers, name) {
        Ok(name) => name,
        Err((status, why)) => return refuse(status, why),
    };
    let Ok(turn) = Arc::clone(&admin.changing).try_lock_owned() else {
        return refuse(StatusCode::CONFLICT, "another snapshot is being taken or deleted");
    };
    let task = tokio::spawn(async move {
        let done = match change {
            Change::Take => take(&admin, &name).await,
            Change::Delete => {
                let step = SnapshotStep::Remove(name.clone());
                admin.cores.step(0, step).await.map(drop)
            }
        };
        // Also for the count of them that metrics tell.
        let listed = listed(&admin).await;
        drop(turn);
        done?;
        let own = listed?.into_iter().find(|it| it.name == name);
        Ok(own.map_or_else(
            || format!("{{\"name\":\"{name}\",\"state\":\"deleted\"}}\n"),
            |it| json(&it),
        ))
    });
    match timeout(PATIENCE, task).await {
        Ok(Ok(Ok(text))) => told(text),
        Ok(Ok(Err(error))) => StepError::into_response(error),
        Ok(Err(panicked)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, panicked),
        Err(_) => refuse(StatusCode::ACCEPTED, "it goes on: GET /snapshots tells"),
    }
}

/// Takes a snapshot of every core's store, or leaves nothing of it.
async fn take<S: SnapshotSteps>(
    admin: &Arc<Admin<S>>,
    name: &SnapshotName,
) -> Result<(), StepError> {
    let begun = match admin.cores.step(0, SnapshotStep::Begin(name.clone())).await? {
        SnapshotDone::Begun(begun) => begun,
        other => unreachable!("begun is answered with {other:?}"),
    };
    let taken = match take_parts(admin, name, begun).await {
        Ok(()) => admin.cores.step(0, SnapshotStep::Finish(name.clone(), begun)).await,
        Err(error) => Err(error),
    };
    let Err(error) = taken else { return Ok(()) };
    tracing::error!(%name, %error, "a snapshot failed");
    if let Err(error) = admin.cores.step(0, SnapshotStep::Remove(name.clone())).await {
        tracing::warn!(%name, %error, "it could not be removed; the next start does");
    }
    Err(error)
}

/// Every core takes its part. All have ended when this returns.
async fn take_parts<S: SnapshotSteps>(
    admin: &Arc<Admin<S>>,
    name: &SnapshotName,
    begun: Begun,
) -> Result<(), StepError> {
    let mut parts = JoinSet::new();
    for core in 0..admin.cores.cores() {
        let (admin, step) = (Arc::clone(admin), SnapshotStep::Take(name.clone(), begun));
        parts.spawn(async move { admin.cores.step(core, step).await });
    }
    let mut result = Ok(());
    while let Some(part) = parts.join_next().await {
        let part = part.expect("a step does not panic");
        result = result.and(part.map(drop));
    }
    result
}

async fn listed<S: SnapshotSteps>(admin: &Admin<S>) -> Result<Vec<Listed>, StepError> {
    match admin.cores.step(0, SnapshotStep::List).await? {
        SnapshotDone::Listed(listed) => Ok(listed),
        other => unreachable!("a list is answered with {other:?}"),
    }
}

fn told(text: String) -> Response {
    ([(CONTENT_TYPE, "application/x-ndjson")], text).into_response()
}

/// A snapshot as a line of JSON.
fn json(listed: &Listed) -> String {
    let mut text = format!("{{\"name\":\"{}\"", listed.name);
    // A String takes everything.
    let _ = match &listed.state {
        Worth::Complete(head) => write!(
            text,
            ",\"state\":\"complete\",\"taken_at_ms\":{},\"node\":\"{}\",\"cluster\":\"{}\",\
             \"shards\":{},\"tables\":{},\"bytes\":{}",
            head.taken_at_ms,
            head.node.node,
            head.node.cluster,
            head.node.shards,
            head.tables,
            head.bytes
        ),
        Worth::Incomplete => write!(text, ",\"state\":\"incomplete\""),
        Worth::Unreadable(why) => {
            let plain = |c: char| if c == '"' || c == '\\' || c.is_control() { '\'' } else { c };
            let why: String = why.chars().map(plain).collect();
            write!(text, ",\"state\":\"unreadable\",\"why\":\"{why}\"")
        }
    };
    text + "}\n"
}
