//! kvcore's contract on the wire, shared by servers, clients and tools.
//!
//! No I/O happens here: bytes come in, typed values go out, and the other way round. The bytes are
//! drawn in `PROTOCOL.md`.

pub mod clock;
pub mod consistency;
pub mod decoder;
pub mod frame;
pub mod handshake;
pub mod header;
pub mod ids;
pub mod kind;
pub mod limits;
pub mod message;
pub mod status;

mod generated;
