//! The routes of the admin port.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::listener::BoundedListener;
use super::metrics::{Facts, encode};
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

struct Admin<S> {
    facts: Facts,
    readiness: Arc<Readiness>,
    /// One scrape at a time: more would only wait for the same cores.
    cores: Mutex<S>,
}

/// Serves the admin port on `listener`, for as long as the returned future is polled.
///
/// # Errors
/// The listener fails.
pub async fn serve<S: Scrape>(
    listener: TcpListener,
    facts: Facts,
    readiness: Arc<Readiness>,
    cores: S,
) -> io::Result<()> {
    let admin = Arc::new(Admin { facts, readiness, cores: Mutex::new(cores) });
    let routes = Router::new()
        .route("/", get(status::<S>))
        .route("/healthz", get(healthz::<S>))
        .route("/readyz", get(readyz::<S>))
        .route("/metrics", get(metrics::<S>))
        .with_state(admin);
    axum::serve(BoundedListener::new(listener), routes).await
}

type Shared<S> = State<Arc<Admin<S>>>;

impl<S: Scrape> Admin<S> {
    async fn scrape(&self) -> Vec<Option<CoreStats>> {
        self.cores.lock().await.scrape().await
    }
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
         /metrics  figures, for Prometheus\n"
    )
}
