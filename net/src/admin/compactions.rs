//! Full compactions over HTTP: started, and looked at.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::http::{Admin, Scrape, Shared, may_change};
use super::snapshots::SnapshotSteps;

/// Has cores compact.
pub trait Compact: Send + Sync + 'static {
    /// Has every core write all its tables anew, beside the foreground. How many heard it.
    fn compact(&self) -> usize;
}

/// `POST /compactions`: begins one on every core.
pub(super) async fn start<S: SnapshotSteps + Compact>(
    State(admin): Shared<S>,
    headers: HeaderMap,
) -> Response {
    if let Err((status, why)) = may_change(admin.readiness.get(), &headers) {
        return (status, format!("{why}\n")).into_response();
    }
    let (heard, cores) = (admin.cores.compact(), admin.cores.cores());
    if heard < cores {
        let text = format!("{} of {cores} cores did not hear it; ask again\n", cores - heard);
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    }
    (StatusCode::ACCEPTED, told(&admin).await).into_response()
}

/// `GET /compactions`: a line for each core that answers.
pub(super) async fn list<S: Scrape>(State(admin): Shared<S>) -> Response {
    told(&admin).await.into_response()
}

async fn told<S: Scrape>(admin: &Admin<S>) -> Response {
    let mut text = String::new();
    for core in admin.scrape().await.into_iter().flatten() {
        let Some(store) = &core.store else { continue };
        let bytes: u64 = store.table_bytes.iter().sum();
        // A String takes everything.
        let _ = writeln!(
            text,
            "{{\"core\":{},\"full\":{},\"running\":{},\"table_bytes\":{bytes},\
             \"written_bytes\":{}}}",
            core.shard.0, store.full_compaction, store.compactions_running, store.compaction_bytes
        );
    }
    ([(CONTENT_TYPE, "application/x-ndjson")], text).into_response()
}
