//! From a configuration to cores that serve.
//!
//! ```text
//! bind every listener -> make every core (ring, store) -> all ready? -> serve: tell all to
//! ```
//!
//! Nobody is answered before every core is ready and [`Server::serve`] was called, and a core that
//! cannot be made ends the others.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::time::Duration;

use engine::env::direct::with_ring;
use engine::env::ring::{Parker, Ring, RingConfig, Waker};
use engine::store::{Failure, SnapshotStep};
use schemas::handshake::ServerIdentity;
use schemas::ids::ShardId;

use super::admission::Admission;
use super::config::CoreLimits;
use super::listener::Listener;
use super::outbox::{Message, Outbox};
use super::service::Service;
use super::stats::CoreStats;
use crate::limits;
use crate::mesh::{Port, Wake, mesh};
use crate::runtime::{
    Clock, Command, Commander, CoreError, CoreThread, Driver, DriverConfig, SnapshotReply, run,
    settle_memory,
};

/// What any server needs to be told, with or without a store.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// The CPU of each core: the first runs shard 0. At least one.
    pub cpus: Vec<usize>,
    /// Where clients connect; port 0 for any free one.
    pub listen: SocketAddr,
    /// What each core admits.
    pub limits: CoreLimits,
    /// Requests under way, replies that were not sent yet, and others: bytes of each core for each
    /// that [`limits::IN_FLIGHT_BYTES_MAX`] names.
    pub in_flight_bytes: usize,
    /// How long a core without work looks for more before it sleeps.
    pub spin: Duration,
    /// Who the server is.
    pub identity: ServerIdentity,
}

/// Where a service is made: on its core's thread, inside its executor.
pub struct Seat {
    /// The core.
    pub shard: ShardId,
    /// How many there are.
    pub cores: u16,
    /// Its ring.
    pub ring: Ring,
}

/// Why a server did not start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on: in use, most likely.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A core's thread or executor could not be made.
    #[error("cannot run core {} on CPU {cpu}: {source}", .shard.0)]
    Core {
        /// Which.
        shard: ShardId,
        /// Where.
        cpu: usize,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel has no io_uring for us.
    #[error("core {}: no io_uring (Linux 6.1 or later): {source}", .shard.0)]
    Ring {
        /// Whose.
        shard: ShardId,
        /// What the kernel said.
        source: io::Error,
    },
    /// What answers the requests could not be made.
    #[error("core {}: {source}", .shard.0)]
    Service {
        /// Whose.
        shard: ShardId,
        /// Why: an `engine::store::OpenError`, most likely.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a server ended by itself. The process has to end: nothing more is acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A core had to end.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// A store could not be closed.
    #[error("core {}: closing: {failure}", .shard.0)]
    Close {
        /// Whose.
        shard: ShardId,
        /// What it said.
        failure: Failure,
    },
}

/// Tells a running server's cores what to do; for the control thread.
#[derive(Clone)]
pub struct Control {
    cores: Vec<Commander>,
}

impl Control {
    /// How many cores there are.
    #[must_use]
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// Ends the server in order: accepts nothing more, ends what is under way, closes the stores.
    pub fn drain(&self) {
        for core in &self.cores {
            core.tell(Command::Drain);
        }
    }

    /// Asks every core what it has done; `tell` is called once for each that answers, on that
    /// core's thread: it should only pass the answer on. Returns how many were asked.
    pub fn scrape(&self, tell: impl Fn(CoreStats) + Clone + Send + 'static) -> usize {
        let ask = |core: &&Commander| core.tell(Command::Scrape(Box::new(tell.clone())));
        self.cores.iter().filter(ask).count()
    }

    /// Has every core write all its tables anew, beside the foreground. Returns how many heard it.
    pub fn compact(&self) -> usize {
        self.cores.iter().filter(|core| core.tell(Command::Compact)).count()
    }

    /// Has core `core` do a step of a snapshot, and `reply` told. `false` if it does not hear.
    pub fn snapshot(&self, core: usize, step: SnapshotStep, reply: SnapshotReply) -> bool {
        self.cores.get(core).is_some_and(|core| core.tell(Command::Snapshot(step, reply)))
    }
}

/// A server: ready, and then running.
pub struct Server {
    address: SocketAddr,
    control: Control,
    threads: Vec<CoreThread<()>>,
    ended: Receiver<Result<(), ServerError>>,
}

impl Server {
    /// Makes ready a server whose requests are answered by what `make` makes on each core. It
    /// answers nobody before [`Server::serve`].
    ///
    /// # Errors
    /// Nothing was served; see [`StartError`].
    pub fn start<S, F>(
        config: &FrontConfig,
        make: impl Fn(Seat) -> F + Clone + Send + 'static,
    ) -> Result<Self, StartError>
    where
        S: Service,
        F: Future<Output = Result<S, Box<dyn std::error::Error + Send + Sync>>> + 'static,
    {
        settle_memory();
        let cores = config.cpus.len();
        let (listeners, address) = Listener::bind(config.listen, cores)
            .map_err(|source| StartError::Listen { address: config.listen, source })?;
        let cores_u16 = u16::try_from(cores).expect("the mesh's cores are counted in a u16");
        let ports = mesh::<Message<S::Message>>(cores_u16, limits::MESH_MESSAGES);
        let (ready, readiness) = channel();
        let (end, ended) = channel();
        let undrained = Arc::new(AtomicUsize::new(cores));
        let clock = Clock::start();
        let mut threads = Vec::new();
        let mut failed = None;
        for ((port, listener), &cpu) in ports.into_iter().zip(listeners).zip(&config.cpus) {
            let seat = CoreSeat {
                port,
                listener,
                clock,
                undrained: undrained.clone(),
                identity: Arc::new(config.identity.clone()),
                admission: Admission::new(config.limits, config.in_flight_bytes),
                spin: config.spin,
                ready: ready.clone(),
                end: end.clone(),
            };
            let shard = seat.port.own();
            let make = make.clone();
            match CoreThread::spawn(cpu, move || seat.run(make)) {
                Ok(thread) => threads.push(thread),
                Err(source) => {
                    failed = Some(StartError::Core { shard, cpu, source });
                    break;
                }
            }
        }
        drop(ready);
        let cores = await_cores(&readiness, &mut threads, &config.cpus, failed)?;
        Ok(Self { address, control: Control { cores }, threads, ended })
    }

    /// Serves, unless it was told to drain already. By now whoever hears signals has the
    /// [`Server::control`]: from here on an end that is no drain may lose what was acknowledged.
    pub fn serve(&self) {
        for core in &self.control.cores {
            core.tell(Command::Serve);
        }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way to tell the cores something.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Waits until the server has drained.
    ///
    /// # Errors
    /// A core failed. The others still run: end the process.
    pub fn wait(self) -> Result<(), ServerError> {
        for _ in &self.threads {
            self.ended.recv().expect("a core that does not panic tells how it ended")?;
        }
        for thread in self.threads {
            thread.join().expect("the executor was made");
        }
        Ok(())
    }
}

/// Waits for every core to be ready. If one is not, or could not be started, the others are told
/// to end and waited for.
fn await_cores(
    readiness: &Receiver<(ShardId, Result<Commander, StartError>)>,
    threads: &mut Vec<CoreThread<()>>,
    cpus: &[usize],
    mut failed: Option<StartError>,
) -> Result<Vec<Commander>, StartError> {
    let mut cores: Vec<(ShardId, Commander)> = Vec::new();
    // Ends when every core has answered, or is gone.
    for (shard, ready) in readiness {
        match ready {
            Ok(commander) => cores.push((shard, commander)),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if failed.is_some() || cores.len() < threads.len() {
        for (_, core) in &cores {
            core.tell(Command::Abandon);
        }
        for (index, thread) in threads.drain(..).enumerate() {
            let (shard, cpu) = (ShardId(index as u16), cpus[index]);
            if let Err(source) = thread.join() {
                failed = failed.or(Some(StartError::Core { shard, cpu, source }));
            }
        }
        return Err(failed.expect("a core that was not ready said why, or its thread did"));
    }
    cores.sort_by_key(|(shard, _)| shard.0);
    Ok(cores.into_iter().map(|(_, core)| core).collect())
}

/// All that a core's thread starts with.
struct CoreSeat<M> {
    port: Port<Message<M>>,
    listener: Listener,
    clock: Clock,
    undrained: Arc<AtomicUsize>,
    identity: Arc<ServerIdentity>,
    admission: Admission,
    spin: Duration,
    ready: Sender<(ShardId, Result<Commander, StartError>)>,
    end: Sender<Result<(), ServerError>>,
}

struct WakeCore(Waker);

impl Wake for WakeCore {
    fn wake(&self) {
        self.0.wake();
    }
}

impl<M: Send + 'static> CoreSeat<M> {
    /// The life of a core.
    async fn run<S, F>(self, make: impl Fn(Seat) -> F)
    where
        S: Service<Message = M>,
        F: Future<Output = Result<S, Box<dyn std::error::Error + Send + Sync>>>,
    {
        let shard = self.port.own();
        let made = make_core(shard, self.port.cores(), make).await;
        let (ring, parker, service) = match made {
            Ok(made) => made,
            Err(error) => return drop(self.ready.send((shard, Err(error)))),
        };
        self.port.set_waker(Box::new(WakeCore(ring.waker())));
        let (tell, commands) = sync_channel(limits::COMMANDS_MAX);
        let commander = Commander::new(tell, ring.waker());
        let driver = Driver::new(DriverConfig {
            own: shard,
            ring: ring.clone(),
            outbox: Outbox::new(self.port),
            commands,
            listener: self.listener,
            admission: self.admission,
            identity: self.identity,
            clock: self.clock,
            undrained: self.undrained,
            service,
        });
        // Whoever started the server may have given up; then nobody listens.
        drop(self.ready.send((shard, Ok(commander))));
        drop(self.ready);
        let ended = match run(driver, parker, self.spin).await {
            Err(error) => Err(ServerError::Core(error)),
            Ok(service) => match with_ring(&ring, service.close()).await {
                Err(source) => Err(ServerError::Core(CoreError::Ring { shard, source })),
                Ok(Err(failure)) => Err(ServerError::Close { shard, failure }),
                Ok(Ok(())) => Ok(()),
            },
        };
        drop(self.end.send(ended));
    }
}

/// The core's ring, its way to sleep, and what answers its requests.
async fn make_core<S, F>(
    shard: ShardId,
    cores: u16,
    make: impl Fn(Seat) -> F,
) -> Result<(Ring, Parker, S), StartError>
where
    F: Future<Output = Result<S, Box<dyn std::error::Error + Send + Sync>>>,
{
    let ring_error = |source| StartError::Ring { shard, source };
    let config = RingConfig {
        recv_buffers: limits::RECV_BUFFERS,
        recv_buffer_bytes: limits::RECV_BUFFER_BYTES,
        ..RingConfig::default()
    };
    let ring = Ring::new(config).map_err(ring_error)?;
    let parker = Parker::new(&ring).map_err(ring_error)?;
    let made = with_ring(&ring, make(Seat { shard, cores, ring: ring.clone() })).await;
    let service =
        made.map_err(ring_error)?.map_err(|source| StartError::Service { shard, source })?;
    Ok((ring, parker, service))
}
