//! The client's first example does what its reader is told, against a real server.

use crate::clients::{run, tool};
use crate::server::{Start, scratch};

#[test]
fn the_quickstart_runs() {
    let dir = scratch();
    let server = Start::on(dir.path()).serve();
    let mut quickstart = tool("quickstart", server.clients(), std::iter::empty::<&str>());
    let said = String::from_utf8(run(&mut quickstart, &[]).fine()).unwrap();
    // Stamps and times are of today.
    let said: Vec<&str> = said
        .lines()
        .map(|line| line.trim_end_matches(" ms").trim_end_matches(|c: char| c.is_ascii_digit()))
        .collect();
    let expected = [
        "connected: 1 node(s), epoch ",
        "put    fruit/1 = apple at ",
        "get    fruit/1 = apple",
        "put    fruit/2 = pear, until ",
        "multi  fruit/1 = apple",
        "multi  fruit/2 = pear",
        "multi  fruit/3 = (none)",
        "ttl    fruit/2 exists: false",
        "delete fruit/1 exists: false",
    ];
    assert_eq!(said, expected);
    server.stop();
}
