//! What an operation costs as the data grows and the memory does not.

use anyhow::Context;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::child::Figures;
use crate::cli::{GrowthOptions, Output};
use crate::data::KEY_BYTES;
use crate::engines::EngineKind;
use crate::rounds::{Child, cpu};
use crate::scenario::Scenario;

/// New keys; known ones from the disk; ones that were never written.
const SCENARIOS: [Scenario; 3] =
    [Scenario::LoadShuffled1k, Scenario::ReadMiss1k, Scenario::ReadAbsent1k];

/// All that was measured of one size.
#[derive(Serialize)]
struct Size {
    gib: u32,
    load: Figures,
    hits: Figures,
    absent: Figures,
}

/// Measures what `options` ask for and prints it.
pub(crate) fn run(options: &GrowthOptions) -> anyhow::Result<()> {
    let cpu = cpu(options.common.cpu)?;
    let style = ProgressStyle::with_template("[{elapsed_precise}] {wide_bar} {pos}/{len} {msg}")?;
    let steps = options.gib.len() * SCENARIOS.len();
    let progress = ProgressBar::new(steps as u64).with_style(style);
    let mut sizes = Vec::new();
    for &gib in &options.gib {
        let root = tempfile::tempdir_in(&options.common.dir).context("a directory for the data")?;
        let record = (KEY_BYTES + SCENARIOS[0].value_bytes()) as u64;
        let keys = (u64::from(gib) << 30) / record;
        let mut figures = Vec::new();
        for scenario in SCENARIOS {
            progress.set_message(format!("{} of {gib} GiB", scenario.name()));
            let mut child = Child::new(EngineKind::Kvcore, scenario, cpu)?;
            child.0.args(["--seed", "1", "--keys", &keys.to_string()]);
            child.0.args(["--memory-mib", &options.memory_mib.to_string()]);
            figures.push(child.run(root.path())?);
            progress.inc(1);
        }
        let [load, hits, absent] = figures.try_into().ok().context("three scenarios")?;
        sizes.push(Size { gib, load, hits, absent });
    }
    progress.finish_and_clear();
    match options.common.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&sizes)?),
        Output::Table => println!("{}", table(&sizes)),
    }
    Ok(())
}

fn table(sizes: &[Size]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header([
        "GiB",
        "puts/s",
        "CPU us/put",
        "written/user",
        "disk/user",
        "hits/s",
        "CPU us/hit",
        "KiB read/hit",
        "absent/s",
        "CPU us/absent",
        "KiB read/absent",
        "memory MiB",
    ]);
    for Size { gib, load, hits, absent } in sizes {
        let rate = |it: &Figures| format!("{:.0}", it.operations as f64 / it.seconds);
        let cpu = |it: &Figures| format!("{:.2}", it.usage.cpu_s * 1e6 / it.operations as f64);
        let kib_read = |it: &Figures| {
            format!("{:.3}", it.usage.read_bytes as f64 / 1024.0 / it.operations as f64)
        };
        let a_user_byte = |bytes: u64| format!("{:.2}", bytes as f64 / load.user_bytes as f64);
        let memory = [load, hits, absent].map(|it| it.memory_bytes).into_iter().max();
        table.add_row([
            gib.to_string(),
            rate(load),
            cpu(load),
            a_user_byte(load.usage.written_bytes),
            a_user_byte(load.disk_bytes),
            rate(hits),
            cpu(hits),
            kib_read(hits),
            rate(absent),
            cpu(absent),
            kib_read(absent),
            format!("{}", memory.unwrap_or(0) >> 20),
        ]);
    }
    table
}
