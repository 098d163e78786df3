//! A full compaction that an operator asks a running node for.

use crate::clients::{client, run};
use crate::programs;
use crate::server::{Start, scratch};

/// Deletes give back what they deleted, and themselves; what is left is there.
#[test]
fn what_is_deleted_is_given_back_when_a_node_is_told_to_compact() {
    let data = scratch();
    let server = Start::on(data.path()).cores(2).serve();
    let writer = client(server.clients());
    for index in 0..80 {
        writer.put(format!("key {index}"), vec![index as u8; 100_000]).send().unwrap();
    }
    let admin = server.said("admin").strip_prefix("http://").unwrap().to_owned();
    // It begins with a flush: the values are in tables when they are deleted.
    let snapshot = ["snapshot", "create", "before", "--admin", &admin];
    assert_eq!(run(programs::command("kvctl").args(snapshot), &[]).code, 0);
    for index in 1..80 {
        writer.delete(format!("key {index}")).send().unwrap();
    }
    let compact = ["compact", "-q", "-o", "json", "--admin", &admin];
    let told = run(programs::command("kvctl").args(compact), &[]).json();
    assert_eq!(told["state"], "done", "{told}");
    let bytes = |name: &str| told[name].as_u64().unwrap();
    assert!(bytes("table_bytes_before") > 5_000_000, "{told}");
    assert!(bytes("table_bytes") < 500_000, "{told}");
    assert_eq!(writer.get("key 0").send().unwrap().unwrap().value, vec![0; 100_000]);
    assert!(writer.get("key 1").send().unwrap().is_none());
}
