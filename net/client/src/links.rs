//! All connections of a client, and the route that says which one a key goes to.
//!
//! There is at most one connection to each shard of each node of the route, made when it is first
//! needed; those to nodes or shards that a newer route does not have are closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::time::Instant;

use crate::client::no_seed;
use crate::error::Error;
use crate::limits::CONNECTIONS_PER_NODE_MAX;
use crate::link::{Link, Target};
use crate::protocol::{ANY_SHARD, NodeId, RouteNode, RouteReply, ServerInfo, ShardId, Token};
use crate::request::{Answer, Request};
use crate::routing::Route;
use crate::session::Session;

type Key = (NodeId, ShardId);

/// The connections of one client.
#[derive(Debug)]
pub(crate) struct Links {
    session: Arc<Session>,
    seeds: Vec<String>,
    route: RwLock<Arc<Route>>,
    open: Mutex<HashMap<Key, Link, ahash::RandomState>>,
}

/// What a server said of the ring, and the connection it said it on.
struct Learned {
    link: Link,
    route: Route,
    server: Box<ServerInfo>,
}

impl Links {
    /// Learns the ring from the first seed that answers.
    pub(crate) async fn connect(
        session: Arc<Session>,
        seeds: Vec<String>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let learned = ask_seeds(&session, &seeds, deadline).await?;
        let links = Self {
            session,
            seeds,
            route: RwLock::new(Arc::new(learned.route.clone())),
            open: Mutex::default(),
        };
        links.install(learned);
        Ok(links)
    }

    /// The route in use.
    pub(crate) fn route(&self) -> Arc<Route> {
        Arc::clone(&self.route.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The connection for a key's `attempt`-th owner, counted around, and its shard. Where the
    /// route has none, any node: it knows whom to ask.
    pub(crate) fn owner(&self, token: Token, attempt: u32) -> (Link, ShardId) {
        let route = self.route();
        let count = route.owners(token).count();
        let chosen = (count > 0).then(|| attempt as usize % count);
        let owner = chosen.and_then(|index| route.owners(token).nth(index));
        match owner {
            Some(owner) => {
                let node = &route.nodes()[usize::from(owner.node)];
                (self.link(node, owner.shard), owner.shard)
            }
            None => {
                let node = &route.nodes()[attempt as usize % route.nodes().len()];
                (self.link(node, ShardId(0)), ANY_SHARD)
            }
        }
    }

    /// Asks for the route again: the nodes there are, then the seeds.
    pub(crate) async fn refresh(&self, deadline: Instant) -> Result<(), Error> {
        let route = self.route();
        let mut nodes: Vec<&RouteNode> = route.nodes().iter().collect();
        fastrand::shuffle(&mut nodes);
        for node in nodes.into_iter().take(ASKED_MAX) {
            let link = self.link(node, ShardId(0));
            if let Ok(learned) = ask(link, deadline).await {
                self.install(learned);
                return Ok(());
            }
        }
        self.install(ask_seeds(&self.session, &self.seeds, deadline).await?);
        Ok(())
    }

    /// Takes a route into use, unless a newer one is, and closes what it does not name.
    fn install(&self, learned: Learned) {
        let Learned { link, route, server } = learned;
        let route = Arc::new(route);
        {
            let mut current = self.route.write().unwrap_or_else(PoisonError::into_inner);
            if route.epoch() < current.epoch() {
                return;
            }
            *current = Arc::clone(&route);
        }
        self.session.routed_by(route.epoch());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(id, shard), link| {
            let node = route.node(*id);
            node.is_some_and(|it| shard.0 < it.shards && it.address == link.target().address)
        });
        // The connection to a seed is as good as one that was made for its shard.
        let known = route.node(server.node_id);
        if known.is_some_and(|node| node.address == link.target().address) {
            open.entry((server.node_id, slot(server.shard))).or_insert(link);
        }
    }

    fn link(&self, node: &RouteNode, shard: ShardId) -> Link {
        let shard = slot(shard);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let target = Target { address: node.address.clone(), shard: Some(shard) };
            Link::start(Arc::clone(&self.session), target)
        };
        open.entry((node.id, shard)).or_insert_with(start).clone()
    }
}

/// Nodes that are asked for the route before the seeds are.
const ASKED_MAX: usize = 3;

/// The shard whose connection serves `shard`.
fn slot(shard: ShardId) -> ShardId {
    ShardId(shard.0 % CONNECTIONS_PER_NODE_MAX)
}

async fn ask(link: Link, deadline: Instant) -> Result<Learned, Error> {
    match link.call(Request::Route, ANY_SHARD, deadline).await? {
        Answer::Route(route, server) => learned(link, *route, server),
        other => Err(Error::protocol(format!("the route was answered with {other:?}"))),
    }
}

fn learned(link: Link, route: RouteReply, server: Box<ServerInfo>) -> Result<Learned, Error> {
    if route.nodes.is_empty() {
        return Err(Error::protocol("a route without nodes"));
    }
    let route = Route::new(route, server.ring_seed, &link.target().address);
    Ok(Learned { link, route, server })
}

async fn ask_seeds(
    session: &Arc<Session>,
    seeds: &[String],
    deadline: Instant,
) -> Result<Learned, Error> {
    let mut failures = Vec::new();
    for seed in seeds {
        let target = Target { address: seed.clone(), shard: None };
        match ask(Link::start(Arc::clone(session), target), deadline).await {
            Ok(learned) => return Ok(learned),
            Err(error) => failures.push((seed.clone(), error)),
        }
    }
    Err(no_seed(&failures))
}
