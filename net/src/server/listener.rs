//! The listening sockets: one for each core, on one port.
//!
//! Each core accepts for itself (`SO_REUSEPORT`), so a flood of connections is everybody's work;
//! the kernel's uneven spread does not matter, because a connection is then placed: on the shard
//! that its handshake asks for, or else on each core in turn.
//!
//! `SO_REUSEPORT` would also let a second server of the same user take half of the connections, so
//! the port is first bound without it: a port in use is an error before anything starts.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

use crate::limits::SEND_BUFFER_BYTES;

/// Connections the kernel keeps for us while we are busy.
const BACKLOG: i32 = 1024;

/// One core's listening socket.
pub struct Listener(OwnedFd);

impl Listener {
    /// A listener for each of `cores` cores, and the address they listen on, which is `address`
    /// with a port.
    ///
    /// # Errors
    /// Most likely that the port is in use, or the address is not one of this machine.
    pub fn bind(address: SocketAddr, cores: usize) -> io::Result<(Vec<Self>, SocketAddr)> {
        let probe = TcpListener::bind(address)?;
        let address = probe.local_addr()?;
        drop(probe);
        let listeners = (0..cores).map(|_| Self::bind_one(address)).collect::<io::Result<_>>()?;
        Ok((listeners, address))
    }

    fn bind_one(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        // Connections inherit these two.
        socket.set_tcp_nodelay(true)?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self(socket.into()))
    }

    /// The socket.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn connections_inherit_what_is_set_on_their_listener() {
        let (mut listeners, address) = Listener::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let listener = Socket::from(listeners.pop().unwrap().into_socket());
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.send_buffer_size().unwrap(), 2 * SEND_BUFFER_BYTES);
    }

    #[test]
    fn a_port_in_use_is_an_error_even_for_ourselves() {
        let (listeners, address) = Listener::bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(listeners.len(), 3);
        let again = Listener::bind(address, 1).err().unwrap();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    }
}
