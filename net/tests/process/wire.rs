//! The little that these tests say to a server: a handshake and puts.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use schemas::consistency::Consistency;
use schemas::frame;
use schemas::header::Header;
use schemas::ids::{Hlc, NamespaceId};
use schemas::kind::Kind;
use schemas::limits::FRAME_BYTES_MAX;
use schemas::message::{Handshake, Put, WriteReply};

/// A connection whose handshake is done.
pub(crate) struct Wire {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Wire {
    /// Connects to a server that serves, or is about to.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut wire = Self { stream: TcpStream::connect(address)?, received: Vec::new() };
        let handshake = Handshake {
            version_min: 1,
            version_max: 1,
            features: 0,
            cluster_name: "",
            cluster_id: None,
            client_name: "test",
            wanted_shard: None,
            namespace: "",
        };
        let mut out = Vec::new();
        handshake.encode(&Header::request(0), &mut out);
        wire.stream.write_all(&out)?;
        assert_eq!(wire.receive()?.0, Kind::HandshakeReply);
        Ok(wire)
    }

    /// Puts, and waits for the stamp of the acknowledgement.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<Hlc> {
        let put = Put {
            namespace: NamespaceId::DEFAULT,
            key,
            context: &[],
            value,
            ttl_ms: 0,
            consistency: Consistency::Default,
            hlc_seen: Hlc(0),
        };
        let mut out = Vec::new();
        frame::append(&Header::request(1), &put, &mut out);
        self.stream.write_all(&out)?;
        let (kind, body) = self.receive()?;
        Ok(WriteReply::decode(kind, &body).unwrap().version.hlc)
    }

    /// Receives until the server closes.
    pub(crate) fn await_end(&mut self) {
        while self.receive().is_ok() {}
    }

    /// The next frame.
    fn receive(&mut self) -> io::Result<(Kind, Vec<u8>)> {
        loop {
            if let Some((frame, len)) = frame::read(&self.received, FRAME_BYTES_MAX).unwrap() {
                let (kind, body) = (frame.kind().unwrap(), frame.body.to_vec());
                self.received.drain(..len);
                return Ok((kind, body));
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
