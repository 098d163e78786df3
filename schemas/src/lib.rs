//! kvcore's contract on the wire, shared by servers, clients and tools.
//!
//! No I/O happens here: bytes come in, typed values go out, and the other way round.

pub mod ids;
