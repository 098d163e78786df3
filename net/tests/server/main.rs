//! A whole server, over real sockets and raw frames.
//!
//! | file | what |
//! |---|---|
//! | `client` | a blocking client that can do everything wrong |
//! | `requests` | reads, writes, multi-gets, on one core and over several |
//! | `wire` | cut, torn, wrong and hostile streams |
//! | `pressure` | slow readers, many connections, too many requests |
//! | `drain` | the end of a server |

#[cfg(test)]
mod client;
mod drain;
#[cfg(test)]
mod pressure;
mod requests;
mod wire;
