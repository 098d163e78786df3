//! The threads of a run together: connect, start at once, watch, collect.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::{Context as _, bail};
use kvclient::protocol::{ServerInfo, ShardId};
use kvclient::routing;

use super::conductor::{Conductor, Message, Second, Start};
use super::outcome::Outcome;
use super::spec::{RunSpec, Target};
use super::worker::{Left, Worker};
use crate::distribution::Share;
use crate::generator::{Generator, LaneSpec, Nanos, Plan, Route};
use crate::ring::Ring;
use crate::wire::Wire;
use crate::workload::Values;

/// What every thread needs to know.
struct Shared<'a> {
    spec: &'a RunSpec,
    address: SocketAddr,
    server: &'a ServerInfo,
    route: Option<routing::Route>,
    values: Values,
    stop: &'a AtomicBool,
}

/// Runs `spec`, calling `on_second` once a second, until it is over or `stop` is set. Calls
/// `before_start` when all is connected and nothing was sent.
///
/// # Errors
/// A sentence for a person: no server, not enough connections, a CPU that may not be used; what
/// `before_start` says.
pub fn run(
    spec: &RunSpec,
    stop: &AtomicBool,
    before_start: impl FnOnce() -> anyhow::Result<()>,
    mut on_second: impl FnMut(&Second),
) -> anyhow::Result<Outcome> {
    let (address, mut stream, mut wire) = Wire::find(&spec.seeds, &spec.namespace, spec.terms)?;
    let server = wire.server().clone();
    check(spec, &wire)?;
    let routed = spec.routed && spec.target == Target::Kv && server.shards > 1;
    let route = if routed { Some(wire.route(&mut stream)?) } else { None };
    drop((stream, wire));

    let values = Values::new(spec.value);
    let shared = Shared { spec, address, server: &server, route, values, stop };
    let (messages, inbox) = channel();
    thread::scope(|scope| {
        let mut starters = Vec::new();
        for index in 0..spec.threads {
            let (starter, start) = channel();
            let (shared, messages) = (&shared, messages.clone());
            starters.push(starter);
            thread::Builder::new().name(format!("load-{index}")).spawn_scoped(
                scope,
                move || {
                    let done = work(shared, index, &start, &messages);
                    let _ = messages.send(Message::Done(done));
                },
            )?;
        }
        // The inbox ends when the last thread does.
        drop(messages);
        let mut conductor = Conductor::new(spec, &inbox);
        conductor.gather()?;
        before_start()?;
        conductor.start(&starters);
        conductor.watch(&mut on_second)?;
        Ok(conductor.outcome(server.clone(), stop.load(Ordering::Relaxed)))
    })
}

/// Whether the server takes what the run would send.
fn check(spec: &RunSpec, wire: &Wire) -> anyhow::Result<()> {
    let value_bytes_max = wire.server().limits.value_bytes_max as usize;
    if spec.value.max() > value_bytes_max {
        bail!("the server takes values of at most {value_bytes_max} bytes");
    }
    wire.takes_in_flight(spec.lanes.iter().map(|lane| lane.pipeline).max().unwrap_or(0))
}

/// One thread: pins itself, connects, waits for the start, works.
fn work(
    shared: &Shared<'_>,
    index: usize,
    start: &Receiver<Start>,
    messages: &Sender<Message>,
) -> anyhow::Result<Box<Left>> {
    let Shared { spec, .. } = *shared;
    pin(&spec.cores, index)?;
    let share = Share { index: index as u64, count: spec.threads as u64 };
    let connections = |lane: &LaneSpec| share.of(lane.connections as u64) as usize;
    let mut ring = Ring::new(spec.lanes.iter().map(connections).sum())
        .context("no io_uring: the load generator needs Linux 6.1 or newer, and permission")?;
    let mut wires = Vec::new();
    let mut lanes = Vec::new();
    for lane in &spec.lanes {
        let mut shards = Vec::new();
        for number in 0..connections(lane) {
            let wanted = ShardId(((number + index) % usize::from(shared.server.shards)) as u16);
            let (stream, wire) =
                Wire::connect(shared.address, &spec.namespace, Some(wanted), spec.terms)?;
            shards.push(usize::from(wire.server().shard.0));
            ring.add(stream)?;
            wires.push(wire);
        }
        lanes.push((lane, shards));
    }
    let all = lanes.iter().flat_map(|(_, shards)| shards.clone()).collect();
    messages.send(Message::Ready(all)).context("the run was given up")?;
    let Ok(Start { origin, window }) = start.recv() else { bail!("the run was given up") };

    let generator = Generator::new(Plan {
        lanes,
        route: shared.route.clone().map(|route| shard_of(route, shared.server)),
        share,
        seed: spec.seed,
        window,
        values: shared.values.clone(),
        verify: spec.verify,
        ledger: spec.ledger,
    });
    let worker = Worker {
        ring,
        wires,
        generator,
        values: shared.values.clone(),
        open_loop: spec.lanes.iter().any(|lane| lane.rate.is_some()),
        origin,
        until: window.until,
        patience: spec.patience.as_nanos() as Nanos,
        stop: shared.stop,
        messages,
    };
    Ok(Box::new(worker.run()?))
}

fn pin(cores: &[usize], index: usize) -> anyhow::Result<()> {
    let Some(&core) = cores.get(index % cores.len().max(1)) else { return Ok(()) };
    if !core_affinity::set_for_current(core_affinity::CoreId { id: core }) {
        bail!("cannot run on CPU {core}");
    }
    Ok(())
}

/// The shard, of the node that the connections go to, that holds a key.
fn shard_of(route: routing::Route, server: &ServerInfo) -> Route {
    let node = route.nodes().iter().position(|node| node.id == server.node_id);
    Box::new(move |key| {
        let mut owners = route.owners(route.token(key));
        owners
            .find(|owner| Some(usize::from(owner.node)) == node)
            .map_or(0, |owner| usize::from(owner.shard.0))
    })
}
