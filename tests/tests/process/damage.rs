//! Every kind of file of a data directory, damaged in every region in every way: kvcore refuses to
//! start, with a status and a sentence that names the file, or it serves, and each read gives the
//! right value or an error that says that it cannot. After a refusal nothing was changed: with the
//! file as it was it serves everything.
//!
//! What cannot be told is written in `engine/DESIGN.md`; the only cases that make use of it are
//! those of [`Case::least`].

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use crate::server::{Start, scratch};
use crate::stocked::{Ledger, Seen, Stocked, copy, names};

const BLOCK: u64 = 4096;
/// Statuses that say that a data directory cannot be used: foreign, newer, damaged, unreadable.
const REFUSALS: [i32; 4] = [21, 22, 23, 25];

#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Flip(u64),
    Zero(u64),
    Truncate(u64),
    Remove,
    /// With the file beside it that has this name.
    Swap(String),
    /// By the file at this path: an older copy of itself, or one of another directory.
    Replace(PathBuf),
}

impl Damage {
    pub(crate) fn apply(&self, file: &Path) {
        let open = || fs::OpenOptions::new().write(true).read(true).open(file).unwrap();
        match self {
            Self::Flip(at) => {
                let mut byte = [0];
                open().read_exact_at(&mut byte, *at).unwrap();
                open().write_all_at(&[byte[0] ^ 0x10], *at).unwrap();
            }
            Self::Zero(at) => open().write_all_at(&[0; BLOCK as usize], *at).unwrap(),
            Self::Truncate(len) => open().set_len(*len).unwrap(),
            Self::Remove => fs::remove_file(file).unwrap(),
            Self::Swap(name) => {
                let other = file.with_file_name(name);
                let aside = file.with_file_name("aside");
                fs::rename(file, &aside).unwrap();
                fs::rename(&other, file).unwrap();
                fs::rename(&aside, &other).unwrap();
            }
            Self::Replace(by) => {
                fs::remove_file(file).unwrap();
                copy(by, file);
            }
        }
    }
}

/// A file of a directory, and what becomes of it.
struct Case<'a> {
    state: &'a State<'a>,
    file: String,
    damage: Damage,
    /// The last batch of the log is in the damaged block.
    hits_last_batch: bool,
    /// It is the last segment of the log that holds batches.
    is_last_log: bool,
}

/// A data directory before it is damaged.
struct State<'a> {
    name: &'static str,
    dir: &'a Path,
    ledger: &'a Ledger,
    /// Whether the log's last batch is followed by a seal.
    is_sealed: bool,
    /// The same directory earlier, and the writes there were.
    earlier: &'a Path,
    earlier_writes: usize,
    /// Writes that are in tables.
    flushed_writes: usize,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{} {} {:?}", self.state.name, self.file, self.damage)
    }

    /// The least writes there may be afterwards: all, but for what cannot be told
    /// (`engine/DESIGN.md`, "What can it not see?").
    fn least(&self) -> usize {
        let all = self.state.ledger.len();
        let is_log = self.file.ends_with(".log");
        match &self.damage {
            // An unsealed last batch that is damaged looks like a torn one.
            Damage::Flip(_) | Damage::Zero(_) if self.hits_last_batch && !self.state.is_sealed => {
                all - 1
            }
            // A segment that is an older state of itself.
            Damage::Replace(_) if is_log => self.state.earlier_writes,
            // The last segment with batches, gone: what is not in tables.
            Damage::Remove if self.is_last_log => self.state.flushed_writes,
            _ => all,
        }
    }

    /// What became of it.
    fn run(&self, scratch: &Path) -> Result<Outcome, String> {
        let dir = tempfile::tempdir_in(scratch).unwrap();
        let data = dir.path().join("data");
        copy(self.state.dir, &data);
        self.damage.apply(&data.join(&self.file));
        match Start::on(&data).attempt() {
            Ok(server) => {
                let seen = self.state.ledger.check(&server, self.least())?;
                server.kill();
                let Seen { writes, corrupt } = seen;
                let lost = self.state.ledger.len() - writes;
                Ok(Outcome { corrupt, lost, ..Outcome::default() })
            }
            Err(ended) => {
                let status = ended.status.code().ok_or("it does not end by itself")?;
                let said = ended.said.lines().last().unwrap_or_default();
                if !REFUSALS.contains(&status) || !self.is_named_in(said) {
                    return Err(format!("status {status}: {}", ended.said));
                }
                let may_have_cost =
                    !matches!(self.damage, Damage::Flip(_) | Damage::Zero(_) | Damage::Truncate(_));
                if !may_have_cost && !is_long() {
                    return Ok(Outcome { refused: true, ..Outcome::default() });
                }
                self.restore(&data);
                let again = Start::on(&data).attempt();
                let server = again.map_err(|ended| format!("put back, refused: {}", ended.said))?;
                let seen = self.state.ledger.check(&server, self.state.ledger.len());
                let seen = seen.map_err(|error| format!("put back, {error}; it said {said}"))?;
                server.kill();
                if seen.corrupt > 0 {
                    return Err(format!("put back, {} keys are damaged", seen.corrupt));
                }
                Ok(Outcome { refused: true, ..Outcome::default() })
            }
        }
    }

    /// Whether a sentence tells which file it is. A segment that is gone has no name: the place
    /// where its batches should be is named.
    fn is_named_in(&self, said: &str) -> bool {
        let name = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
        let mut named = vec![name(&self.file)];
        match &self.damage {
            Damage::Swap(other) => named.push(other.clone()),
            Damage::Remove if self.file.ends_with(".log") => named.push(".log".to_owned()),
            // Another node's, or an older one, speaks of what is not there.
            Damage::Replace(_) if self.file == "NODE" => {
                named.extend(["gen-0".to_owned(), "CLOCK".to_owned()]);
            }
            Damage::Replace(_) if self.file.ends_with("MANIFEST") => {
                named.extend([".sst".to_owned(), ".log".to_owned()]);
            }
            _ => {}
        }
        said.starts_with("kvcore: ") && named.iter().any(|name| said.contains(name))
    }

    /// Puts back what was there.
    fn restore(&self, data: &Path) {
        let mut files = vec![self.file.clone()];
        if let Damage::Swap(other) = &self.damage {
            let parent = Path::new(&self.file).parent().unwrap();
            files.push(parent.join(other).to_str().unwrap().to_owned());
        }
        for file in files {
            drop(fs::remove_file(data.join(&file)));
            copy(&self.state.dir.join(&file), &data.join(&file));
        }
    }
}

#[derive(Clone, Copy, Default, Debug)]
struct Outcome {
    refused: bool,
    /// Keys answered with `Corrupt`.
    corrupt: usize,
    /// Writes gone that could not be known to have been acknowledged.
    lost: usize,
}

/// Damages of a file by place and by length.
fn damages(path: &Path) -> Vec<(Damage, bool)> {
    let bytes = fs::read(path).unwrap();
    let len = bytes.len() as u64;
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
    let mut damages = vec![(Damage::Remove, false), (Damage::Truncate(0), false)];
    if len == 0 {
        return damages;
    }
    let block = |at: u64| at.min(len - 1) / BLOCK * BLOCK;
    let last = block(used.saturating_sub(1));
    for at in [0, block(used / 2), last] {
        damages.push((Damage::Flip((at + 40).min(len - 1)), at == last));
        damages.push((Damage::Zero(at), at == last));
    }
    // The footer of a table, and what nobody reads of the others.
    damages.push((Damage::Flip(len - 100.min(len)), len == used && last + BLOCK >= len));
    damages.push((Damage::Flip(len - 1), len == used));
    damages.push((Damage::Truncate(len / 2), false));
    damages.push((Damage::Truncate(len.saturating_sub(BLOCK)), false));
    damages
}

/// Whether a segment's file begins with a batch of its own, and not with one of the segment that
/// it was before, or with zeros.
fn holds_batches(path: &Path) -> bool {
    let id = u64::from_str_radix(path.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let mut named = [0; 8];
    fs::File::open(path).unwrap().read_exact_at(&mut named, 16).unwrap();
    u64::from_le_bytes(named) == id
}

/// All cases of a directory's files.
fn cases<'a>(state: &'a State<'a>, stocked: &Stocked) -> Vec<Case<'a>> {
    let shard = "gen-0003/shard-000";
    let of = |end: &str| names(&state.dir.join(shard), end);
    let (logs, tables) = (of(".log"), of(".sst"));
    assert!(tables.len() > 1, "{logs:?} {tables:?}");
    let last_log = logs.iter().rfind(|log| holds_batches(&state.dir.join(shard).join(log)));
    let mut files: Vec<String> =
        ["NODE", "CLOCK", "LOCK", "PROBE"].map(str::to_owned).into_iter().collect();
    files.push(format!("{shard}/MANIFEST"));
    files.extend(of(".clk").iter().map(|clocks| format!("{shard}/{clocks}")));
    files.extend(logs.iter().map(|log| format!("{shard}/{log}")));
    // The oldest, the newest, and one between.
    let some = BTreeSet::from([0, tables.len() / 2, tables.len() - 1]);
    files.extend(some.into_iter().map(|index| format!("{shard}/{}", tables[index])));
    let mut cases = Vec::new();
    for file in files {
        let name = file.rsplit('/').next().unwrap().to_owned();
        let mut damages = damages(&state.dir.join(&file));
        let beside = [&logs, &tables].into_iter().find(|names| names.contains(&name));
        let other = beside.and_then(|names| names.iter().find(|other| **other != name));
        damages.extend(other.map(|other| (Damage::Swap(other.clone()), false)));
        // Of an older generation, and of another node.
        let first_generation = stocked.first.join(file.replace("gen-0003", "gen-0001"));
        let strangers = [first_generation, stocked.other.join(&file)];
        let strangers = strangers.into_iter().filter(|path| beside.is_none() && path.exists());
        damages.extend(strangers.map(|path| (Damage::Replace(path), false)));
        let earlier = state.earlier.join(&file);
        let is_other = |path: &PathBuf| {
            fs::read(path).is_ok_and(|bytes| bytes != fs::read(state.dir.join(&file)).unwrap())
        };
        let earlier = Some(earlier).filter(is_other);
        damages.extend(earlier.map(|path| (Damage::Replace(path), false)));
        let is_last_log = last_log == Some(&name);
        cases.extend(damages.into_iter().map(|(damage, hits_last)| {
            let hits_last_batch = hits_last && is_last_log;
            Case { state, file: file.clone(), damage, hits_last_batch, is_last_log }
        }));
    }
    cases
}

/// The tables that a busy node has compacted, damaged.
fn compacted_tables<'a>(state: &'a State<'a>) -> Vec<Case<'a>> {
    let shard = "gen-0001/shard-000";
    let case = |file: &String, damage| Case {
        state,
        file: file.clone(),
        damage,
        hits_last_batch: false,
        is_last_log: false,
    };
    let tables = names(&state.dir.join(shard), ".sst").into_iter();
    let files: Vec<String> = tables.map(|table| format!("{shard}/{table}")).collect();
    let of = |file: &String| damages(&state.dir.join(file)).into_iter().map(|(damage, _)| damage);
    files.iter().flat_map(|file| of(file).map(|damage| case(file, damage))).collect()
}

/// All manifests that a busy node has had, in the place of its last.
fn older_manifests<'a>(state: &'a State<'a>, manifests: &[Vec<u8>], root: &Path) -> Vec<Case<'a>> {
    let file = |(index, bytes): (usize, &Vec<u8>)| {
        let path = root.join(format!("manifest {index}"));
        fs::write(&path, bytes).unwrap();
        let file = "gen-0001/shard-000/MANIFEST".to_owned();
        let damage = Damage::Replace(path);
        Case { state, file, damage, hits_last_batch: false, is_last_log: false }
    };
    manifests.iter().enumerate().map(file).collect()
}

/// Whether all cases are run, and each refusal is tried again with the file put back.
fn is_long() -> bool {
    std::env::var_os("KVCORE_TEST_DAMAGE").is_some_and(|value| value == "all")
}

/// Runs all cases, two at a time.
fn run<'a>(cases: &'a [Case<'a>], root: &Path) -> Vec<(&'a Case<'a>, Result<Outcome, String>)> {
    let queue = Mutex::new(cases.iter());
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = { queue.lock().unwrap().next() } {
                    let outcome = case.run(root);
                    ended.lock().unwrap().push((case, outcome));
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

fn states(stocked: &Stocked) -> [State<'_>; 3] {
    let killed_writes = stocked.killed_ledger.len();
    [
        State {
            name: "killed",
            dir: &stocked.killed,
            ledger: &stocked.killed_ledger,
            is_sealed: false,
            earlier: &stocked.running,
            earlier_writes: stocked.running_writes,
            flushed_writes: stocked.flushed_writes,
        },
        State {
            name: "stopped",
            dir: &stocked.stopped,
            ledger: &stocked.stopped_ledger,
            is_sealed: true,
            earlier: &stocked.killed,
            earlier_writes: killed_writes,
            flushed_writes: killed_writes,
        },
        State {
            name: "busy",
            dir: &stocked.busy,
            ledger: &stocked.busy_ledger,
            is_sealed: false,
            earlier: &stocked.busy,
            earlier_writes: stocked.busy_ledger.len(),
            flushed_writes: stocked.busy_ledger.len(),
        },
    ]
}

#[test]
fn damage_of_any_file_is_refused_or_said_and_never_served() {
    let root = scratch();
    let stocked = Stocked::make(root.path());
    let [killed, stopped, busy] = states(&stocked);
    // Every other one in turns, unless it is the long form: each damage meets one of the two.
    let some = |state, skip: usize| {
        let all = cases(state, &stocked).into_iter();
        all.skip(skip).step_by(if is_long() { 1 } else { 2 })
    };
    let mut cases: Vec<Case<'_>> = some(&killed, 0).collect();
    cases.extend(some(&stopped, usize::from(!is_long())));
    let manifests = older_manifests(&busy, &stocked.busy_manifests, root.path());
    cases.extend(manifests.into_iter().step_by(if is_long() { 1 } else { 2 }));
    cases.extend(compacted_tables(&busy).into_iter().step_by(if is_long() { 1 } else { 7 }));
    let mut failures = Vec::new();
    let (mut refused, mut corrupt, mut lost) = (0, 0, 0);
    for (case, outcome) in run(&cases, root.path()) {
        match outcome {
            Ok(outcome) => {
                refused += usize::from(outcome.refused);
                corrupt += usize::from(outcome.corrupt > 0);
                lost += usize::from(outcome.lost > 0);
                if outcome.lost > 0 {
                    println!("{}: {} writes cannot be missed", case.name(), outcome.lost);
                }
            }
            Err(error) => failures.push(format!("{}: {error}", case.name())),
        }
    }
    println!(
        "{} cases: {refused} refused, {corrupt} served with errors, {lost} lost what cannot be \
         known, the others served whole",
        cases.len()
    );
    assert!(refused > 20 && corrupt > 3, "the damage met nothing");
    assert!(failures.is_empty(), "{} cases:\n{}", failures.len(), failures.join("\n"));
}
