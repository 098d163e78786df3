//! From the command line to what is done, and from there to the exit code.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use kvclient::Client;

use super::DiskVerb;
use super::args::{Args, CommonArgs, CompactArgs, ExportArgs, ImportArgs, KeysArgs, Output, Verb};
use super::snapshot_args::{RestoreArgs, SnapshotVerb};
use super::units;
use crate::compact;
use crate::disk;
use crate::entry::check_lengths;
use crate::format::{Format, JsonLines, Tsv};
use crate::point;
use crate::progress::Progress;
use crate::snapshot;
use crate::summary::Summary;
use crate::transfer::{
    ImportOptions, LineSink, LineSource, Sink, Source, TreeSource, export, import,
};
use crate::tree::TreeWriter;

const LEFT_OUT: u8 = 1;
const USAGE: u8 = 2;

/// Runs kvctl with the arguments of this process.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let prepared = match Prepared::new(args.verb) {
        Ok(prepared) => prepared,
        Err(error) => return fail(USAGE, &error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(LEFT_OUT, &error.into()),
    };
    match runtime.block_on(prepared.run(&args.common)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(LEFT_OUT),
        Err(error) => fail(LEFT_OUT, &error),
    }
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    eprintln!("kvctl: {error:#}");
    ExitCode::from(code)
}

/// A verb whose arguments are sound.
enum Prepared {
    Get(Vec<u8>),
    Put { key: Vec<u8>, value: Vec<u8>, ttl: std::time::Duration },
    Delete(Vec<Vec<u8>>),
    Exists(Vec<Vec<u8>>),
    Import(ImportArgs),
    Export(ExportArgs),
    Disk(DiskVerb),
    Compact(CompactArgs),
    Snapshot(SnapshotVerb),
}

impl Prepared {
    fn new(verb: Verb) -> anyhow::Result<Self> {
        Ok(match verb {
            Verb::Get { key, hex } => Self::Get(one_key(&key, hex)?),
            Verb::Put { key, value, file, hex, ttl } => {
                let key = one_key(&key, hex)?;
                let value = match value {
                    Some(value) => value.into_vec(),
                    None => point::read_value(file.as_deref())?,
                };
                check_lengths(key.len(), value.len() as u64).map_err(anyhow::Error::msg)?;
                Self::Put { key, value, ttl: ttl.unwrap_or_default() }
            }
            Verb::Del(KeysArgs { keys, hex }) => Self::Delete(all_keys(&keys, hex)?),
            Verb::Exists(KeysArgs { keys, hex }) => Self::Exists(all_keys(&keys, hex)?),
            Verb::Import(args) => Self::Import(args),
            Verb::Export(args) => Self::Export(args),
            Verb::Disk { verb } => {
                verb.check()?;
                Self::Disk(verb)
            }
            Verb::Compact(args) => Self::Compact(args),
            Verb::Snapshot { verb } => {
                verb.check()?;
                Self::Snapshot(verb)
            }
        })
    }

    async fn run(self, common: &CommonArgs) -> anyhow::Result<bool> {
        let json = common.output == Output::Json;
        match self {
            Self::Get(key) => point::get(&connect(common).await?, &key, json).await,
            Self::Put { key, value, ttl } => {
                point::put(&connect(common).await?, &key, value, ttl, json).await
            }
            Self::Delete(keys) => point::delete(&connect(common).await?, &keys, json).await,
            Self::Exists(keys) => point::exists(&connect(common).await?, &keys, json).await,
            Self::Import(args) => import_from(&args, common).await,
            Self::Export(args) => export_to(&args, common).await,
            Self::Disk(verb) => disk::run(&verb, json),
            Self::Compact(args) => compact::run(&args, json),
            Self::Snapshot(SnapshotVerb::Restore(args)) => restore_from(&args, common).await,
            Self::Snapshot(verb) => snapshot::run(&verb, json),
        }
    }
}

fn one_key(argument: &OsString, hex: bool) -> anyhow::Result<Vec<u8>> {
    let key = units::key(argument, hex).map_err(anyhow::Error::msg)?;
    check_lengths(key.len(), 0).map_err(anyhow::Error::msg)?;
    Ok(key)
}

fn all_keys(arguments: &[OsString], hex: bool) -> anyhow::Result<Vec<Vec<u8>>> {
    arguments.iter().map(|argument| one_key(argument, hex)).collect()
}

async fn connect(common: &CommonArgs) -> anyhow::Result<Client> {
    let builder = Client::builder()
        .seeds(common.seeds.iter().map(String::as_str))
        .namespace(&common.namespace)
        .client_name(concat!("kvctl ", env!("CARGO_PKG_VERSION")))
        .consistency(common.consistency.unwrap_or_default())
        .deadline(common.deadline);
    Ok(builder.build().await?)
}

async fn import_from(args: &ImportArgs, common: &CommonArgs) -> anyhow::Result<bool> {
    let progress = Progress::new(args.quiet);
    let place = &args.place;
    if let Some(dir) = &place.dir {
        let source = TreeSource::new(dir, progress.clone())?;
        return import_source(source, args, common, &progress).await;
    }
    if let Some(file) = &place.tsv {
        let source = line_source(file, Tsv, &progress)?;
        return import_source(source, args, common, &progress).await;
    }
    let file = place.jsonl.as_ref().context("no place to import from")?;
    import_source(line_source(file, JsonLines, &progress)?, args, common, &progress).await
}

fn line_source<F: Format + Send + 'static>(
    file: &Path,
    format: F,
    progress: &Progress,
) -> anyhow::Result<Box<dyn Source + Send>> {
    if file == Path::new("-") {
        let input = BufReader::new(io::stdin());
        return Ok(Box::new(LineSource::new(input, None, format, progress.clone())));
    }
    let input = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let bytes = input.metadata().map(|metadata| metadata.len()).ok();
    Ok(Box::new(LineSource::new(BufReader::new(input), bytes, format, progress.clone())))
}

async fn import_source(
    source: impl Source + Send + 'static,
    args: &ImportArgs,
    common: &CommonArgs,
    progress: &Progress,
) -> anyhow::Result<bool> {
    let options =
        ImportOptions { concurrency: args.concurrency as usize, ttl: args.ttl.unwrap_or_default() };
    let client = connect(common).await?;
    let summary = import(&client, move || Ok(source), options, progress).await;
    progress.finish();
    tell(&summary?, "import", "imported", common.output, &mut io::stdout())
}

async fn restore_from(args: &RestoreArgs, common: &CommonArgs) -> anyhow::Result<bool> {
    let plan = snapshot::Plan::new(args)?;
    let progress = Progress::new(args.quiet);
    let client = connect(common).await?;
    let summary = snapshot::restore(&client, plan, &progress).await;
    progress.finish();
    tell(&summary?, "restore", "restored", common.output, &mut io::stdout())
}

async fn export_to(args: &ExportArgs, common: &CommonArgs) -> anyhow::Result<bool> {
    let progress = Progress::new(args.quiet);
    let place = &args.place;
    let file = place.tsv.as_deref().or(place.jsonl.as_deref());
    let to_stdout = file == Some(Path::new("-"));
    // The summary must not land among the records.
    let mut told: Box<dyn Write> =
        if to_stdout { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
    // Connected first: an export that cannot begin leaves nothing behind.
    let client = connect(common).await?;
    let sink: Box<dyn Sink> = match (&place.dir, file) {
        (Some(dir), _) => Box::new(TreeWriter::new(dir, args.overwrite)?),
        (None, Some(file)) => {
            let output = output(file, args.overwrite)?;
            if place.tsv.is_some() {
                Box::new(LineSink::new(output, Tsv))
            } else {
                Box::new(LineSink::new(output, JsonLines))
            }
        }
        (None, None) => bail!("no place to export to"),
    };
    let summary = export(&client, sink, &progress).await;
    progress.finish();
    tell(&summary?, "export", "exported", common.output, &mut told)
}

fn output(file: &Path, overwrite: bool) -> anyhow::Result<Box<dyn Write + Send>> {
    if file == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(!overwrite).create(true).truncate(overwrite);
    let opened = options.open(file);
    let hint = if overwrite { "" } else { "; --overwrite replaces a file" };
    let opened = opened.with_context(|| format!("cannot write {}{hint}", file.display()))?;
    Ok(Box::new(BufWriter::new(opened)))
}

/// Writes the summary; whether everything arrived.
fn tell(
    summary: &Summary,
    verb: &str,
    done: &str,
    output: Output,
    to: &mut dyn Write,
) -> anyhow::Result<bool> {
    let text = match output {
        Output::Text => summary.text(done),
        Output::Json => summary.json(verb),
    };
    to.write_all(text.as_bytes()).context("cannot write the summary")?;
    Ok(summary.is_complete())
}
