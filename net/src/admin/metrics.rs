//! The figures of `/metrics`, in OpenMetrics text.
//!
//! A collector over what the cores copied out for this scrape: nothing is kept between scrapes, and
//! a figure is listed once, with its name, its help and where it is found.

use std::fmt;

use engine::latency::Latency;
use engine::manifest::LEVELS;
use engine::store::Stats;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use schemas::status::Status;
use tracing_appender::non_blocking::ErrorCounter;

use super::http::Stage;
use super::process::{Usage, unix_seconds, usage};
use crate::server::{CoreStats, Operation};

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// kvcore's version.
    pub version: &'static str,
    /// The node, as people call it.
    pub node: String,
    /// The cluster, as people call it.
    pub cluster: String,
    /// When the process started, in Unix seconds.
    pub started_at: f64,
    /// Counts log lines that were dropped.
    pub log_lines_dropped: ErrorCounter,
}

impl Facts {
    /// Facts of a process that starts now.
    #[must_use]
    pub fn now(
        version: &'static str,
        node: String,
        cluster: String,
        log_lines_dropped: ErrorCounter,
    ) -> Self {
        Self { version, node, cluster, started_at: unix_seconds(), log_lines_dropped }
    }
}

/// A figure of each core: its name without prefix and suffix, its help, where it is.
type OfCore = (&'static str, &'static str, fn(&CoreStats) -> u64);
/// A figure of each core's store.
type OfStore = (&'static str, &'static str, fn(&Stats) -> u64);
/// A figure of each core's store that is no whole number.
type PartOfStore = (&'static str, &'static str, fn(&Stats) -> f64);

const CORE_COUNTERS: &[OfCore] = &[
    ("core_rounds", "Rounds of the core's loop that found work", |core| core.ticks),
    ("core_parks", "Times the core slept", |core| core.parks),
    ("core_stalls", "Rounds of more than 5 ms, background work after them included", |core| {
        core.stalls
    }),
    ("requests_forwarded", "Requests that another core answered, which owns their key", |core| {
        core.answers.forwarded
    }),
    ("requests_unheard", "Requests whose connection was gone before they were answered", |core| {
        core.answers.unheard
    }),
    ("connections_accepted", "Connections accepted", |core| core.front.accepted),
    ("connections_refused", "Connections turned away: too many", |core| core.front.refused),
    ("connections_closed", "Connections closed or handed over", |core| core.front.closed),
    (
        "connections_stalled",
        "Connections closed: replies not read, or a frame not finished",
        |core| core.front.stalled,
    ),
    ("connections_moved_in", "Connections that came from another core", |core| core.front.moved_in),
    ("connections_moved_out", "Connections handed to another core", |core| core.front.moved_out),
    ("received_bytes", "Bytes received from clients", |core| core.front.bytes_in),
    ("sent_bytes", "Bytes sent to clients", |core| core.front.bytes_out),
    ("sends", "Sends to clients", |core| core.front.sends),
];

const CORE_GAUGES: &[OfCore] = &[
    ("connections", "Open connections", |core| core.front.connections),
    ("requests_in_flight", "Requests under way", |core| core.front.in_flight),
];

const STORE_COUNTERS: &[OfStore] = &[
    ("puts", "Puts and deletes taken", |store| store.puts),
    ("puts_acknowledged", "Puts and deletes acknowledged", |store| store.puts_acknowledged),
    ("puts_busy", "Puts refused: memory for writes was full", |store| store.puts_busy),
    ("puts_busy_log", "Puts refused: the log could take no more", |store| store.puts_busy_log),
    ("puts_disk_full", "Puts refused: the disk was full", |store| store.puts_disk_full),
    ("put_bytes", "Bytes of rows of puts and deletes taken", |store| store.put_bytes),
    ("slowdowns_memory", "Times that writers began to be slowed: memtables nearly full", |store| {
        store.slowdowns_memory
    }),
    ("slowdowns_log", "Times that writers began to be slowed: no log segment ready", |store| {
        store.slowdowns_log
    }),
    ("slowdowns_compaction", "Times that writers began to be slowed: compaction behind", |store| {
        store.slowdowns_compaction
    }),
    ("gets_memtable", "Reads answered from a memtable", |store| store.gets_memtable),
    ("gets_cache", "Reads answered from cached blocks", |store| store.gets_cache),
    ("gets_disk", "Reads answered after reading the disk", |store| store.gets_disk),
    ("gets_shared", "Blocks waited for that were being read already", |store| store.gets_shared),
    ("gets_absent", "Reads, of all, of keys without a value", |store| store.gets_absent),
    ("gets_busy", "Reads turned away: too many wait for the disk", |store| store.gets_busy),
    ("gets_failed", "Reads that ended in an error", |store| store.gets_failed),
    ("cache_hits", "Blocks that reads found in the cache", |store| store.cache_hits),
    ("cache_misses", "Blocks that reads did not find in the cache", |store| store.cache_misses),
    ("scans", "Pages of scans begun", |store| store.scans),
    ("digests", "Requests for digests begun", |store| store.digests),
    ("digest_leaves_known", "Leaves of digests told from memory", |store| {
        store.digest_leaves_known
    }),
    ("digest_leaves_scanned", "Leaves of digests that were scanned", |store| {
        store.digest_leaves_scanned
    }),
    ("filter_probes", "Filters and indexes of tables asked", |store| store.filter_probes),
    ("partition_misses", "Filters and indexes asked that were not in memory", |store| {
        store.partition_misses
    }),
    ("partition_loads", "Filters and indexes put into memory", |store| store.partition_loads),
    ("partition_evictions", "Filters and indexes that had to go for others", |store| {
        store.partition_evictions
    }),
    ("filter_false_positives", "Blocks searched in vain because a filter said maybe", |store| {
        store.filter_false_positives
    }),
    ("log_batches", "Batches the commit log made durable", |store| store.log_batches),
    ("log_bytes", "Bytes the commit log wrote", |store| store.log_bytes),
    ("flushes", "Memtables flushed to tables", |store| store.flushes),
    ("flush_bytes", "Bytes of tables that flushes wrote", |store| store.flush_bytes),
    ("flush_errors", "Flushes that failed and are tried again", |store| store.flush_errors),
    ("compactions", "Compactions done that wrote tables anew", |store| store.compactions),
    ("compaction_bytes", "Bytes of tables that compactions wrote", |store| store.compaction_bytes),
    ("compaction_errors", "Compactions that failed and are tried again", |store| {
        store.compaction_errors
    }),
    ("manifest_errors", "Commits of the manifest that failed and are tried again", |store| {
        store.manifest_errors
    }),
    ("vnodes_dropped", "Vnodes dropped", |store| store.vnodes_dropped),
    ("scrub_bytes", "Bytes that the scrub has read", |store| store.scrub_bytes),
    ("scrub_passes", "Times that the scrub has been through all tables", |store| {
        store.scrub_passes
    }),
    ("scrub_errors", "Tables that the scrub could not read", |store| store.scrub_errors),
    ("tables_removed", "Table files removed", |store| store.tables_removed),
];

const STORE_GAUGES: &[OfStore] = &[
    ("memtables_bytes", "Bytes of memtables and of puts on their way", |store| {
        store.memtables_bytes
    }),
    ("memtables_frozen", "Memtables that wait to be flushed or are", |store| {
        store.memtables_frozen
    }),
    ("full_compaction", "Whether a compaction of all tables is under way", |store| {
        u64::from(store.full_compaction)
    }),
    ("snapshots", "Complete snapshots of the node, as core 0 tells", |store| store.snapshots),
    ("vnodes_to_compact", "Vnodes that wait for a compaction of their own", |store| {
        store.vnodes_to_compact
    }),
    ("compactions_running", "Compactions under way", |store| store.compactions_running),
    ("disk_reads_in_flight", "Reads that wait for the disk", |store| store.reads_in_flight),
    ("cache_bytes", "Bytes of cached blocks", |store| store.cache_bytes),
    ("log_kept_bytes", "Bytes of the commit log kept", |store| store.log_bytes_kept),
    (
        "table_records",
        "Records in tables, about, those that newer ones stand against included",
        |store| store.table_records,
    ),
    ("table_tombstones", "Tombstones in tables, about", |store| store.table_tombstones),
    ("tables_memory_bytes", "Memory of indexes and filters of tables", |store| {
        store.tables_memory_bytes
    }),
    ("tables_memory_max_bytes", "Memory that indexes and filters may take", |store| {
        store.tables_memory_bytes_max
    }),
    ("unfiltered_keys", "Keys in tables that no filter tells from others", |store| {
        store.unfiltered_keys
    }),
    ("tables_unreadable", "Tables that compactions leave alone: they cannot be read", |store| {
        store.tables_unreadable
    }),
    ("blocks_damaged", "Places in tables known to be damaged", |store| store.blocks_damaged),
    ("disk_level", "How full the disk is: 0 well, 1 warn, 2 no growth, 3 puts refused", |store| {
        store.space as u64
    }),
];

const STORE_PARTS: &[PartOfStore] = &[
    (
        "puts_delay_seconds",
        "How long acknowledgements are held back now, to slow writers",
        |store| store.puts_delay_us as f64 / US_PER_SECOND,
    ),
    (
        "compaction_pressure",
        "Tables that reads ask, over those there should be at most; from 2 on writers are slowed",
        |store| store.compaction_pressure_percent as f64 / 100.0,
    ),
    (
        "write_amplification",
        "Bytes that log, flushes and compactions wrote for each byte of a put",
        Stats::write_amplification,
    ),
    (
        "read_amplification",
        "Blocks, filters and indexes that were not in memory for each read",
        Stats::read_amplification,
    ),
    (
        "space_amplification",
        "Bytes of tables for each byte of the bottom, which has every key once; 0: it is empty",
        Stats::space_amplification,
    ),
];

/// Where the buckets of latencies end, in microseconds; the last has no end.
const LATENCY_BOUNDS_US: &[u64] = &[
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000,
];

/// The text of `/metrics`.
pub(super) fn encode(facts: &Facts, stage: Stage, cores: Vec<Option<CoreStats>>) -> String {
    let mut registry = Registry::default();
    let scrape = CollectedScrape { facts: facts.clone(), stage, cores, usage: usage() };
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a String takes everything");
    text
}

#[derive(Debug)]
struct CollectedScrape {
    facts: Facts,
    stage: Stage,
    cores: Vec<Option<CoreStats>>,
    usage: Usage,
}

impl Collector for CollectedScrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut figures = Figures(encoder);
        self.process(&mut figures)?;
        let up = self.cores.iter().enumerate().map(|(shard, core)| {
            (vec![("core", shard.to_string())], Value::Whole(u64::from(core.is_some())))
        });
        figures.family(GAUGE, "core_up", "Whether the core answered this scrape", up)?;
        self.answers(&mut figures)?;
        for (kind, cores) in [(COUNTER, CORE_COUNTERS), (GAUGE, CORE_GAUGES)] {
            for (name, help, figure) in cores {
                figures.family(kind, name, help, self.of_cores(|core| Some(figure(core))))?;
            }
        }
        for (kind, stores) in [(COUNTER, STORE_COUNTERS), (GAUGE, STORE_GAUGES)] {
            for (name, help, figure) in stores {
                let of_stores = self.of_cores(|core| core.store.as_ref().map(figure));
                figures.family(kind, name, help, of_stores)?;
            }
        }
        let stores = self.cores().filter_map(|core| Some((core, core.store.as_ref()?)));
        let commits = stores.map(|(core, store)| (of_core(core), &store.log_latency));
        let help = "Writes of commit log batches, with their sync where durability asks for it";
        figures.latencies("log_commit_seconds", help, commits)?;
        for (name, help, figure) in STORE_PARTS {
            let stores = self.cores().filter_map(|core| Some((core, core.store.as_ref()?)));
            let parts = stores.map(|(core, store)| (of_core(core), Value::Part(figure(store))));
            figures.family(GAUGE, name, help, parts)?;
        }
        let tables = self.of_levels(|store, level| store.tables[level]);
        figures.family(GAUGE, "tables", "Tables by level", tables)?;
        let bytes = self.of_levels(|store, level| store.table_bytes[level]);
        figures.family(GAUGE, "table_bytes", "Bytes of tables by level", bytes)
    }
}

impl CollectedScrape {
    fn process(&self, figures: &mut Figures<'_>) -> fmt::Result {
        let Facts { version, node, cluster, started_at, log_lines_dropped } = &self.facts;
        let labels = vec![
            ("version", (*version).to_owned()),
            ("node", node.clone()),
            ("cluster", cluster.clone()),
        ];
        let info = [(labels, Value::Whole(1))].into_iter();
        figures.family(GAUGE, "build_info", "What runs here", info)?;
        let Usage { cpu_seconds, resident_bytes, pinned_bytes, descriptors, threads } = self.usage;
        let ready = u64::from(self.stage == Stage::Serving);
        let dropped = log_lines_dropped.dropped_lines() as u64;
        use Value::{Part, Whole};
        for (kind, name, help, value) in [
            (GAUGE, "ready", "Whether requests should be sent here", Whole(ready)),
            (COUNTER, "log_lines_dropped", "Log lines stderr was too slow for", Whole(dropped)),
            (COUNTER, "process_cpu_seconds", "CPU time used", Part(cpu_seconds)),
            (GAUGE, "process_start_time_seconds", "When it started", Part(*started_at)),
            (GAUGE, "process_resident_memory_bytes", "Resident memory", Whole(resident_bytes)),
            (GAUGE, "process_pinned_memory_bytes", "Memory for direct I/O", Whole(pinned_bytes)),
            (GAUGE, "process_open_fds", "Open file descriptors", Whole(descriptors)),
            (GAUGE, "process_threads", "Threads", Whole(threads)),
        ] {
            figures.family(kind, name, help, [(Vec::new(), value)].into_iter())?;
        }
        Ok(())
    }

    /// What clients were answered, and after how long.
    fn answers(&self, figures: &mut Figures<'_>) -> fmt::Result {
        let operations =
            || self.cores().flat_map(|core| Operation::ALL.map(|operation| (core, operation)));
        let requests = operations().flat_map(|(core, operation)| {
            let answered = core.answers.of(operation).answered.iter();
            let counted = answered.filter(|(status, count)| *count > 0 || *status == Status::Ok);
            counted.map(move |(status, count)| {
                let status = ("status", status.name());
                let labels = of_operation(core, operation).into_iter().chain([status]);
                (labels.collect(), Value::Whole(count))
            })
        });
        figures.family(COUNTER, "requests", "Requests answered, by status", requests)?;
        let latencies = operations().map(|(core, operation)| {
            (of_operation(core, operation), &core.answers.of(operation).latency)
        });
        let help = "From taking a request up to having sent its answer, errors included";
        figures.latencies("request_duration_seconds", help, latencies)?;
        let refusals = self.cores().flat_map(|core| {
            let counted = core.answers.refusals.iter().filter(|(_, count)| *count > 0);
            counted.map(move |(status, count)| {
                (vec![core_label(core), ("status", status.name())], Value::Whole(count))
            })
        });
        let help = "Connections, handshakes and frames that were answered with an error, by status";
        figures.family(COUNTER, "refusals", help, refusals)?;
        let busy = self
            .cores()
            .map(|core| (of_core(core), Value::Part(core.busy_us as f64 / US_PER_SECOND)));
        let help = "Time of rounds that found work, background work after them included";
        figures.family(COUNTER, "core_busy_seconds", help, busy)
    }

    /// The cores that answered.
    fn cores(&self) -> impl Iterator<Item = &CoreStats> {
        self.cores.iter().flatten()
    }

    /// The figure of each core that has it.
    fn of_cores(
        &self,
        figure: impl Fn(&CoreStats) -> Option<u64>,
    ) -> impl Iterator<Item = (Labels, Value)> {
        self.cores().filter_map(move |core| Some((of_core(core), Value::Whole(figure(core)?))))
    }

    /// The figure of each level, summed over the cores.
    fn of_levels(&self, figure: fn(&Stats, usize) -> u64) -> impl Iterator<Item = (Labels, Value)> {
        let stores = || self.cores().filter_map(|core| core.store.as_ref());
        (0..LEVELS).map(move |level| {
            let sum = stores().map(|store| figure(store, level)).sum();
            (vec![("level", level.to_string())], Value::Whole(sum))
        })
    }
}

type Labels = Vec<(&'static str, String)>;

fn core_label(core: &CoreStats) -> (&'static str, String) {
    ("core", core.shard.0.to_string())
}

fn of_core(core: &CoreStats) -> Labels {
    vec![core_label(core)]
}

fn of_operation(core: &CoreStats, operation: Operation) -> Labels {
    vec![core_label(core), ("operation", operation.name().to_owned())]
}

#[derive(Clone, Copy)]
enum Value {
    Whole(u64),
    Part(f64),
}

impl Value {
    fn write(self, kind: MetricType, metric: &mut MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (MetricType::Counter, Self::Whole(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
            }
            (MetricType::Counter, Self::Part(value)) => {
                metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
            }
            (_, Self::Whole(value)) => metric.encode_gauge(&value),
            (_, Self::Part(value)) => metric.encode_gauge(&value),
        }
    }
}

const COUNTER: MetricType = MetricType::Counter;
const GAUGE: MetricType = MetricType::Gauge;

const US_PER_SECOND: f64 = 1e6;

struct Figures<'a>(DescriptorEncoder<'a>);

impl Figures<'_> {
    /// Writes a figure, once for each set of labels.
    fn family(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels, Value)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, None, kind)?;
        for (labels, value) in values {
            if labels.is_empty() {
                value.write(kind, &mut family)?;
            } else {
                value.write(kind, &mut family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    /// Writes a histogram, once for each set of labels.
    fn latencies<'a>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (Labels, &'a Latency)>,
    ) -> fmt::Result {
        let name = prefixed(name);
        let mut family = self.0.encode_descriptor(&name, help, None, MetricType::Histogram)?;
        for (labels, latency) in values {
            let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / US_PER_SECOND);
            let counts = latency.buckets(LATENCY_BOUNDS_US);
            let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
            let seconds = latency.sum_us() as f64 / US_PER_SECOND;
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<NoLabelSet>(seconds, latency.count(), &buckets, None)?;
        }
        Ok(())
    }
}

/// Names of the process's own figures are everybody's; ours have our name in front.
fn prefixed(name: &str) -> String {
    if name.starts_with("process_") { name.to_owned() } else { format!("kvcore_{name}") }
}
