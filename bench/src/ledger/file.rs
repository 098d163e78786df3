//! The file of a ledger. It is only ever replaced as a whole: a temporary file, synced, renamed
//! over it, and the directory synced.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use tempfile::NamedTempFile;

use super::account::Account;
use super::format::{State, decode, encode};
use super::ledger::Ledger;

/// A ledger and its file; for one process at a time.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    ledger: Ledger,
}

impl LedgerFile {
    /// Reads `path`, or begins a ledger of the namespace where there is no file yet.
    ///
    /// # Errors
    /// A sentence for a person: no ledger, a damaged one, another namespace's, one whose run did
    /// not end.
    pub fn open_or_new(path: &Path, namespace: &str) -> anyhow::Result<Self> {
        match read(path, namespace) {
            Ok(Some(file)) => Ok(file),
            Ok(None) => {
                let ledger = Ledger::new(namespace, base(SystemTime::now()));
                Ok(Self { path: path.to_owned(), ledger })
            }
            Err(error) => Err(error),
        }
    }

    /// Reads `path`, which must be there.
    ///
    /// # Errors
    /// As [`LedgerFile::open_or_new`].
    pub fn open(path: &Path, namespace: &str) -> anyhow::Result<Self> {
        read(path, namespace)?.with_context(|| format!("there is no ledger {}", path.display()))
    }

    /// What it says.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A run begins. Until it ends, the file says that it did not: what is not known to have been
    /// written cannot be judged.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(&self) -> anyhow::Result<()> {
        self.save(State::Running)
    }

    /// The run ended.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn end(&mut self, account: Account) -> anyhow::Result<()> {
        self.ledger.add(account);
        self.save(State::Rest)
    }

    /// Replaces what it says by `ledger`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn replace(&mut self, ledger: Ledger) -> anyhow::Result<()> {
        self.ledger = ledger;
        self.save(State::Rest)
    }

    fn save(&self, state: State) -> anyhow::Result<()> {
        write(&self.path, &encode(&self.ledger, state))
            .with_context(|| format!("cannot write the ledger {}", self.path.display()))
    }
}

fn read(path: &Path, namespace: &str) -> anyhow::Result<Option<LedgerFile>> {
    let shown = path.display();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let (ledger, state) = decode(&bytes).with_context(|| format!("cannot use {shown}"))?;
    if ledger.namespace() != namespace {
        bail!("{shown} is of namespace {:?}, not {namespace:?}", ledger.namespace());
    }
    if state == State::Running {
        bail!(
            "cannot use {shown}: the end of a run is missing in it, so what was written is not \
             known; begin a new ledger"
        );
    }
    Ok(Some(LedgerFile { path: path.to_owned(), ledger }))
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(dir)?.sync_all()?;
    Ok(())
}

/// Where the sequences of a new ledger start: microseconds since 1970, above those of a run
/// without a ledger, and above those of earlier ledgers that wrote fewer than a million times a
/// second.
fn base(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX / 2)
}
