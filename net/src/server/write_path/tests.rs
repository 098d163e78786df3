//! Shards on simulated disks, whose wall clock jumps and whose requests come from another core.

use std::num::NonZeroU64;
use std::sync::Arc;

use engine::env::ring::{Ring, RingConfig};
use engine::env::sim::{Sim, SimDisk, SimEnv};
use engine::record;
use engine::store::{Store, StoreConfig};
use schemas::consistency::Consistency;
use schemas::header::Header;
use schemas::ids::{Actor, NodeId, ShardId, Token, VnodeBits};
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::ErrorReply;

use super::*;
use crate::mesh::mesh;
use crate::server::connections::Connections;
use crate::server::{
    Admission, Ceiling, CoreLimits, Message, Operation, Origin, Outbox, Service, ShardIdentity,
    SocketId,
};

const SHARDS: u16 = 2;
const DIR: &str = "shard";

/// One core of a node, whose clients are all connected to the other one.
struct Core {
    shard: Shard<SimEnv>,
    env: SimEnv,
    connections: Connections,
    outbox: Outbox<ShardMessage>,
    /// Where its replies go.
    other: Outbox<ShardMessage>,
    client: SocketId,
    _ring: Ring,
}

impl Core {
    fn open(sim: &Sim, own: ShardId, ceiling: &Arc<Ceiling>) -> Self {
        let identity = ShardIdentity {
            own,
            shards: SHARDS,
            vnode_bits: VnodeBits::DEFAULT,
            ring_seed: 0,
            actor: Actor { node: NodeId(NonZeroU64::MIN), boot: 1 },
            hlc_floor: Hlc(0),
        };
        let env = sim.env(&SimDisk::new(u64::from(own.0)));
        let config = StoreConfig::new(1, own, identity.tokens().unwrap(), 8 << 20);
        let opened = sim.block_on(async {
            env.create_dir(DIR).await.unwrap();
            Store::open(env.clone(), DIR, config, record::lww).await
        });
        let ring = Ring::new(RingConfig::default()).unwrap();
        let client = ring.adopt(std::os::unix::net::UnixStream::pair().unwrap().0.into());
        let admission = Admission::new(CoreLimits::default(), 1 << 20);
        let mut ports: Vec<_> = mesh(SHARDS, 16).into_iter().map(Outbox::new).collect();
        let other = ports.remove(usize::from(1 - own.0));
        Self {
            shard: Shard::new(identity, opened.unwrap().0, ceiling.clone()),
            env,
            connections: Connections::new(ring.clone(), admission, own, SHARDS),
            outbox: ports.remove(0),
            other,
            client,
            _ring: ring,
        }
    }

    /// A key that belongs to this core.
    fn key(&self) -> [u8; 4] {
        let identity = &self.shard.identity;
        let owned = |key: &[u8; 4]| identity.owner(Token::of(key, 0)) == identity.own;
        (0..u32::MAX).map(u32::to_be_bytes).find(owned).unwrap()
    }

    fn tick(&self) -> Tick {
        Tick { now_us: self.env.monotonic_us(), wall_ms: self.env.wall_ms() }
    }

    /// Sends a put from a client that has seen `seen`.
    fn put(&mut self, seen: Hlc) {
        let mut body = Vec::new();
        let put = Put {
            namespace: NamespaceId::DEFAULT,
            key: &self.key(),
            context: &[],
            value: b"v",
            ttl_ms: 0,
            consistency: Consistency::Default,
            hlc_seen: seen,
        };
        frame::append(&Header::request(1), &put, &mut body);
        let body = frame::read(&body, FRAME_BYTES_MAX).unwrap().unwrap().0.body.to_vec();
        let (core, tick) = (ShardId(1 - self.shard.identity.own.0), self.tick());
        let (connection, operation) = (self.client, Operation::Put);
        let origin = Origin {
            core,
            connection,
            request_id: 1,
            bytes: 0,
            operation,
            arrived_us: tick.now_us,
        };
        let request = Request { origin, deadline_us: u64::MAX, body: &body };
        let mut refusal = Vec::new();
        self.with_replies(|shard, replies| {
            let outcome = shard.request(&request, &mut replies.context(tick), &mut refusal);
            if outcome != Outcome::UnderWay {
                replies.reply_frame(&origin, refusal);
            }
        });
    }

    fn with_replies(
        &mut self,
        act: impl FnOnce(&mut Shard<SimEnv>, &mut Replies<'_, ShardMessage>),
    ) {
        let Self { shard, connections, outbox, .. } = self;
        let own = shard.identity.own;
        act(shard, &mut Replies { own, connections, outbox });
        self.outbox.publish();
    }

    /// The stamp of the put that was sent, or why it was refused.
    fn answer(&mut self, sim: &Sim) -> Result<Hlc, Status> {
        loop {
            let tick = self.tick();
            self.with_replies(|shard, replies| shard.tick(tick, replies).unwrap());
            if let Some((_, Message::Reply { frame, .. })) = self.other.try_recv() {
                let (frame, _) = frame::read(&frame, FRAME_BYTES_MAX).unwrap().unwrap();
                return match frame.kind().unwrap() {
                    schemas::kind::Kind::Error => {
                        Err(ErrorReply::decode(&frame).unwrap().status().unwrap())
                    }
                    kind => Ok(WriteReply::decode(kind, frame.body).unwrap().version.hlc),
                };
            }
            sim.block_on(self.env.sleep_us(10));
        }
    }
}

/// The wall clock was set back by an hour and each client that had been given a stamp before was
/// refused for as long, by the core that gave it and, where stamps were compared with that core's
/// alone, by every other one.
#[test]
fn a_wall_clock_that_jumps_back_refuses_no_stamp_of_any_core() {
    let sim = Sim::new(1);
    let ceiling = Arc::new(Ceiling::new(Hlc(u64::MAX >> 1), usize::from(SHARDS)));
    let mut cores = [0, 1].map(|own| Core::open(&sim, ShardId(own), &ceiling));
    cores[0].put(Hlc(0));
    let mut seen = cores[0].answer(&sim).unwrap();
    sim.jump_wall_clock(-3_600_000);
    for core in [1, 0, 1] {
        cores[core].put(seen);
        let stamp = cores[core].answer(&sim).unwrap();
        assert!(stamp > seen);
        seen = stamp;
    }
    for core in &mut cores {
        core.put(Hlc(seen.0 + 1));
        assert_eq!(core.answer(&sim), Err(Status::StampAhead), "no core has given it");
    }
}

/// A drain that ran out of time closed the store with puts under way. It made them durable, but the
/// ceiling that was written at the end was that of the puts acknowledged before: the next start
/// could have given their stamps again.
#[test]
fn a_shard_that_closes_with_puts_under_way_publishes_their_stamps() {
    let sim = Sim::new(1);
    let ceiling = Arc::new(Ceiling::new(Hlc(u64::MAX >> 1), usize::from(SHARDS)));
    let mut core = Core::open(&sim, ShardId(1), &ceiling);
    core.put(Hlc(0));
    assert!(!core.shard.drained());
    let given = core.shard.clock.last();
    sim.block_on(core.shard.close()).unwrap();
    assert_eq!(ceiling.used(), given);
}
