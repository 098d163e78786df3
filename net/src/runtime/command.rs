//! What the control thread tells a core.

use std::sync::mpsc::{SyncSender, TrySendError};

use engine::env::ring::Waker;

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
}

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
