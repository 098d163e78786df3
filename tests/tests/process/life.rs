//! The programs work together, and each of them is the one just built.

use std::thread;

use crate::clients::{client, kvbench, kvctl, kvctl_with_input};
use crate::programs::command;
use crate::server::{Start, eventually, scratch};

#[test]
fn what_one_program_writes_the_others_read_after_a_kill_and_after_a_stop() {
    let dir = scratch();
    let value: Vec<u8> = (0..=255).collect();
    let server = Start::on(dir.path()).flags(&["--node-name", "n7"]).serve();
    assert!(server.said("node").starts_with("n7 "), "{}", server.banner());
    kvctl_with_input(server.clients(), ["put", "key"], &value).fine();
    let load = ["load", "--keys", "1000", "--connections", "4", "--pipeline", "16", "-o", "json"];
    let load = kvbench(server.clients(), load);
    assert_eq!(load.json()["errors"], 0, "{load:?}");
    assert!(server.metric("kvcore_puts_total") >= 1001.0);
    server.kill();
    let server = Start::on(dir.path()).cores(2).serve();
    assert!(server.said("node").ends_with("(known), start 2"), "{}", server.banner());
    assert_eq!(kvctl(server.clients(), ["get", "key"]).fine(), value);
    server.stop();
    let server = Start::on(dir.path()).serve();
    assert_eq!(client(server.clients()).get("key").send().unwrap().unwrap().value, value);
    let run = ["run", "--keys", "1000", "--workload", "c", "--ops", "2000", "--warmup", "1ms"];
    let run = kvbench(server.clients(), run.into_iter().chain(["--verify", "-o", "json"]));
    assert_eq!((run.code, &run.json()["errors"]), (0, &0.into()), "{run:?}");
    server.stop();
}

#[test]
fn every_program_has_the_version_of_these_tests() {
    for name in ["kvcore", "kvctl", "kvbench"] {
        let output = command(name).arg("--version").output().unwrap();
        let expected = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    }
}

#[test]
fn a_second_start_on_the_directory_does_not_disturb_a_server_at_work() {
    let dir = scratch();
    let mut server = Start::on(dir.path()).serve();
    let clients = server.clients();
    let args = ["run", "--keys", "1000", "--workload", "a", "--duration", "2s", "-o", "json"];
    let load = thread::spawn(move || kvbench(clients, args));
    eventually("kvbench writes", || server.metric("kvcore_puts_total") > 100.0);
    let (status, said) = Start::on(dir.path()).refused();
    assert_eq!(status, 20, "{said}");
    assert!(said.contains(&format!("process {}", server.pid())), "{said}");
    let load = load.join().unwrap();
    assert_eq!((load.code, &load.json()["errors"]), (0, &0.into()), "{load:?}");
    assert!(server.is_running());
    server.stop();
}
