//! A whole server, over real sockets and raw frames.
//!
//! | file | what |
//! |---|---|
//! | `client` | a blocking client that can do everything wrong |
//! | `requests` | reads, writes, multi-gets, on one core and over several |
//! | `wire` | cut, torn, wrong and hostile streams |
//! | `pressure` | slow readers, many connections, too many requests |
//! | `counts` | what it says of itself agrees with what it was asked |
//! | `drain` | the end of a server |

#[cfg(test)]
mod client;
#[cfg(test)]
mod counts;
mod drain;
#[cfg(test)]
mod pressure;
mod requests;
mod wire;
