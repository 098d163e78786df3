//! The routes of the admin port.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::compactions::{self, Compact};
use super::listener::BoundedListener;
use super::metrics::{Facts, encode};
use super::snapshots::{self, SnapshotSteps};
use crate::server::CoreStats;

/// How far the server is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Stage {
    /// It opens its stores.
    Starting = 0,
    /// It serves.
    Serving = 1,
    /// It ends what is under way, and takes nothing new.
    Draining = 2,
}

/// How far the server is, told by one thread and read by others.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// From now on the server is at `stage`.
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    /// How far it is.
    #[must_use]
    pub fn get(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Serving,
            _ => Stage::Draining,
        }
    }
}

/// Asks the cores for their figures.
pub trait Scrape: Send + Sync + 'static {
    /// What each core has done, in order; `None` of those that did not answer in time.
    fn scrape(&self) -> impl Future<Output = Vec<Option<CoreStats>>> + Send;
}

pub(super) struct Admin<S> {
    facts: Facts,
    pub(super) readiness: Arc<Readiness>,
    pub(super) cores: S,
    /// One scrape at a time: more would only wait for the same cores.
    scraping: Mutex<()>,
    /// Held while a snapshot is taken or deleted.
    pub(super) changing: Arc<Mutex<()>>,
}

/// Serves the admin port on `listener`, for as long as the returned future is polled.
///
/// # Errors
/// The listener fails.
pub async fn serve<S: SnapshotSteps + Compact>(
    listener: TcpListener,
    facts: Facts,
    readiness: Arc<Readiness>,
    cores: S,
) -> io::Result<()> {
    let (scraping, changing) = (Mutex::default(), Arc::default());
    let admin = Arc::new(Admin { facts, readiness, cores, scraping, changing });
    let routes = Router::new()
        .route("/", get(status::<S>))
        .route("/healthz", get(healthz::<S>))
        .route("/readyz", get(readyz::<S>))
        .route("/metrics", get(metrics::<S>))
        .route("/snapshots", get(snapshots::list::<S>))
        .route("/snapshots/{name}", post(snapshots::create::<S>).delete(snapshots::delete::<S>))
        .route("/compactions", get(compactions::list::<S>).post(compactions::start::<S>))
        .with_state(admin);
    axum::serve(BoundedListener::new(listener), routes).await
}

pub(super) type Shared<S> = State<Arc<Admin<S>>>;

impl<S: Scrape> Admin<S> {
    pub(super) async fn scrape(&self) -> Vec<Option<CoreStats>> {
        let _turn = self.scraping.lock().await;
        self.cores.scrape().await
    }
}

/// Whether a request may change something; if not, how it is answered.
pub(super) fn may_change(
    stage: Stage,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, &'static str)> {
    // A page of somebody's in an operator's browser could ask for it.
    if headers.contains_key(ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "pages in browsers may not do this"));
    }
    if stage != Stage::Serving {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "the server is not ready"));
    }
    Ok(())
}

/// Whether every core goes round: one that does not should be restarted, with the process.
async fn healthz<S: Scrape>(State(admin): Shared<S>) -> Response {
    let cores = admin.scrape().await;
    let silent = cores.iter().position(Option::is_none);
    match silent {
        None => "ok\n".into_response(),
        Some(core) => {
            let text = format!("core {core} does not answer\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

/// Whether requests should be sent here.
async fn readyz<S: Scrape>(State(admin): Shared<S>) -> Response {
    match admin.readiness.get() {
        Stage::Serving => "ready\n".into_response(),
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response(),
        Stage::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response(),
    }
}

async fn metrics<S: Scrape>(State(admin): Shared<S>) -> Response {
    let cores = admin.scrape().await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = encode(&admin.facts, admin.readiness.get(), cores);
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

async fn status<S: Scrape>(State(admin): Shared<S>) -> String {
    let Facts { version, node, cluster, .. } = &admin.facts;
    let stage = admin.readiness.get();
    format!(
        "kvcore {version}\nnode {node} of cluster {cluster}: {stage:?}\n\n\
         /healthz  whether every core goes round\n\
         /readyz   whether requests should be sent here\n\
         /metrics  figures, for Prometheus\n\
         /snapshots  GET lists them, POST and DELETE of /snapshots/NAME take and delete one\n\
         /compactions  POST writes all tables anew, GET tells how far that is\n"
    )
}
