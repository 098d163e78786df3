use std::collections::BTreeSet;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use engine::manifest::LEVELS;
use engine::store::Stats;
use schemas::ids::ShardId;
use schemas::status::Status;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::*;
use crate::server::{AnswerStats, CoreStats, FrontStats, Operation};

/// Two cores, the second of which may have stopped answering.
struct Fixed {
    second_answers: bool,
}

impl Scrape for Fixed {
    async fn scrape(&self) -> Vec<Option<CoreStats>> {
        let mut tables = [0; LEVELS];
        tables[0] = 2;
        let mut answers = AnswerStats::default();
        let gets = answers.of_mut(Operation::Get);
        gets.answered.add(Status::Ok, 3);
        gets.answered.add(Status::DeadlineExceeded, 1);
        gets.latency.record(50, 1);
        gets.latency.record(700, 2);
        gets.latency.record(20_000_000, 1);
        let core = |shard, puts| CoreStats {
            shard: ShardId(shard),
            ticks: 5,
            parks: 1,
            busy_us: 1_500_000,
            stalls: 0,
            answers: answers.clone(),
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
            "kvcore_core_busy_seconds_total{core=\"0\"} 1.5",
            "kvcore_requests_total{core=\"0\",operation=\"get\",status=\"ok\"} 3",
            "kvcore_requests_total{core=\"1\",operation=\"get\",status=\"deadline_exceeded\"} 1",
            "kvcore_requests_total{core=\"0\",operation=\"scan\",status=\"ok\"} 0",
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

/// A sample of an exposition.
struct Sample<'a> {
    name: &'a str,
    /// Name and value, `le` apart.
    labels: Vec<(&'a str, &'a str)>,
    le: Option<f64>,
    value: f64,
}

fn sample(line: &str) -> Sample<'_> {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').unwrap();
    let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once('=').unwrap();
        (label, value.strip_prefix('"').unwrap().strip_suffix('"').unwrap())
    });
    let (le, labels): (Vec<_>, Vec<_>) = pairs.partition(|(label, _)| *label == "le");
    let le = le.first().map(|(_, bound)| bound.replace("+Inf", "inf").parse().unwrap());
    Sample { name, labels, le, value: value.parse().unwrap() }
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    begins && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What a family's type lets its samples be called.
fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("{other} is no type"),
    }
}

#[test]
fn every_line_of_the_exposition_is_a_sample_of_the_family_above_it() {
    with_admin(true, |address, _| async move {
        let (_, text) = get(address, "/metrics").await;
        let mut lines = text.lines().peekable();
        let mut seen = BTreeSet::new();
        while let Some(line) = lines.next_if(|line| *line != "# EOF") {
            let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line}"));
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && help.len() > 5, "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            let samples = std::iter::from_fn(|| lines.next_if(|line| !line.starts_with('#')));
            for line in samples {
                let sample = sample(line);
                let suffix = sample.name.strip_prefix(name).unwrap_or_else(|| panic!("{line}"));
                assert!(suffixes(kind).contains(&suffix), "{line}");
                assert!(sample.labels.iter().all(|(label, _)| is_name(label)), "{line}");
                let (series, _) = line.rsplit_once(' ').unwrap();
                assert!(seen.insert(series.to_owned()), "twice: {line}");
            }
        }
        assert_eq!(lines.collect::<Vec<_>>(), ["# EOF"]);
    });
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    with_admin(true, |address, _| async move {
        let (_, text) = get(address, "/metrics").await;
        let samples: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        let counts = samples.iter().filter(|sample| sample.name.ends_with("_seconds_count"));
        let mut histograms = 0;
        for count in counts {
            let name = count.name.replace("_count", "_bucket");
            let buckets: Vec<_> = samples
                .iter()
                .filter(|sample| sample.name == name && sample.labels == count.labels)
                .map(|bucket| (bucket.le.unwrap(), bucket.value))
                .collect();
            let ascends = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
            assert!(buckets.windows(2).all(ascends), "{name}: {buckets:?}");
            assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, count.value));
            histograms += 1;
        }
        assert_eq!(histograms, 2 * (Operation::ALL.len() + 1), "of both cores");
        let gets = |le| {
            let labels = format!("le=\"{le}\",core=\"0\",operation=\"get\"");
            let line = format!("kvcore_request_duration_seconds_bucket{{{labels}}} ");
            let found = text.lines().find_map(|found| found.strip_prefix(&line));
            found.unwrap_or_else(|| panic!("{line} in {text}")).parse::<u64>().unwrap()
        };
        let found = ["0.00005", "0.0005", "0.001", "10.0", "+Inf"].map(gets);
        assert_eq!(found, [1, 1, 3, 3, 4]);
        let sum = "kvcore_request_duration_seconds_sum{core=\"1\",operation=\"get\"} 20.00145\n";
        assert!(text.contains(sum), "{text}");
    });
}
