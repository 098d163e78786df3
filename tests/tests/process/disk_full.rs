//! A full disk: writes are refused by name, reads and deletes go on, the server stays up, space
//! that comes back is used without a restart, and nothing acknowledged is lost. As root: a small
//! file system is mounted.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use kvclient::blocking::Client;
use kvclient::protocol::Status;
use kvclient::{Bytes, ErrorKind};

use crate::clients::{client, kvctl};
use crate::server::{Server, Start, eventually};
use crate::small_disk::SmallDisk;

const MIB: u64 = 1 << 20;

/// The last acknowledged value of each key.
type Acknowledged = BTreeMap<String, Bytes>;

/// Values of half a MiB under new keys until one is refused because the disk is full.
fn write_until_full(writer: &Client, acknowledged: &mut Acknowledged) {
    for index in acknowledged.len().. {
        let key = format!("key {index}");
        let mut value = vec![0; 512 << 10];
        fastrand::Rng::with_seed(index as u64).fill(&mut value);
        let value = Bytes::from(value);
        match writer.put(&key, value.clone()).send() {
            Ok(_) => drop(acknowledged.insert(key, value)),
            Err(error) if error.kind() == ErrorKind::DiskFull => {
                assert_eq!(error.status(), Some(Status::DiskFull));
                assert!(error.is_retryable(), "it may succeed later: {error}");
                return;
            }
            // Writes wait for a flush now and then.
            Err(error) if error.kind() == ErrorKind::Overloaded => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{key}: {error}"),
        }
        assert!(acknowledged.len() < 1 << 10, "more went into the disk than it has");
    }
}

fn assert_all_there(server: &Server, acknowledged: &Acknowledged) {
    let reader = client(server.clients());
    for (key, value) in acknowledged {
        let found = reader.get(key).send().unwrap_or_else(|error| panic!("{key}: {error}"));
        assert!(found.is_some_and(|entry| entry.value == value), "{key} is not what was put");
    }
}

fn puts_work_again(server: &Server, acknowledged: &mut Acknowledged) {
    let writer = client(server.clients());
    eventually("puts work again", || match writer.put("after", "space").send() {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            false
        }
    });
    acknowledged.insert("after".to_owned(), Bytes::from_static(b"space"));
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let disk = SmallDisk::mount(400 * MIB);
    let data = disk.root().join("data");
    let mut server = Start::on(&data).serve();
    let mut acknowledged = Acknowledged::new();
    // Somebody else's file.
    disk.fill("filler", 220 * MIB);
    let writer = client(server.clients());
    write_until_full(&writer, &mut acknowledged);
    assert!(acknowledged.len() > 20, "{} values fit", acknowledged.len());
    assert!(server.is_running());
    assert!(server.metric("kvcore_puts_disk_full_total") > 0.0);

    // Reads go on, deletes are taken, health is told, and kvctl says why a put fails.
    assert_all_there(&server, &acknowledged);
    let (gone, _) = acknowledged.pop_first().unwrap();
    writer.delete(&gone).send().unwrap();
    assert!(writer.get(&gone).send().unwrap().is_none());
    assert_eq!(server.get("/healthz").0, 200);
    // A smaller one may still have room where a large one had none, and a flush gives some back:
    // all of them together are as much as there can be.
    let value = "v".repeat(100_000);
    let mut puts = (0..500).map(|_| kvctl(server.clients(), ["put", "key", &value]));
    let put = puts.find(|put| put.code != 0).expect("one is refused");
    assert_eq!(put.code, 1);
    assert!(put.stderr.contains("disk is full"), "{}", put.stderr);

    // Killed while it is full: all is there, and writes are refused again, once what little the
    // start gave back, of files that the kill left unfinished, is used up.
    server.kill();
    let server = Start::on(&data).serve();
    assert_all_there(&server, &acknowledged);
    assert!(client(server.clients()).get(&gone).send().unwrap().is_none());
    write_until_full(&client(server.clients()), &mut acknowledged);
    assert_all_there(&server, &acknowledged);

    // Space comes back from outside, without a restart; all of it is used, and it is full again.
    fs::remove_file(disk.root().join("filler")).unwrap();
    puts_work_again(&server, &mut acknowledged);
    write_until_full(&client(server.clients()), &mut acknowledged);
    assert_all_there(&server, &acknowledged);
    server.stop();
    let server = Start::on(&data).serve();
    assert_all_there(&server, &acknowledged);
    server.stop();
}
