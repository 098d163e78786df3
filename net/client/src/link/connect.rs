//! From an address to a connection that takes requests.

use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::Error;
use crate::limits::{CONNECT_TIMEOUT, RECEIVE_BYTES};
use crate::protocol::{Applied, Connection, ConnectionError, Event, ServerInfo, ShardId, Status};
use crate::session::Session;

/// Where a connection goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) address: String,
    /// The shard to be connected to; `None` for any.
    pub(crate) shard: Option<ShardId>,
}

/// A connection whose handshake is done; it may be closing already.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) connection: Connection,
    pub(super) server: ServerInfo,
}

/// Connects and shakes hands.
pub(super) async fn connect(session: &Session, target: &Target) -> Result<Connected, Error> {
    let address = &target.address;
    match timeout(CONNECT_TIMEOUT, open(session, target)).await {
        Ok(result) => result,
        Err(_) => Err(Error::unavailable(Applied::No, format!("{address} does not answer"))),
    }
}

async fn open(session: &Session, target: &Target) -> Result<Connected, Error> {
    let failed =
        |error: io::Error| Error::unavailable(Applied::No, format!("{}: {error}", target.address));
    let stream = TcpStream::connect(&target.address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let mut out = Vec::new();
    let mut connection = Connection::new(session.hello(target.shard), &mut out);
    write_all(&stream, &out).await.map_err(failed)?;
    let mut input = vec![0; RECEIVE_BYTES];
    while connection.server().is_none() {
        stream.readable().await.map_err(failed)?;
        let received = match stream.try_read(&mut input) {
            Ok(0) => return Err(failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = &input[..received];
        // To its end: a server may push something right behind its reply.
        while let Some(event) = connection.next(&mut bytes).map_err(|e| broken(target, &e))? {
            match event {
                Event::Refused(reply) => return Err(Error::reply(&reply).not_applied()),
                Event::RingChanged { epoch } => session.saw_epoch(epoch),
                Event::Draining { .. } => session.route_is_old.notify_one(),
                Event::Ready | Event::Reply { .. } | Event::Ignored => {}
            }
        }
    }
    let server = connection.server().expect("the handshake is done").clone();
    if !session.join(server.cluster_id) {
        return Err(Error::refused(Status::WrongCluster));
    }
    Ok(Connected { stream, connection, server })
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection that broke during its handshake.
fn broken(target: &Target, error: &ConnectionError) -> Error {
    match error {
        ConnectionError::Handshake(status) => Error::refused(*status).not_applied(),
        _ => Error::protocol(format!("{}: {error}", target.address)).not_applied(),
    }
}
