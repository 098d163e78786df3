//! The control thread: admin port and signals, beside the cores and in the way of none.

use std::net::TcpListener;
use std::process;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use engine::store::{SnapshotDone, SnapshotStep};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::exit::{Exit, Refusal};
use crate::admin::{self, Compact, Facts, Readiness, Scrape, SnapshotSteps, Stage, StepError};
use crate::server::{Control, CoreStats};

/// A core that does not answer for so long is said to be down.
const SCRAPE_PATIENCE: Duration = Duration::from_secs(2);

/// The way to the cores, once there are any.
pub(super) type Cores = Arc<OnceLock<Control>>;

/// Starts the thread: it answers on `listener`, and tells `cores` to drain when a signal asks for
/// it. It ends with the process.
///
/// # Errors
/// The system gives no thread, or no way to hear signals.
pub(super) fn start(
    listener: TcpListener,
    facts: Facts,
    readiness: Arc<Readiness>,
    cores: Cores,
) -> Result<(), Refusal> {
    let failed =
        |error| Refusal::new(Exit::Other, format!("cannot start the control thread: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (listener, signals) = {
        let _context = runtime.enter();
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
        (listener, Signals::listen().map_err(failed)?)
    };
    let run = async move {
        let drain = tokio::spawn(drain_on_signal(signals, Arc::clone(&readiness), cores.clone()));
        let served = admin::serve(listener, facts, readiness, LateCores(cores)).await;
        tracing::error!(?served, "the admin port has ended");
        drop(drain.await);
    };
    let thread = thread::Builder::new().name("control".to_owned());
    thread.spawn(move || runtime.block_on(run)).map_err(failed)?;
    Ok(())
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// The first signal drains, and the process ends when the cores have; a second one ends it at
/// once, and so does one that comes while there is nothing to drain yet: `cores` is set before
/// they serve.
async fn drain_on_signal(mut signals: Signals, readiness: Arc<Readiness>, cores: Cores) {
    let name = signals.next().await;
    match cores.get() {
        Some(control) => {
            readiness.set(Stage::Draining);
            tracing::info!(signal = name, "draining; a second signal ends at once");
            control.drain();
        }
        None => process::exit(0),
    }
    signals.next().await;
    Refusal::new(Exit::Interrupted, "stopped by a second signal before it had drained").end();
}

/// Cores that may not be there yet: then none is asked, and none is missed.
struct LateCores(Cores);

impl Scrape for LateCores {
    async fn scrape(&self) -> Vec<Option<CoreStats>> {
        let Some(control) = self.0.get() else { return Vec::new() };
        let (tell, mut told) = unbounded_channel();
        control.scrape(move |stats| drop(tell.send(stats)));
        let mut cores: Vec<Option<CoreStats>> = (0..control.cores()).map(|_| None).collect();
        let collect = async {
            while let Some(stats) = told.recv().await {
                let shard = usize::from(stats.shard.0);
                cores[shard] = Some(stats);
            }
        };
        // Those that have not answered by then stay `None`.
        drop(timeout(SCRAPE_PATIENCE, collect).await);
        cores
    }
}

impl SnapshotSteps for LateCores {
    fn cores(&self) -> usize {
        self.0.get().map_or(0, Control::cores)
    }

    async fn step(&self, core: usize, step: SnapshotStep) -> Result<SnapshotDone, StepError> {
        let (tell, told) = oneshot::channel();
        // The request may be gone.
        let reply = Box::new(move |result| drop(tell.send(result)));
        let heard = self.0.get().is_some_and(|control| control.snapshot(core, step, reply));
        if !heard {
            return Err(StepError::Gone(core));
        }
        match told.await {
            Ok(Ok(result)) => result.map_err(StepError::Failed),
            Ok(Err(refused)) => Err(StepError::Refused(refused)),
            Err(_) => Err(StepError::Gone(core)),
        }
    }
}

impl Compact for LateCores {
    fn compact(&self) -> usize {
        self.0.get().map_or(0, Control::compact)
    }
}
