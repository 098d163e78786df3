//! Reads that miss every cache, beside fio: the same disk, the same CPU, the same number in flight,
//! in turns. fio, as it is by default, does nothing but read.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::child::Figures;
use crate::cli::{MissOptions, Output};
use crate::engines::EngineKind;
use crate::rounds::{Child, cpu};
use crate::scenario::{Scenario, Work};

/// Bytes that fio reads at a time: the pages that a block of about 4 KiB is in.
const FIO_BYTES: &str = "8k";

/// A turn of each.
#[derive(Serialize)]
struct Round {
    kvcore: Figures,
    fio_per_s: f64,
    fio_p99_us: f64,
}

impl Round {
    fn kvcore_per_s(&self) -> f64 {
        self.kvcore.operations as f64 / self.kvcore.seconds
    }

    fn ratio(&self) -> f64 {
        self.kvcore_per_s() / self.fio_per_s
    }
}

/// Measures what `options` ask for and prints it.
pub(crate) fn run(options: &MissOptions) -> anyhow::Result<()> {
    let cpu = cpu(options.common.cpu)?;
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(u64::from(options.rounds) + 1).with_style(style);
    let version = Command::new("fio").arg("--version").output();
    version.context("fio cannot be started: apt-get install fio")?;
    let root = tempfile::tempdir_in(&options.common.dir).context("a directory for the data")?;
    let data = root.path().join("kvcore");
    std::fs::create_dir(&data)?;
    let scenario = Scenario::ReadMiss1k;
    let child = |scenario: Scenario, seed: u32| -> anyhow::Result<Figures> {
        let mut child = Child::new(EngineKind::Kvcore, scenario, cpu)?;
        child.0.args(["--quick", "--seed", &seed.to_string()]);
        child.run(&data)
    };
    progress.set_message("loading");
    let loaded = child(scenario.base().expect("it reads"), 1)?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        progress.inc(1);
        progress.set_message(format!("round {round}"));
        let kvcore = child(scenario, round)?;
        let (fio_per_s, fio_p99_us) = fio(root.path(), loaded.disk_bytes, cpu)?;
        rounds.push(Round { kvcore, fio_per_s, fio_p99_us });
    }
    progress.finish_and_clear();
    match options.common.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&rounds)?),
        Output::Table => println!("{}", table(&mut rounds)),
    }
    Ok(())
}

/// Reads a second, and their 99th percentile in microseconds, of a file of `bytes` bytes.
fn fio(dir: &Path, bytes: u64, cpu: usize) -> anyhow::Result<(f64, f64)> {
    let Work::Read { in_flight, .. } = Scenario::ReadMiss1k.work() else {
        anyhow::bail!("the scenario reads");
    };
    let mut command = Command::new("fio");
    command.args(["--name=miss", "--ioengine=io_uring", "--direct=1", "--rw=randread"]);
    command.args([format!("--bs={FIO_BYTES}"), format!("--iodepth={in_flight}")]);
    command.args([format!("--size={bytes}"), format!("--cpus_allowed={cpu}")]);
    command.arg(format!("--filename={}", dir.join("fio").display()));
    command.arg(format!("--runtime={}", Scenario::seconds(true)));
    command.args(["--time_based", "--randrepeat=0", "--output-format=json"]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fio: {said}");
    let told: Value = serde_json::from_slice(&output.stdout).context("what fio printed")?;
    let read = &told["jobs"][0]["read"];
    let p99_ns = read["clat_ns"]["percentile"]["99.000000"].as_f64();
    let per_s = read["iops"].as_f64();
    Ok((per_s.context("iops of fio")?, p99_ns.context("percentiles of fio")? / 1000.0))
}

fn table(rounds: &mut [Round]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(["round", "kvcore/s", "p99 us", "CPU us", "fio/s", "p99 us", "kvcore x"]);
    for (number, round) in rounds.iter().enumerate() {
        let cpu_us = round.kvcore.usage.cpu_s * 1e6 / round.kvcore.operations as f64;
        table.add_row([
            (number + 1).to_string(),
            format!("{:.0}", round.kvcore_per_s()),
            format!("{:.0}", round.kvcore.p99_us),
            format!("{cpu_us:.2}"),
            format!("{:.0}", round.fio_per_s),
            format!("{:.0}", round.fio_p99_us),
            format!("{:.2}", round.ratio()),
        ]);
    }
    rounds.sort_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let median = rounds[rounds.len() / 2].ratio();
    let nothing = || String::new();
    table.add_row([
        "median".to_owned(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        nothing(),
        format!("{median:.2}"),
    ]);
    table
}
