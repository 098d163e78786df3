use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use engine::data_dir::{NewNode, Superblock};
use engine::manifest::LEVELS;
use engine::snapshot::{
    Begun, Listed, ShardTaken, SnapshotError, SnapshotHead, SnapshotName, State,
};
use engine::store::{SnapshotDone, SnapshotStep, Stats};
use schemas::ids::{ClusterId, NodeId, ShardId, VnodeBits};
use schemas::status::Status;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;

use super::*;
use crate::server::{AnswerStats, CoreStats, FrontStats, Operation};

/// Two cores, the second of which may have stopped answering.
struct Fixed {
    second_answers: bool,
    snapshots: Fake,
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

impl SnapshotSteps for Fixed {
    fn cores(&self) -> usize {
        2
    }

    async fn step(&self, core: usize, step: SnapshotStep) -> Result<SnapshotDone, StepError> {
        self.snapshots.step(core, self.second_answers, step).await
    }
}

impl Compact for Fixed {
    fn compact(&self) -> usize {
        if self.second_answers { 2 } else { 1 }
    }
}

/// Snapshots of two cores, as their stores would take them.
#[derive(Default)]
struct Fake {
    state: Mutex<FakeState>,
    /// Steps of cores wait for it.
    gate: Option<Arc<Semaphore>>,
}

#[derive(Default)]
struct FakeState {
    begun: BTreeMap<SnapshotName, BTreeSet<usize>>,
    complete: BTreeSet<SnapshotName>,
}

impl Fake {
    async fn step(
        &self,
        core: usize,
        second_answers: bool,
        step: SnapshotStep,
    ) -> Result<SnapshotDone, StepError> {
        if let (Some(gate), SnapshotStep::Take(..)) = (&self.gate, &step) {
            gate.acquire().await.unwrap().forget();
        }
        let mut state = self.state.lock().unwrap();
        let unknown = |name: &SnapshotName| {
            StepError::Failed(SnapshotError::Unknown { name: name.to_string() })
        };
        match step {
            SnapshotStep::Begin(name) if state.begun.contains_key(&name) => {
                Err(StepError::Failed(SnapshotError::Exists { name: name.to_string() }))
            }
            SnapshotStep::Begin(name) => {
                state.begun.insert(name, BTreeSet::new());
                Ok(SnapshotDone::Begun(Begun { id: 7, at_ms: 8 }))
            }
            SnapshotStep::Take(..) if core == 1 && !second_answers => Err(StepError::Gone(1)),
            SnapshotStep::Take(name, Begun { id: 7, at_ms: 8 }) => {
                state.begun.get_mut(&name).unwrap().insert(core);
                Ok(SnapshotDone::Taken(ShardTaken::default()))
            }
            SnapshotStep::Take(..) => panic!("it was begun otherwise"),
            SnapshotStep::Finish(name, _) => {
                assert_eq!(state.begun[&name].len(), 2, "every core has its part");
                state.complete.insert(name);
                Ok(SnapshotDone::Finished(Box::new(head())))
            }
            SnapshotStep::Remove(name) => {
                state.complete.remove(&name);
                state.begun.remove(&name).map(|_| SnapshotDone::Removed).ok_or(unknown(&name))
            }
            SnapshotStep::List => {
                let listed = state.begun.keys().map(|name| Listed {
                    name: name.clone(),
                    state: match state.complete.contains(name) {
                        true => State::Complete(Box::new(head())),
                        false => State::Incomplete,
                    },
                });
                Ok(SnapshotDone::Listed(listed.collect()))
            }
        }
    }
}

fn head() -> SnapshotHead {
    let node = Superblock::born(&NewNode {
        node: NodeId(NonZeroU64::MIN),
        cluster: ClusterId(9),
        cluster_name: "shop".to_owned(),
        seed: 7,
        vnodes: VnodeBits::DEFAULT,
        shards: 2,
    });
    SnapshotHead { id: 7, taken_at_ms: 8, tables: 3, bytes: 4096, node }
}

fn facts() -> Facts {
    let (writer, _guard) = tracing_appender::non_blocking(std::io::sink());
    Facts::now("1.2.3", "n1".to_owned(), "shop".to_owned(), writer.error_counter())
}

fn with_admin<F: Future<Output = ()>>(
    second_answers: bool,
    test: impl FnOnce(SocketAddr, Arc<Readiness>) -> F,
) {
    with_gate(second_answers, None, test);
}

fn with_gate<F: Future<Output = ()>>(
    second_answers: bool,
    gate: Option<Arc<Semaphore>>,
    test: impl FnOnce(SocketAddr, Arc<Readiness>) -> F,
) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let readiness = Arc::new(Readiness::default());
        let snapshots = Fake { gate, ..Fake::default() };
        let cores = Fixed { second_answers, snapshots };
        let serving = serve(listener, facts(), Arc::clone(&readiness), cores);
        tokio::select! {
            ended = serving => panic!("{ended:?}"),
            () = test(address, readiness) => {}
        }
    });
}

/// Status and body of a GET.
async fn get(address: SocketAddr, path: &'static str) -> (u16, String) {
    ask(address, "GET", path, "").await
}

/// Status and body of a request, asked from another thread.
async fn ask(
    address: SocketAddr,
    method: &'static str,
    path: &'static str,
    header: &'static str,
) -> (u16, String) {
    let ask = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let rest = format!("HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n");
        write!(stream, "{method} {path} {rest}").unwrap();
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

#[test]
fn snapshots_are_taken_listed_and_deleted() {
    with_admin(true, |address, readiness| async move {
        assert_eq!(ask(address, "POST", "/snapshots/a", "").await.0, 503, "it is starting");
        readiness.set(Stage::Serving);
        assert_eq!(get(address, "/snapshots").await, (200, String::new()));
        let told = "{\"name\":\"a\",\"state\":\"complete\",\"taken_at_ms\":8,\
                    \"node\":\"0000000000000001\",\
                    \"cluster\":\"00000000000000000000000000000009\",\
                    \"shards\":2,\"tables\":3,\"bytes\":4096}\n";
        assert_eq!(ask(address, "POST", "/snapshots/a", "").await, (200, told.to_owned()));
        let again = ask(address, "POST", "/snapshots/a", "").await;
        assert_eq!(again, (409, "there is a snapshot \"a\" already\n".to_owned()));
        assert_eq!(get(address, "/snapshots").await, (200, told.to_owned()));
        let deleted = "{\"name\":\"a\",\"state\":\"deleted\"}\n".to_owned();
        assert_eq!(ask(address, "DELETE", "/snapshots/a", "").await, (200, deleted));
        assert_eq!(ask(address, "DELETE", "/snapshots/a", "").await.0, 404);
        assert_eq!(get(address, "/snapshots").await, (200, String::new()));
    });
}

#[test]
fn a_compaction_is_begun_on_every_core_or_refused() {
    let line = |core| {
        format!(
            "{{\"core\":{core},\"full\":false,\"running\":0,\"table_bytes\":0,\
             \"written_bytes\":0}}\n"
        )
    };
    with_admin(true, |address, readiness| async move {
        assert_eq!(ask(address, "POST", "/compactions", "").await.0, 503, "it is starting");
        readiness.set(Stage::Serving);
        let told = line(0) + &line(1);
        assert_eq!(ask(address, "POST", "/compactions", "").await, (202, told.clone()));
        assert_eq!(get(address, "/compactions").await, (200, told));
        let origin = "Origin: http://elsewhere\r\n";
        assert_eq!(ask(address, "POST", "/compactions", origin).await.0, 403);
    });
    with_admin(false, |address, readiness| async move {
        readiness.set(Stage::Serving);
        let (status, why) = ask(address, "POST", "/compactions", "").await;
        assert_eq!((status, &*why), (503, "1 of 2 cores did not hear it; ask again\n"));
    });
}

#[test]
fn a_name_that_is_a_path_and_a_page_of_somebody_elses_are_refused() {
    with_admin(true, |address, readiness| async move {
        readiness.set(Stage::Serving);
        for path in ["/snapshots/..%2fgen-0001", "/snapshots/%2e%2e", "/snapshots/A"] {
            for method in ["POST", "DELETE"] {
                let (status, why) = ask(address, method, path, "").await;
                assert_eq!(status, 400, "{method} {path}: {why}");
            }
        }
        assert_eq!(ask(address, "POST", "/snapshots/a/b", "").await.0, 404);
        let origin = "Origin: http://elsewhere\r\n";
        assert_eq!(ask(address, "POST", "/snapshots/a", origin).await.0, 403);
        assert_eq!(ask(address, "DELETE", "/snapshots/a", origin).await.0, 403);
        assert_eq!(get(address, "/snapshots").await, (200, String::new()));
    });
}

#[test]
fn of_a_snapshot_that_a_core_does_not_take_nothing_is_left() {
    with_admin(false, |address, readiness| async move {
        readiness.set(Stage::Serving);
        let failed = ask(address, "POST", "/snapshots/a", "").await;
        assert_eq!(failed, (503, "core 1 does not take part\n".to_owned()));
        assert_eq!(get(address, "/snapshots").await, (200, String::new()));
    });
}

#[test]
fn while_a_snapshot_is_taken_no_other_is_begun_or_deleted() {
    let gate = Arc::new(Semaphore::new(0));
    with_gate(true, Some(Arc::clone(&gate)), |address, readiness| async move {
        readiness.set(Stage::Serving);
        let first = tokio::spawn(ask(address, "POST", "/snapshots/a", ""));
        while !get(address, "/snapshots").await.1.contains("incomplete") {
            tokio::task::yield_now().await;
        }
        for (method, path) in [("POST", "/snapshots/b"), ("DELETE", "/snapshots/a")] {
            let (status, why) = ask(address, method, path, "").await;
            assert_eq!((status, why.contains("another snapshot")), (409, true), "{why}");
        }
        gate.add_permits(2);
        assert_eq!(first.await.unwrap().0, 200);
    });
}
