//! [`Job`]: tables merged into new ones, a fragment at a time.
//!
//! Each [`Job::step`] writes one output and tells the edit that puts it in the place of what its
//! inputs hold up to there; the caller commits the edit before it takes the next step. So a job
//! needs the space of one fragment beside its inputs' files, and may end after any step.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use schemas::ids::{Hlc, Token};

use super::picker::Choice;
use super::progress::Progress;
use crate::env::Env;
use crate::manifest::{TableEntry, VersionEdit};
use crate::merge_scan::{MergeScan, Run, Source};
use crate::namespaces::Namespaces;
use crate::record::{Kind, Merge, Record};
use crate::sstable::{
    FileId, KeepBlock, OrderedProbe, Table, TableError, TableInfo, TableWriter, TokenRange,
};

/// A table to compact.
pub struct Input<E: Env> {
    /// The table as the version names it.
    pub entry: TableEntry,
    /// The same, open.
    pub table: Table<E>,
}

/// What becomes of records.
pub struct Rules<E: Env> {
    /// Which of two records of a key stands.
    pub merge: Merge,
    /// Values past their time at this moment, in Unix milliseconds, become tombstones. Nothing
    /// brings them back: a moment that is over for certain, whatever the clock does.
    pub now_ms: u64,
    /// Tombstones with lesser stamps may go, unless a table outside may have their key. No
    /// memtable has a record with a lesser stamp.
    pub purge_below: Hlc,
    /// All tables that are not among the inputs and may have older records.
    pub outside: Vec<Table<E>>,
    /// Bytes of records after which an output ends.
    pub fragment_bytes: u64,
    /// Of what moment the inputs' records are: [`Holes::upto`](crate::manifest::Holes::upto) of the
    /// version that the job is chosen for. For a part the file to come: no table has them all that
    /// is made before, and every one that is made later has none of them.
    pub as_of: FileId,
    /// Records of namespaces that were dropped go; blocks of others may be compressed.
    pub namespaces: Arc<Namespaces>,
    /// Who is given the blocks of the outputs, if anybody.
    pub keep_blocks: Option<KeepBlock>,
}

/// How a job is steered while it runs.
#[derive(Default, Debug)]
pub struct Control {
    cancelled: Cell<bool>,
}

impl Control {
    /// Ends the job before its next record.
    pub fn cancel(&self) {
        self.cancelled.set(true);
    }
}

/// What a step did, to be committed.
#[derive(Debug)]
pub struct Step {
    /// The edit.
    pub edit: VersionEdit,
    /// The table that was written; `None` if nothing was left to write.
    pub output: Option<TableInfo>,
}

/// Why a job ended early. Its unfinished output is removed; what was committed stands.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A table cannot be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// [`Control::cancel`] was called.
    #[error("the compaction was cancelled")]
    Cancelled,
}

/// A compaction under way.
pub struct Job<E: Env> {
    env: E,
    dir: String,
    rules: Rules<E>,
    /// Asks the tables outside.
    outside: OrderedProbe<E>,
    control: Rc<Control>,
    new_id: Box<dyn FnMut() -> FileId>,
    scan: MergeScan<E>,
    progress: Progress,
}

impl<E: Env> Job<E> {
    /// Begins what `choice` says, with `inputs` for its tables, in directory `dir`. `new_id` gives
    /// the ids of outputs.
    ///
    /// # Errors
    /// An input cannot be read.
    pub async fn new(
        env: &E,
        dir: &str,
        choice: &Choice,
        mut inputs: Vec<Input<E>>,
        mut rules: Rules<E>,
        control: Rc<Control>,
        new_id: Box<dyn FnMut() -> FileId>,
    ) -> Result<Self, JobError> {
        assert!(inputs.iter().map(|it| it.entry.id).eq(choice.inputs.iter().copied()));
        inputs.sort_by_key(|it| (it.entry.level, it.entry.visible.first()));
        // Tables of level 0 may overlap; those of another level are one run.
        let same_run =
            |a: &Input<E>, b: &Input<E>| a.entry.level == b.entry.level && a.entry.level > 0;
        let mut sources = Vec::new();
        for run in inputs.chunk_by(same_run) {
            let tables = run.iter().map(|it| it.table.with_visible(it.entry.visible)).collect();
            let tokens = choice.part.unwrap_or(TokenRange::ALL);
            sources.extend(Run::new(env, tables, tokens).await?.map(Source::Run));
        }
        let scan = MergeScan::new(sources, rules.merge);
        let entries = inputs.into_iter().map(|it| it.entry).collect();
        let progress = Progress::new(entries, choice, rules.as_of);
        let outside = OrderedProbe::new(std::mem::take(&mut rules.outside));
        let (env, dir) = (env.clone(), dir.to_owned());
        Ok(Self { env, dir, rules, outside, control, new_id, scan, progress })
    }

    /// Writes the next output. `None` when the job is done.
    ///
    /// # Errors
    /// [`JobError`]; the job is over then.
    pub async fn step(&mut self) -> Result<Option<Step>, JobError> {
        if self.progress.is_done() {
            return Ok(None);
        }
        let mut writer = None;
        match self.fill(&mut writer).await {
            Ok(upto) => {
                let output = match writer {
                    Some(writer) => Some(writer.finish().await?),
                    None => None,
                };
                let edit = match upto {
                    Some(upto) => self.progress.pass(upto, output.as_ref()),
                    None => self.progress.pass_all(output.as_ref()),
                };
                Ok(Some(Step { edit, output }))
            }
            Err(error) => {
                if let Some(writer) = writer {
                    // Should that fail too, the next start removes the file.
                    drop(writer.abandon().await);
                }
                Err(error)
            }
        }
    }

    /// Fills an output, made when there is something to put in. The token up to which it holds
    /// everything; `None` if that is all there is.
    async fn fill(
        &mut self,
        writer: &mut Option<TableWriter<E>>,
    ) -> Result<Option<Token>, JobError> {
        let mut passed: Option<Token> = None;
        while let Some(record) = self.scan.current() {
            let token = record.key.token;
            let full =
                writer.as_ref().is_some_and(|it| it.data_bytes() >= self.rules.fragment_bytes);
            // Keys of one token stay together: outputs are parted by tokens.
            if full && passed.is_some_and(|passed| passed < token) {
                return Ok(passed);
            }
            let mut kept = self.rules.turned(record);
            if let Some(dead) = kept.filter(|it| self.rules.may_go(it))
                && !self.outside.may_contain(&dead.key).await
            {
                kept = None;
            }
            if let Some(kept) = kept {
                let writer = match writer {
                    Some(writer) => writer,
                    None => {
                        let id = (self.new_id)();
                        let made = TableWriter::create(&self.env, &self.dir, id).await?;
                        let made = made.compressing(&self.rules.namespaces);
                        writer.insert(made.keeping(self.rules.keep_blocks.clone()))
                    }
                };
                writer.add(&kept).await?;
            }
            passed = Some(token);
            self.scan.advance().await?;
            if self.control.cancelled.get() {
                return Err(JobError::Cancelled);
            }
        }
        Ok(None)
    }
}

impl<E: Env> Rules<E> {
    /// What becomes of `record`, which stands: a tombstone, if it is past its time; nothing, if its
    /// namespace was dropped. Of siblings past their time nothing is left out: what they knew of is
    /// among them.
    fn turned<'a>(&self, record: Record<'a>) -> Option<Record<'a>> {
        if self.namespaces.is_dropped(record.key.namespace) {
            return None;
        }
        let is_turned = record.is_dead(self.now_ms) && !record.kind.is_mergeable();
        let tombstone = Record { kind: Kind::Tombstone, expires_at_ms: 0, value: &[], ..record };
        Some(if is_turned { tombstone } else { record })
    }

    /// Whether `record` is dead and has done its work, if its key is nowhere else.
    fn may_go(&self, record: &Record<'_>) -> bool {
        record.is_dead(self.now_ms) && record.version.hlc < self.purge_below
    }
}
