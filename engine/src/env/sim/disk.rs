//! The disk: files and names with their three images, space, faults, and the power.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use fastrand::Rng;
use xxhash_rust::xxh3::Xxh3;

use super::content::{Change, Content, SECTOR};
use super::crash::{Crash, tear};
use super::fault::{Fail, Fault, Faults, Io, When, no_space};
use super::names::{Inode, ROOT, Tree};
use crate::env::{ALIGN, Space};

/// A simulated disk. Clones are the same disk.
///
/// Its own methods are for tests: they cost no time, count as no operation and never fail.
#[derive(Clone, Debug)]
pub struct SimDisk(Rc<RefCell<State>>);

#[derive(Clone, Debug)]
struct State {
    tree: Tree,
    files: BTreeMap<Inode, FileState>,
    next_inode: Inode,
    next_write: u64,
    /// Changes of names and bytes, and syncs that ended.
    changes: u64,
    capacity: u64,
    faults: Faults,
    watch: Option<Watch>,
    rng: Rng,
}

/// Who looks at every operation.
#[derive(Clone)]
struct Watch(Rc<Look>);

type Look = dyn Fn(&SimDisk, Io, When);

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}

#[derive(Clone, Default, Debug)]
struct FileState {
    /// What a reader sees.
    live: Content,
    /// What was synced.
    durable: Content,
    /// What is live and not synced, oldest first.
    cached: Vec<Change>,
    /// Changes that were synced or lost before those in `cached`.
    settled: u64,
    /// What was started and has not ended.
    in_flight: BTreeMap<u64, Change>,
    /// Handles open on it.
    opens: usize,
    /// Bytes reserved beside the size.
    allocated: u64,
}

impl FileState {
    fn reserved(&self) -> u64 {
        self.live.size().next_multiple_of(ALIGN as u64).max(self.allocated)
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.cached.push(change);
    }
}

impl SimDisk {
    /// An empty disk of 1 TiB. The seed says how failed operations tear what they were to write.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(Tree::new(), BTreeMap::new(), 1 << 40, seed)
    }

    fn with(tree: Tree, files: BTreeMap<Inode, FileState>, capacity: u64, seed: u64) -> Self {
        let next_inode = tree.reachable().last().map_or(ROOT, |&last| last) + 1;
        Self(Rc::new(RefCell::new(State {
            tree,
            files,
            next_inode,
            next_write: 0,
            changes: 0,
            capacity,
            faults: Faults::default(),
            watch: None,
            rng: Rng::with_seed(seed),
        })))
    }

    /// The disk that is found after a power cut now: synced data and names, and of the rest what
    /// `class` and `seed` say. This disk stays as it is.
    #[must_use]
    pub fn crash(&self, class: Crash, seed: u64) -> Self {
        let state = self.0.borrow();
        let mut rng = Rng::with_seed(seed);
        let kept = class.names(state.tree.pending(), &mut rng);
        let tree = state.tree.crashed(|index| kept[index]);
        let reached = tree.reachable();
        let mut files = BTreeMap::new();
        for (&inode, file) in state.files.iter().filter(|(inode, _)| reached.contains(inode)) {
            let changes: Vec<&Change> = file.cached.iter().chain(file.in_flight.values()).collect();
            let mut content = file.durable.clone();
            class.content(&mut content, &changes, &mut rng);
            let live = content.clone();
            files.insert(inode, FileState { live, durable: content, ..FileState::default() });
        }
        Self::with(tree, files, state.capacity, rng.u64(..))
    }

    /// Another disk with all that is on this one now, synced or not, and without its faults. What
    /// is in flight here is in flight there for ever, see [`end_process`](Self::end_process).
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut state = self.0.borrow().clone();
        (state.faults, state.watch) = (Faults::default(), None);
        Self(Rc::new(RefCell::new(state)))
    }

    /// The process that used the disk is gone: some of its writes in flight ended, the others never
    /// began. What it wrote is there, synced or not, but for what a failed sync has lost: the next
    /// process reads the disk and not what the last one believed.
    pub fn end_process(&self, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        for file in self.0.borrow_mut().files.values_mut() {
            let size = file.live.size();
            file.live = file.durable.clone();
            file.cached.iter().for_each(|change| file.live.apply(change));
            file.live.extend_to(size);
            for (_, change) in std::mem::take(&mut file.in_flight) {
                if rng.bool() {
                    file.change(change);
                }
            }
        }
    }

    /// Has `look` called before and after each operation. It may look at the disk, and is not
    /// called once the power is gone.
    pub fn watch(&self, look: impl Fn(&Self, Io, When) + 'static) {
        self.0.borrow_mut().watch = Some(Watch(Rc::new(look)));
    }

    /// Ends a [`watch`](Self::watch).
    pub fn unwatch(&self) {
        self.0.borrow_mut().watch = None;
    }

    /// A number that says what a reader would find: names and bytes of all files. Equal for disks
    /// that are equal to readers.
    #[must_use]
    pub fn image_hash(&self) -> u64 {
        let state = self.0.borrow();
        let mut hasher = Xxh3::new();
        for (path, inode) in state.tree.paths() {
            hasher.update(path.as_bytes());
            hasher.update(&[0]);
            state.files[&inode].live.hash_into(&mut hasher);
        }
        hasher.digest()
    }

    /// Cuts the power at the `nth` sync of a file or directory, counted from 1.
    pub fn crash_at_sync(&self, nth: u64, when: When) {
        self.0.borrow_mut().faults.cut_at(true, nth, when);
    }

    /// Cuts the power at the `nth` operation of any kind, counted from 1.
    pub fn crash_at_io(&self, nth: u64, when: When) {
        self.0.borrow_mut().faults.cut_at(false, nth, when);
    }

    /// Cuts the power now: nothing in flight ends any more.
    pub fn cut_power(&self) {
        self.0.borrow_mut().faults.dead = true;
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.borrow().faults.dead
    }

    /// Syncs of files and directories so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.borrow().faults.syncs
    }

    /// Operations of every kind so far.
    #[must_use]
    pub fn ios(&self) -> u64 {
        self.0.borrow().faults.ios
    }

    /// Grows with everything that may change what [`crash`](Self::crash) finds.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.0.borrow().changes
    }

    /// Makes operations fail from now on.
    pub fn inject(&self, fault: Fault) {
        self.0.borrow_mut().faults.add(fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.0.borrow_mut().faults.clear();
    }

    /// The disk holds `bytes` from now on.
    pub fn set_capacity(&self, bytes: u64) {
        self.0.borrow_mut().capacity = bytes;
    }

    /// Its space.
    #[must_use]
    pub fn space(&self) -> Space {
        let state = self.0.borrow();
        let available = state.capacity.saturating_sub(state.used());
        Space { available, total: state.capacity }
    }

    /// The paths of all files, sorted.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.0.borrow().tree.paths().into_keys().collect()
    }

    /// What a reader of file `path` sees; `None` if there is none.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let inode = state.tree.find(path).ok()?;
        state.files.get(&inode).map(|file| file.live.to_vec())
    }

    /// Makes file `path` hold `bytes`, durably, in a directory that exists.
    ///
    /// # Panics
    /// If the directory does not exist or `path` is one.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let inode = match state.tree.find(path) {
            Ok(inode) => inode,
            Err(_) => {
                let inode = state.new_inode();
                state.tree.add(path, inode).expect("the directory exists");
                let (parent, _) = path.rsplit_once('/').unwrap_or(("", path));
                let parent = state.tree.find(parent).expect("the directory exists");
                state.tree.sync(parent);
                state.files.insert(inode, FileState::default());
                inode
            }
        };
        let file = state.files.get_mut(&inode).expect("a file, not a directory");
        (file.live, file.durable) = (Content::of(bytes), Content::of(bytes));
        file.cached.clear();
    }

    /// Changes the bytes of file `path`, live and durable, behind everybody's back.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn corrupt(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.bytes(path).expect("the file exists");
        change(&mut bytes);
        self.put(path, &bytes);
    }

    /// Removes file `path`, durably.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&self, path: &str) {
        let mut state = self.0.borrow_mut();
        state.tree.remove(path).expect("the file exists");
        let (parent, _) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = state.tree.find(parent).expect("its directory exists");
        state.tree.sync(parent);
    }

    /// Runs an operation unless the power is gone, and counts it; `None` is: no answer, ever.
    fn operate<T>(
        &self,
        io: Io,
        on: On<'_>,
        act: impl FnOnce(&mut State, Option<Fail>) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        self.show(io, When::Before);
        let result = self.act(io, on, act)?;
        self.show(io, When::After);
        Some(result)
    }

    fn act<T>(
        &self,
        io: Io,
        on: On<'_>,
        act: impl FnOnce(&mut State, Option<Fail>) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let state = &mut *self.0.borrow_mut();
        if state.faults.dead {
            return None;
        }
        let cut = state.faults.count(io);
        if cut == Some(When::Before) {
            state.faults.dead = true;
            return None;
        }
        let path = if state.faults.needs_paths() { state.path_of(on) } else { String::new() };
        let fail = state.faults.hit(io, &path);
        let names = state.tree.pending();
        let result = act(state, fail);
        let changed = matches!(io, Io::Write | Io::Sync) || state.tree.pending() != names;
        state.changes += u64::from(changed);
        if cut == Some(When::After) {
            state.faults.dead = true;
            return None;
        }
        Some(result)
    }

    /// Lets whoever watches look.
    fn show(&self, io: Io, when: When) {
        let watch = self.0.borrow().watch.clone();
        if let Some(Watch(look)) = watch.filter(|_| !self.is_dead()) {
            look(self, io, when);
        }
    }

    /// A directory operation on `path`.
    fn name<T>(
        &self,
        path: &str,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        self.operate(Io::Name, On::Path(path), |state, fail| match fail {
            None | Some(Fail::Short | Fail::Lost) => act(state),
            Some(Fail::Torn) => act(state).and(Err(Fail::Torn.error())),
            Some(fail) => Err(fail.error()),
        })
    }
}

/// What an operation is about.
enum On<'a> {
    Path(&'a str),
    File(Inode),
}

/// The operations that an environment's futures end with.
impl SimDisk {
    pub(super) fn open(&self, path: &str, create: bool) -> Option<io::Result<Inode>> {
        self.name(path, |state| {
            let inode = if create {
                let inode = state.new_inode();
                state.tree.add(path, inode)?;
                state.files.insert(inode, FileState::default());
                inode
            } else {
                state.tree.find(path)?
            };
            let file = state.files.get_mut(&inode).ok_or(io::ErrorKind::IsADirectory)?;
            file.opens += 1;
            Ok(inode)
        })
    }

    /// The last handle of an opening of `inode` is gone.
    pub(super) fn close(&self, inode: Inode) {
        let mut state = self.0.borrow_mut();
        if let Some(file) = state.files.get_mut(&inode) {
            file.opens -= 1;
        }
    }

    pub(super) fn list(&self, path: &str) -> Option<io::Result<Vec<String>>> {
        self.name(path, |state| state.tree.list(path))
    }

    pub(super) fn create_dir(&self, path: &str) -> Option<io::Result<()>> {
        self.name(path, |state| {
            let inode = state.new_inode();
            state.tree.add_dir(path, inode)
        })
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Option<io::Result<()>> {
        self.name(to, |state| state.tree.rename(from, to))
    }

    pub(super) fn exchange(&self, a: &str, b: &str) -> Option<io::Result<()>> {
        self.name(b, |state| state.tree.exchange(a, b))
    }

    pub(super) fn link(&self, from: &str, to: &str) -> Option<io::Result<()>> {
        self.name(to, |state| {
            let inode = state.tree.find(from)?;
            state.tree.add(to, inode)
        })
    }

    pub(super) fn unlink(&self, path: &str) -> Option<io::Result<()>> {
        self.name(path, |state| state.tree.remove(path))
    }

    pub(super) fn sync_dir(&self, path: &str) -> Option<io::Result<()>> {
        self.operate(Io::SyncDir, On::Path(path), |state, fail| {
            let dir = state.tree.find(path)?;
            match fail {
                None | Some(Fail::Torn) => {
                    state.tree.sync(dir);
                    state.forget_unreachable();
                }
                Some(Fail::Lost) => return Ok(()),
                Some(_) => {}
            }
            fail.map_or(Ok(()), |fail| Err(fail.error()))
        })
    }

    pub(super) fn read(
        &self,
        inode: Inode,
        offset: u64,
        out: &mut [u8],
    ) -> Option<io::Result<usize>> {
        self.operate(Io::Read, On::File(inode), |state, fail| {
            let read = state.file(inode).live.read(offset, out);
            match fail {
                None => Ok(read),
                Some(Fail::Short) => Ok(read / 2 / SECTOR * SECTOR),
                Some(fail) => Err(fail.error()),
            }
        })
    }

    /// A write starts: from now on a power cut may leave any part of it.
    pub(super) fn start_write(&self, inode: Inode, offset: u64, bytes: &[u8]) -> u64 {
        let state = &mut *self.0.borrow_mut();
        let write = state.next_write;
        state.next_write += 1;
        state.changes += 1;
        state.file(inode).in_flight.insert(write, Change::write(offset, bytes));
        write
    }

    /// A write ends, `len` bytes long if nothing is in its way.
    pub(super) fn end_write(
        &self,
        inode: Inode,
        write: u64,
        len: usize,
    ) -> Option<io::Result<usize>> {
        self.operate(Io::Write, On::File(inode), |state, fail| {
            let change = state.file(inode).in_flight.remove(&write).expect("it was started");
            let mut kept = match fail {
                None if state.has_room_for(inode, &change) => {
                    state.file(inode).change(change);
                    return Ok(len);
                }
                None | Some(Fail::Enospc) => return Err(no_space()),
                Some(_) => state.file(inode).live.clone(),
            };
            let result = if fail == Some(Fail::Short) {
                let sectors = state.rng.usize(..len / SECTOR);
                kept.apply_sectors(&change, |sector| sector < sectors);
                Ok(sectors * SECTOR)
            } else {
                kept.apply_sectors(&change, tear(change.sectors(), &mut state.rng));
                Err(Fail::Eio.error())
            };
            let (outcome, file) = (kept.outcome_of(&change), state.file(inode));
            // What is not synced and lies below it would have to go first.
            if fail == Some(Fail::Torn) && !file.cached.iter().any(|it| it.overlaps(&outcome)) {
                file.durable.apply(&outcome);
            }
            file.change(outcome);
            result
        })
    }

    /// A sync starts: how many of the file's changes since ever it covers.
    pub(super) fn start_sync(&self, inode: Inode) -> u64 {
        let state = &mut *self.0.borrow_mut();
        let file = state.file(inode);
        file.settled + file.cached.len() as u64
    }

    /// A sync that covers the first `covered` changes ends.
    pub(super) fn end_sync(&self, inode: Inode, covered: u64) -> Option<io::Result<()>> {
        self.operate(Io::Sync, On::File(inode), |state, fail| {
            if fail == Some(Fail::Lost) {
                return Ok(());
            }
            let mut rng = state.rng.clone();
            let file = state.file(inode);
            // Another sync may have ended meanwhile and settled them.
            let count = covered.saturating_sub(file.settled);
            file.settled += count;
            for change in file.cached.drain(..count as usize) {
                match fail {
                    None | Some(Fail::Torn) => file.durable.apply(&change),
                    Some(_) => file.durable.apply_sectors(&change, |_| rng.bool()),
                }
            }
            state.rng = rng;
            fail.map_or(Ok(()), |fail| Err(fail.error()))
        })
    }

    pub(super) fn allocate(&self, inode: Inode, bytes: u64) -> Option<io::Result<()>> {
        self.operate(Io::Size, On::File(inode), |state, fail| {
            if let Some(fail) = fail.filter(|fail| *fail != Fail::Torn) {
                return Err(fail.error());
            }
            let more = bytes.saturating_sub(state.file(inode).reserved());
            if more > state.available() {
                return Err(no_space());
            }
            let file = state.file(inode);
            file.allocated = file.allocated.max(bytes);
            fail.map_or(Ok(()), |fail| Err(fail.error()))
        })
    }

    pub(super) fn size(&self, inode: Inode) -> u64 {
        self.0.borrow_mut().file(inode).live.size()
    }
}

impl State {
    fn new_inode(&mut self) -> Inode {
        self.next_inode += 1;
        self.next_inode
    }

    fn file(&mut self, inode: Inode) -> &mut FileState {
        self.files.get_mut(&inode).expect("an open file has its state")
    }

    fn path_of(&self, on: On<'_>) -> String {
        match on {
            On::Path(path) => path.to_string(),
            On::File(wanted) => {
                let paths = self.tree.paths();
                let named = paths.into_iter().find(|(_, inode)| *inode == wanted);
                named.map_or_else(String::new, |(path, _)| path)
            }
        }
    }

    /// Bytes of every file that has a name or is open.
    fn used(&self) -> u64 {
        let named = self.tree.paths();
        let named: std::collections::BTreeSet<Inode> = named.into_values().collect();
        let counted = self.files.iter().filter(|(at, file)| file.opens > 0 || named.contains(at));
        counted.map(|(_, file)| file.reserved()).sum()
    }

    fn available(&self) -> u64 {
        self.capacity.saturating_sub(self.used())
    }

    fn has_room_for(&mut self, inode: Inode, change: &Change) -> bool {
        let more = change.end.saturating_sub(self.file(inode).reserved());
        more == 0 || more <= self.available()
    }

    fn forget_unreachable(&mut self) {
        let reached = self.tree.reachable();
        self.files.retain(|inode, file| {
            file.opens > 0 || !file.in_flight.is_empty() || reached.contains(inode)
        });
    }
}
