//! One request to a node's admin port.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context as _, bail};

/// Longer than a node takes to answer any request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of an answer that are read: ten thousand snapshots.
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What a node answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Asks the node whose admin port is `address`.
///
/// # Errors
/// It cannot be reached, or speaks no HTTP.
pub(crate) fn ask(address: &str, method: &str, path: &str) -> anyhow::Result<Answer> {
    let cannot = || format!("cannot ask the node at {address}, its admin port");
    exchange(address, method, path).with_context(cannot)
}

fn exchange(address: &str, method: &str, path: &str) -> anyhow::Result<Answer> {
    let mut refused = None;
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, PATIENCE) {
            Ok(stream) => return talk(stream, address, method, path),
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => bail!("it has no address"),
    }
}

fn talk(mut stream: TcpStream, address: &str, method: &str, path: &str) -> anyhow::Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!("Host: {address}\r\nContent-Length: 0\r\nConnection: close\r\n");
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    parse(&answer).context("it does not answer as HTTP")
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    // Of lengths it knows: it sends no other.
    let is_plain = !head.to_ascii_lowercase().contains("transfer-encoding");
    is_plain.then(|| Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse("HTTP/1.1 409 Conflict\r\ncontent-length: 3\r\n\r\nno\n").unwrap();
        assert_eq!((answer.status, &*answer.body), (409, "no\n"));
        for other in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 xyz\r\n\r\n", "HTTP/1.1 \r\n\r\n"] {
            assert_eq!(parse(other), None, "{other:?}");
        }
        assert_eq!(parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), None);
    }
}
