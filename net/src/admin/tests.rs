use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use engine::manifest::LEVELS;
use engine::store::Stats;
use schemas::ids::ShardId;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::*;
use crate::server::{CoreStats, FrontStats};

/// Two cores, the second of which may have stopped answering.
struct Fixed {
    second_answers: bool,
}

impl Scrape for Fixed {
    async fn scrape(&self) -> Vec<Option<CoreStats>> {
        let mut tables = [0; LEVELS];
        tables[0] = 2;
        let core = |shard, puts| CoreStats {
            shard: ShardId(shard),
            ticks: 5,
            parks: 1,
            front: FrontStats { connections: 3, bytes_in: 1000, ..FrontStats::default() },
            store: Some(Stats { puts, tables, ..Stats::default() }),
        };
        vec![Some(core(0, 41)), self.second_answers.then(|| core(1, 42))]
    }
}

fn facts() -> Facts {
    let (writer, _guard) = tracing_appender::non_blocking(std::io::sink());
    Facts::now("1.2.3", "n1".to_owned(), "shop".to_owned(), writer.error_counter())
}

fn with_admin<F: Future<Output = ()>>(
    second_answers: bool,
    test: impl FnOnce(SocketAddr, Arc<Readiness>) -> F,
) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Arc::new(Readiness::default());
        let serving = serve(listener, facts(), Arc::clone(&readiness), Fixed { second_answers });
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = test(address, readiness) => {}
        }
    });
}

/// Status and body of a GET, asked from another thread.
async fn get(address: SocketAddr, path: &'static str) -> (u16, String) {
    let ask = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[test]
fn readiness_follows_the_server() {
    with_admin(true, |address, readiness| async move {
        assert_eq!(get(address, "/readyz").await, (503, "starting\n".to_owned()));
        readiness.set(Stage::Serving);
        assert_eq!(get(address, "/readyz").await, (200, "ready\n".to_owned()));
        readiness.set(Stage::Draining);
        assert_eq!(get(address, "/readyz").await, (503, "draining\n".to_owned()));
        assert_eq!(get(address, "/healthz").await.0, 200);
        assert_eq!(get(address, "/nothing").await.0, 404);
        assert!(get(address, "/").await.1.contains("kvcore 1.2.3\nnode n1 of cluster shop"));
    });
}

#[test]
fn a_silent_core_is_unhealthy_and_does_not_hide_the_others() {
    with_admin(false, |address, _| async move {
        assert_eq!(get(address, "/healthz").await, (503, "core 1 does not answer\n".to_owned()));
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(text.contains("kvcore_core_up{core=\"1\"} 0\n"), "{text}");
        assert!(text.contains("kvcore_puts_total{core=\"0\"} 41\n"), "{text}");
        assert!(!text.contains("kvcore_puts_total{core=\"1\"}"), "{text}");
    });
}

#[test]
fn metrics_are_open_metrics_of_every_core() {
    with_admin(true, |address, _| async move {
        let (_, text) = get(address, "/metrics").await;
        for line in [
            "# TYPE kvcore_puts counter",
            "kvcore_puts_total{core=\"0\"} 41",
            "kvcore_puts_total{core=\"1\"} 42",
            "kvcore_connections{core=\"1\"} 3",
            "kvcore_received_bytes_total{core=\"0\"} 1000",
            "kvcore_tables{level=\"0\"} 4",
            "kvcore_build_info{version=\"1.2.3\",node=\"n1\",cluster=\"shop\"} 1",
            "kvcore_ready 0",
            "kvcore_log_lines_dropped_total 0",
            "# TYPE process_cpu_seconds counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        let mut described: Vec<_> =
            text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let count = described.len();
        described.sort_unstable();
        described.dedup();
        assert_eq!(described.len(), count, "a figure is described once");
    });
}
