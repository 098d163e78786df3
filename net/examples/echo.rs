//! The limit that the data path is measured against: the server without its store.
//!
//! Ring, core loop, sessions, frames, checksums and message building are kvcore's own, by
//! construction: only what answers the requests is another. It finds the same value for every key,
//! and takes every write without looking at it.
//!
//! ```text
//! cargo run --release -p net --example echo -- --cores 0 --listen 127.0.0.1:7500
//! ```

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use clap::Parser;
use engine::store::{Failure, Stats};
use net::runtime::Tick;
use net::server::{
    Context, CoreLimits, CoreMemory, FrontConfig, Operation, Outcome, Replies, Request, Server,
    Service,
};
use schemas::frame;
use schemas::handshake::ServerIdentity;
use schemas::ids::{Actor, ClusterId, Dot, Hlc, NodeId, ShardId, Version, VnodeBits};
use schemas::limits::VALUE_BYTES_MAX;
use schemas::message::{
    ConnectionLimits, Delete, Get, GetReply, KeyResult, MultiGet, MultiGetReplyWriter, Put,
    WriteReply,
};
use schemas::status::Status;

/// Answers every request with a fixed value, and stores nothing.
#[derive(Parser)]
struct Options {
    /// CPUs to run on, one core each: 0 or 0,2
    #[arg(long, value_delimiter = ',', default_value = "0")]
    cores: Vec<usize>,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:7500")]
    listen: SocketAddr,
    /// Bytes of the value that every key has
    #[arg(long, default_value_t = 100, value_parser = value_bytes)]
    value_bytes: usize,
    /// Microseconds that a core without work looks for more before it sleeps
    #[arg(long, default_value_t = 20)]
    spin: u64,
}

fn value_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| *bytes <= VALUE_BYTES_MAX);
    bytes.ok_or_else(|| format!("a number of at most {VALUE_BYTES_MAX}"))
}

/// Finds `value` for every key.
struct Echo {
    value: Vec<u8>,
    version: Version,
}

impl Echo {
    fn answer(&self, request: &Request<'_>, own: ShardId, out: &mut Vec<u8>) -> Result<(), Status> {
        let header = request.origin.reply_header(own);
        let version = Some(self.version);
        match request.origin.operation {
            Operation::Get | Operation::Exists => {
                let get = Get::decode(request.body)?;
                let value = if get.key_only { &[][..] } else { &self.value };
                let reply = GetReply { found: true, version, value, ..GetReply::ABSENT };
                frame::append(&header, &reply, out);
            }
            Operation::Put => {
                Put::decode(request.body)?;
                frame::append(&header, &WriteReply::put(self.version, &[]), out);
            }
            Operation::Delete => {
                Delete::decode(request.body)?;
                frame::append(&header, &WriteReply::delete(self.version, &[]), out);
            }
            Operation::MultiGet => {
                let count = MultiGet::decode(request.body)?.key_count();
                let mut writer = MultiGetReplyWriter::new(count);
                let value = &self.value[..];
                for index in 0..count {
                    writer
                        .set(index, KeyResult { found: true, version, value, ..KeyResult::ABSENT });
                }
                writer.encode(&header, out);
            }
            Operation::Scan => return Err(Status::Unsupported),
        }
        Ok(())
    }
}

impl Service for Echo {
    type Message = Infallible;

    fn request(
        &mut self,
        request: &Request<'_>,
        context: &mut Context<'_, Infallible>,
        out: &mut Vec<u8>,
    ) -> Outcome {
        match self.answer(request, context.own, out) {
            Ok(()) => Outcome::Answered,
            Err(status) => {
                request.origin.refuse(context.own, status, out);
                Outcome::Refused(status)
            }
        }
    }

    fn message(
        &mut self,
        _from: ShardId,
        message: Infallible,
        _tick: Tick,
        _replies: &mut Replies<'_, Infallible>,
    ) {
        match message {}
    }

    fn tick(&mut self, _tick: Tick, _replies: &mut Replies<'_, Infallible>) -> Result<(), Failure> {
        Ok(())
    }

    fn idle(&self) -> bool {
        true
    }

    fn drained(&self) -> bool {
        true
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }

    fn stats(&self) -> Option<&Stats> {
        None
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let cores = options.cores.len();
    let node_id = NodeId(NonZeroU64::MIN);
    let config = FrontConfig {
        cpus: options.cores,
        listen: options.listen,
        limits: CoreLimits::default(),
        in_flight_bytes: CoreMemory::BYTES_MIN / 16,
        spin: Duration::from_micros(options.spin),
        identity: ServerIdentity {
            node_id,
            cluster_id: ClusterId(1),
            cluster_name: "echo".to_owned(),
            server: concat!("kvcore-echo ", env!("CARGO_PKG_VERSION")).to_owned(),
            ring_seed: 0,
            vnode_bits: VnodeBits::DEFAULT,
            shards: u16::try_from(cores)?,
            limits: ConnectionLimits::DEFAULT,
        },
    };
    let value = vec![b'v'; options.value_bytes];
    let dot = Dot { actor: Actor { node: node_id, boot: 1 }, counter: 1 };
    let version = Version { hlc: Hlc::from_millis(1), dot };
    let server = Server::start(&config, move |_| {
        let echo = Echo { value: value.clone(), version };
        async { Ok(echo) }
    })?;
    server.serve();
    writeln!(io::stdout(), "echo listens on {}", server.address())?;
    Ok(server.wait()?)
}
