//! What the control thread tells a core.

use std::sync::mpsc::{SyncSender, TrySendError};

use engine::env::ring::Waker;
use engine::store::{SnapshotRefused, SnapshotResult, SnapshotStep};

use crate::server::CoreStats;

/// What a core is told.
pub enum Command {
    /// Every core is ready: accept connections.
    Serve,
    /// Another core is not ready and never will be: close at once. Nobody was served.
    Abandon,
    /// Accept nothing more, end what is under way, close.
    Drain,
    /// Tell what you have done.
    Scrape(Box<dyn FnOnce(CoreStats) + Send>),
    /// Write all tables of your store anew, beside the foreground.
    Compact,
    /// Do a step of a snapshot of your store, and tell how it went.
    Snapshot(SnapshotStep, SnapshotReply),
}

/// Hears on the core's thread how a step of a snapshot went, and should only pass it on. It is
/// dropped unheard where the core ends before, or has no store.
pub type SnapshotReply = Box<dyn FnOnce(Result<SnapshotResult, SnapshotRefused>) + Send>;

/// The control thread's way to one core.
#[derive(Clone)]
pub struct Commander {
    commands: SyncSender<Command>,
    waker: Waker,
}

impl Commander {
    /// The way to the core that receives from the other end of `commands` and is woken by `waker`.
    #[must_use]
    pub fn new(commands: SyncSender<Command>, waker: Waker) -> Self {
        Self { commands, waker }
    }

    /// Tells the core something. `false` if it has ended, or has too much to hear already.
    pub fn tell(&self, command: Command) -> bool {
        match self.commands.try_send(command) {
            Ok(()) => {
                self.waker.wake();
                true
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}
