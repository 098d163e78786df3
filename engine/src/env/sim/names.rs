//! Directories: live names, durable names, and the operations between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

pub(super) type Inode = u64;

/// The root directory.
pub(super) const ROOT: Inode = 0;

type Names = BTreeMap<String, Inode>;

/// One directory operation: slots `(directory, name)` set to a file or to nothing, all of them or
/// none.
#[derive(Clone, Debug)]
pub(super) struct NameOp(Vec<Slot>);

#[derive(Clone, Debug)]
struct Slot {
    dir: Inode,
    name: String,
    to: Option<Inode>,
}

impl Slot {
    fn is_same(&self, other: &Self) -> bool {
        self.dir == other.dir && self.name == other.name
    }
}

impl NameOp {
    fn touches(&self, other: &Self) -> bool {
        self.0.iter().any(|slot| other.0.iter().any(|theirs| theirs.is_same(slot)))
    }
}

/// The directory tree of a disk.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    live: BTreeMap<Inode, Names>,
    durable: BTreeMap<Inode, Names>,
    /// Operations that are live and not durable, oldest first.
    pending: Vec<NameOp>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(ROOT, Names::new())]);
        Self { live: root.clone(), durable: root, pending: Vec::new() }
    }

    /// The file or directory at `path`.
    pub(super) fn find(&self, path: &str) -> io::Result<Inode> {
        let mut at = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let names = self.live.get(&at).ok_or(io::ErrorKind::NotADirectory)?;
            at = *names.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(at)
    }

    /// Whether `inode` is a directory.
    pub(super) fn is_dir(&self, inode: Inode) -> bool {
        self.live.contains_key(&inode)
    }

    /// The names in directory `path`, sorted.
    pub(super) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let names = self.live.get(&self.find(path)?).ok_or(io::ErrorKind::NotADirectory)?;
        Ok(names.keys().cloned().collect())
    }

    /// Gives `inode` the name `path`, which is free.
    pub(super) fn add(&mut self, path: &str, inode: Inode) -> io::Result<()> {
        let (dir, name) = self.slot(path)?;
        if self.live[&dir].contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(vec![Slot { dir, name, to: Some(inode) }]);
        Ok(())
    }

    /// Makes `inode` a directory, `path`.
    pub(super) fn add_dir(&mut self, path: &str, inode: Inode) -> io::Result<()> {
        self.add(path, inode)?;
        self.live.insert(inode, Names::new());
        self.durable.insert(inode, Names::new());
        Ok(())
    }

    /// Removes the name `path` of a file or of an empty directory.
    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let inode = self.find(path)?;
        if self.live.get(&inode).is_some_and(|names| !names.is_empty()) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        let (dir, name) = self.slot(path)?;
        self.change(vec![Slot { dir, name, to: None }]);
        Ok(())
    }

    /// Moves the name `from` to `to`, replacing what is there.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.find(from)?;
        let (from_dir, from_name) = self.slot(from)?;
        let (to_dir, to_name) = self.slot(to)?;
        if (from_dir, &from_name) == (to_dir, &to_name) {
            return Ok(());
        }
        self.change(vec![
            Slot { dir: from_dir, name: from_name, to: None },
            Slot { dir: to_dir, name: to_name, to: Some(inode) },
        ]);
        Ok(())
    }

    /// Lets the files `a` and `b` change names.
    pub(super) fn exchange(&mut self, a: &str, b: &str) -> io::Result<()> {
        let (in_a, in_b) = (self.find(a)?, self.find(b)?);
        let (a_dir, a_name) = self.slot(a)?;
        let (b_dir, b_name) = self.slot(b)?;
        self.change(vec![
            Slot { dir: a_dir, name: a_name, to: Some(in_b) },
            Slot { dir: b_dir, name: b_name, to: Some(in_a) },
        ]);
        Ok(())
    }

    /// Makes every operation on directory `dir` durable, with those they build on.
    pub(super) fn sync(&mut self, dir: Inode) {
        let mut take: Vec<usize> = Vec::new();
        for index in (0..self.pending.len()).rev() {
            let op = &self.pending[index];
            let needed = op.0.iter().any(|slot| slot.dir == dir)
                || take.iter().any(|&later| self.pending[later].touches(op));
            if needed {
                take.push(index);
            }
        }
        for &index in take.iter().rev() {
            apply(&mut self.durable, &self.pending[index]);
        }
        let mut index = 0;
        self.pending.retain(|_| {
            index += 1;
            !take.contains(&(index - 1))
        });
    }

    /// Operations that a power cut may take.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The tree after a power cut that kept the pending operations that `keep` chose, as far as
    /// those they build on were kept.
    pub(super) fn crashed(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut names = self.durable.clone();
        let mut lost: Vec<&NameOp> = Vec::new();
        for (index, op) in self.pending.iter().enumerate() {
            if keep(index) && !lost.iter().any(|earlier| earlier.touches(op)) {
                apply(&mut names, op);
            } else {
                lost.push(op);
            }
        }
        let reached = reachable(&names, []);
        names.retain(|inode, _| reached.contains(inode));
        Self { live: names.clone(), durable: names, pending: Vec::new() }
    }

    /// Everything that has a name now, or would have one after some power cut.
    pub(super) fn reachable(&self) -> BTreeSet<Inode> {
        let pending = self.pending.iter().flat_map(|op| op.0.iter().filter_map(|slot| slot.to));
        let mut all = reachable(&self.live, pending);
        all.extend(reachable(&self.durable, []));
        all
    }

    /// Every file that has a name now, by path.
    pub(super) fn paths(&self) -> BTreeMap<String, Inode> {
        let mut files = BTreeMap::new();
        let mut dirs = vec![(String::new(), ROOT)];
        while let Some((prefix, dir)) = dirs.pop() {
            for (name, &inode) in &self.live[&dir] {
                let path = format!("{prefix}{name}");
                if self.is_dir(inode) {
                    dirs.push((format!("{path}/"), inode));
                } else {
                    files.insert(path, inode);
                }
            }
        }
        files
    }

    fn slot(&self, path: &str) -> io::Result<(Inode, String)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        assert!(!name.is_empty(), "a path ends in a name: {path:?}");
        let dir = self.find(parent)?;
        if !self.is_dir(dir) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok((dir, name.to_string()))
    }

    fn change(&mut self, slots: Vec<Slot>) {
        let op = NameOp(slots);
        apply(&mut self.live, &op);
        self.pending.push(op);
    }
}

fn apply(trees: &mut BTreeMap<Inode, Names>, op: &NameOp) {
    for Slot { dir, name, to } in &op.0 {
        let Some(names) = trees.get_mut(dir) else { continue };
        match to {
            Some(inode) => names.insert(name.clone(), *inode),
            None => names.remove(name),
        };
    }
}

fn reachable(
    trees: &BTreeMap<Inode, Names>,
    more: impl IntoIterator<Item = Inode>,
) -> BTreeSet<Inode> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<Inode> = more.into_iter().chain([ROOT]).collect();
    while let Some(inode) = open.pop() {
        if reached.insert(inode) {
            open.extend(trees.get(&inode).into_iter().flat_map(|names| names.values()));
        }
    }
    reached
}
