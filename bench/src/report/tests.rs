//! The JSON's shape is a contract: what is asserted here is what scripts read.

use std::num::NonZeroU64;
use std::time::Duration;

use kvclient::protocol::{
    ClusterId, ConnectionLimits, Consistency, NamespaceId, NodeId, ServerInfo, ShardId, VnodeBits,
};
use serde_json::Value;

use super::*;
use crate::distribution::Shape;
use crate::generator::{Failure, LaneSpec, Tally};
use crate::latency::Kind;
use crate::runner::{Outcome, RunSpec, SecondOutcome, Target};
use crate::wire::Terms;
use crate::workload::{Mix, ValueBytes};

fn spec() -> RunSpec {
    RunSpec {
        target: Target::Kv,
        seeds: vec!["127.0.0.1:7400".to_owned()],
        namespace: String::new(),
        lanes: vec![LaneSpec {
            connections: 50,
            pipeline: 4,
            mix: Mix::ycsb('a').unwrap(),
            shape: Shape::Zipf,
            keys: 1_000,
            rate: Some(2_000),
            operations: None,
            retry: false,
        }],
        value: ValueBytes::new(100, 100).unwrap(),
        terms: Terms { consistency: Consistency::Default, ttl_ms: 0, deadline_us: 0 },
        duration: Some(Duration::from_secs(2)),
        warmup: Duration::from_secs(1),
        patience: Duration::from_secs(10),
        threads: 1,
        cores: vec![1],
        routed: true,
        verify: true,
        ledger: None,
        seed: 7,
        server_pid: Some(1),
    }
}

fn outcome() -> Outcome {
    let mut tally = Tally {
        sent: 3_000,
        unsent: 1_000,
        completed: 2_990,
        in_window: 2_980,
        ..Tally::default()
    };
    (1..=1_000u64).for_each(|us| tally.latencies[Kind::Get as usize].record(0, 0, us * 1_000));
    tally.latencies[Kind::Put as usize].record(0, 5_000_000, 8_000_000);
    tally.errors.insert(Failure::Refused(64), 9);
    tally.errors.insert(Failure::NoReply, 1);
    tally.not_found = 4;
    Outcome {
        tally,
        account: None,
        measured: Duration::from_secs(2),
        open_loop: true,
        idle_percent: Some(40.0),
        generator_cpu: Duration::from_millis(1_500),
        server_cpu: Some(Duration::from_millis(1_001)),
        server: ServerInfo {
            node_id: NodeId(NonZeroU64::new(0xab).unwrap()),
            cluster_id: ClusterId(0xcd),
            cluster_name: "kvcore".to_owned(),
            server: "kvcore 0.1.0".to_owned(),
            ring_seed: 0,
            vnode_bits: VnodeBits::DEFAULT,
            epoch: 3,
            shards: 2,
            shard: ShardId(0),
            namespace: NamespaceId::DEFAULT,
            limits: ConnectionLimits::DEFAULT,
        },
        connections_per_shard: vec![25, 25],
        seconds: vec![SecondOutcome {
            requests: 1_500,
            errors: 10,
            p50: 500_000,
            p99: 990_000,
            max: 1_000_000,
        }],
        interrupted: false,
    }
}

fn environment() -> Environment {
    Environment {
        cpu: "A CPU".to_owned(),
        cpus: 2,
        memory_bytes: 1 << 30,
        kernel: "6.18".to_owned(),
        version: "0.1.0",
        commit: Some("abc".to_owned()),
        command: vec!["kvbench".to_owned(), "run".to_owned()],
    }
}

#[test]
fn the_json_has_the_promised_shape() {
    let wanted: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let got = serde_json::to_value(Report::new(&spec(), &outcome(), environment())).unwrap();
    assert!(got == wanted, "{got:#}");
}

#[test]
fn a_run_that_wrote_nothing_still_reports_puts() {
    let report =
        Report::new(&spec(), &Outcome { tally: Tally::default(), ..outcome() }, environment());
    assert_eq!(report.ops.keys().copied().collect::<Vec<_>>(), ["get", "put"]);
    assert_eq!(report.ops["put"].count, 0);
    assert_eq!(report.server_cpu.unwrap().us_per_request, None);
}

#[test]
fn the_table_says_what_matters() {
    let text = table(&Report::new(&spec(), &outcome(), environment()));
    for wanted in [
        "1,490 operations/s over 2.0 s",
        "2,000 operations/s; 4,000 due, 3,000 sent, 2,990 completed",
        "no_reply 1, overloaded 9",
        "990.2 us",
        "8.00 ms",
        "1000.000 us a request",
        "kvcore 0.1.0, 2 shards",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
}
