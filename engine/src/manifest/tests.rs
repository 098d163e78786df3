//! What manifests promise, on a disk that lies.

use schemas::ids::{Hlc, Token};

use super::*;
use crate::env::sim::{Crash, Fail, Fault, Io, Sim, SimDisk, SimEnv, When};
use crate::env::{ALIGN, Env};
use crate::limits::{self, LOG_SEQUENCE_MAX};
use crate::sstable::{FileId, Properties, TokenRange};
use crate::store::{OpenError, OpenErrorKind};

const DIR: &str = "shard";
const PATH: &str = "shard/MANIFEST";

fn new_disk(seed: u64) -> SimDisk {
    let (sim, disk) = (Sim::new(seed), SimDisk::new(seed));
    let env = sim.env(&disk);
    sim.block_on(async {
        env.create_dir(DIR).await.unwrap();
        env.sync_dir("").await.unwrap();
    });
    disk
}

/// As a store does it.
async fn open_in(env: &SimEnv, dir: &str) -> Result<Manifest<SimEnv>, ManifestError> {
    let version = Manifest::find(env, dir).await?;
    Manifest::create(env, dir, version).await
}

async fn open(env: &SimEnv) -> Result<Manifest<SimEnv>, ManifestError> {
    open_in(env, DIR).await
}

fn with_env<T>(disk: &SimDisk, work: impl AsyncFnOnce(SimEnv) -> T) -> T {
    let sim = Sim::new(1);
    sim.block_on(work(sim.env(disk)))
}

fn range(first: u64, last: u64) -> TokenRange {
    TokenRange::new(Token(first), Token(last)).unwrap()
}

fn entry(number: u64, level: u8, first: u64, last: u64) -> TableEntry {
    let properties = Properties {
        records: 10,
        tombstones: 1,
        expiring: 1,
        raw_bytes: 1000,
        tokens: range(first, last),
        hlc_min: Hlc(number),
        hlc_max: Hlc(number + 5),
        expires_max_ms: 7,
    };
    let (id, visible) = (FileId(number), range(first, last));
    let (file_crc, as_of, hidden) = (number as u32, id, 0);
    TableEntry { id, level, visible, file_bytes: 4096, file_crc, as_of, hidden, properties }
}

fn add(entry: TableEntry) -> VersionEdit {
    VersionEdit { added: vec![entry], ..VersionEdit::default() }
}

/// A history of a few edits of every kind; each version differs from all others.
fn history() -> Vec<VersionEdit> {
    let moved = TableEntry { level: 3, ..entry(1, 0, 0, 50) };
    let narrowed = TableEntry { visible: range(20, 50), ..entry(2, 0, 10, 50) };
    vec![
        VersionEdit { flushed: Some(7), ..add(entry(1, 0, 0, 50)) },
        VersionEdit { flushed: Some(9), ..add(entry(2, 0, 10, 50)) },
        VersionEdit { dropped: vec![FileId(1)], ..add(moved) },
        VersionEdit { file_numbers: 99, ..VersionEdit::default() },
        VersionEdit { purged: 3, ..VersionEdit::default() },
        VersionEdit { dropped: vec![FileId(2)], ..add(narrowed) },
        VersionEdit { dropped: vec![FileId(1), FileId(2)], ..VersionEdit::default() },
    ]
}

/// The versions before, between and after `edits`.
fn versions(edits: &[VersionEdit]) -> Vec<Version> {
    let mut versions = vec![Version::default()];
    for edit in edits {
        versions.push(versions.last().unwrap().apply(edit).unwrap());
    }
    versions
}

/// A disk with a manifest to which `edits` were committed.
fn disk_with(edits: &[VersionEdit]) -> SimDisk {
    let disk = new_disk(1);
    with_env(&disk, async |env| {
        let mut manifest = open(&env).await.unwrap();
        for edit in edits {
            manifest.commit(edit).await.unwrap();
        }
    });
    disk
}

fn read(disk: &SimDisk) -> Result<Version, ManifestError> {
    with_env(disk, async |env| Manifest::read(&env, DIR).await)
}

fn reopen(disk: &SimDisk) -> Result<Version, ManifestError> {
    with_env(disk, async |env| open(&env).await.map(|manifest| (**manifest.version()).clone()))
}

#[test]
fn what_was_committed_is_there_when_it_is_opened_again() {
    let edits = history();
    for (count, version) in versions(&edits).iter().enumerate() {
        let disk = disk_with(&edits[..count]);
        for _ in 0..3 {
            assert_eq!(read(&disk).unwrap(), *version);
            assert_eq!(reopen(&disk).unwrap(), *version);
        }
    }
}

#[test]
fn an_edit_that_contradicts_the_version_is_refused_whole() {
    let version = versions(&history()[..3]).pop().unwrap();
    let visible = |entry: TableEntry, range| TableEntry { visible: range, ..entry };
    for (edit, error) in [
        (VersionEdit { dropped: vec![FileId(5)], ..VersionEdit::default() }, "is not there"),
        (add(entry(1, 0, 0, 9)), "added twice"),
        (add(entry(3, LEVELS as u8, 0, 9)), "level that does not exist"),
        (add(entry(3, 3, 50, 90)), "overlaps"),
        (add(visible(entry(3, 0, 5, 9), range(10, 11))), "can be seen"),
        (VersionEdit { flushed: Some(8), ..VersionEdit::default() }, "now is not"),
    ] {
        let got = version.apply(&edit).unwrap_err().to_string();
        assert!(got.contains(error), "{got:?}, not {error:?}");
    }
    // What an edit drops makes room for what it adds.
    let swap = VersionEdit { dropped: vec![FileId(1)], ..add(entry(3, 3, 0, 90)) };
    assert!(version.apply(&swap).is_ok());
}

#[test]
fn levels_keep_their_order() {
    let mut version = Version::default();
    for (number, level, first) in [(4, 0, 0), (9, 0, 0), (2, 0, 9), (5, 1, 30), (6, 1, 10)] {
        version = version.apply(&add(entry(number, level, first, first + 9))).unwrap();
    }
    let ids = |level| version.level(level).iter().map(|it| it.id.0).collect::<Vec<_>>();
    assert_eq!((ids(0), ids(1), ids(BOTTOM)), (vec![9, 4, 2], vec![6, 5], vec![]));
    assert_eq!(version.next_file_number(), 10);
    let dropped = VersionEdit { dropped: vec![FileId(9)], ..VersionEdit::default() };
    assert_eq!(version.apply(&dropped).unwrap().next_file_number(), 10, "never given twice");
}

#[test]
fn a_full_manifest_is_renewed_and_loses_nothing() {
    let disk = new_disk(1);
    let edits = 3 * limits::MANIFEST_ROOM_BYTES / ALIGN as u64;
    let version = with_env(&disk, async |env| {
        let mut manifest = open(&env).await.unwrap();
        for number in 1..=edits {
            let token = number * 10;
            let dropped = if number % 3 == 0 { vec![FileId(number - 1)] } else { vec![] };
            let edit = VersionEdit { dropped, ..add(entry(number, 1, token, token + 9)) };
            manifest.commit(&edit).await.unwrap();
        }
        (**manifest.version()).clone()
    });
    assert_eq!(read(&disk).unwrap(), version);
    let len = disk.bytes(PATH).unwrap().len() as u64;
    assert!(len < 2 * limits::MANIFEST_ROOM_BYTES, "{len} bytes");
    let spare = format!("{DIR}/{SPARE}");
    assert_eq!(disk.bytes(&spare).unwrap().len() as u64, len, "its predecessor makes room");
}

#[test]
fn thousands_of_tables_take_several_frames() {
    let tables = 2 * limits::MANIFEST_TABLES_PER_FRAME as u64 + 1;
    let added = (1..=tables).map(|it| entry(it, 2, it * 10, it * 10 + 9)).collect();
    let edit = VersionEdit { added, ..VersionEdit::default() };
    let version = Version::default().apply(&edit).unwrap();
    let disk = disk_with(std::slice::from_ref(&edit));
    assert_eq!(read(&disk).unwrap(), version);
    assert_eq!(reopen(&disk).unwrap(), version);
}

#[test]
fn a_lost_manifest_is_not_an_empty_one() {
    let disk = new_disk(1);
    disk.put("shard/0000000000000001.sst", b"a table");
    assert!(matches!(reopen(&disk), Err(ManifestError::Missing { file }) if file == PATH));
}

/// An edit's last page, and the seal behind it: all of the file that may be damaged unnoticed is
/// the seal, which says nothing that is not known without it.
#[test]
fn every_changed_byte_is_noticed_or_changes_nothing() {
    let edits = history();
    let expected = versions(&edits).pop().unwrap();
    let disk = disk_with(&edits);
    let bytes = disk.bytes(PATH).unwrap();
    // Header, the frame of an empty version, the edits.
    let seal = ALIGN * (2 + edits.len());
    let zeros = seal + ALIGN;
    for at in (0..zeros + ALIGN).chain((zeros + ALIGN..bytes.len()).step_by(997)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        disk.put(PATH, &changed);
        match read(&disk) {
            Ok(version) => {
                assert!(at >= seal, "byte {at} was not noticed");
                assert_eq!(version, expected);
            }
            Err(ManifestError::Corrupt(it)) => {
                assert!(it.file == PATH && it.offset <= at as u64 && at < seal, "{at}: {it}");
            }
            Err(ManifestError::NotAManifest { file }) => assert!(file == PATH && at < 8),
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
}

#[test]
fn every_cut_and_every_growth_is_noticed() {
    let disk = disk_with(&history());
    let bytes = disk.bytes(PATH).unwrap();
    let step = 101;
    for len in (0..2 * ALIGN).chain((2 * ALIGN..bytes.len()).step_by(step)) {
        disk.put(PATH, &bytes[..len]);
        assert!(matches!(read(&disk), Err(ManifestError::Corrupt(_))), "cut to {len}");
    }
    disk.put(PATH, &[&bytes[..], &[0; ALIGN]].concat());
    assert!(matches!(read(&disk), Err(ManifestError::Corrupt(_))));
}

#[test]
fn frames_in_each_others_place_are_noticed() {
    let disk = disk_with(&history());
    let bytes = disk.bytes(PATH).unwrap();
    let pages = 3 + history().len();
    let pairs = (1..pages).flat_map(|a| (1..a).map(move |b| (a, b)));
    // The last edit and its seal, both damaged, cannot be told from a torn write.
    for (a, b) in pairs.filter(|&pair| pair != (pages - 1, pages - 2)) {
        let mut changed = bytes.clone();
        let (low, high) = changed.split_at_mut(a * ALIGN);
        low[b * ALIGN..(b + 1) * ALIGN].swap_with_slice(&mut high[..ALIGN]);
        disk.put(PATH, &changed);
        assert!(matches!(read(&disk), Err(ManifestError::Corrupt(_))), "pages {a} and {b}");
    }
}

/// A page of an older manifest, kept by the disk in the same place, is not taken for one of this.
#[test]
fn pages_of_an_older_manifest_are_noticed() {
    let edits = history();
    let disk = disk_with(&edits[..2]);
    let old = disk.bytes(PATH).unwrap();
    reopen(&disk).unwrap();
    with_env(&disk, async |env| {
        let mut manifest = open(&env).await.unwrap();
        manifest.commit(&edits[2]).await.unwrap();
    });
    let new = disk.bytes(PATH).unwrap();
    for page in 1..4 {
        let mut changed = new.clone();
        let bytes = page * ALIGN..(page + 1) * ALIGN;
        changed[bytes.clone()].copy_from_slice(&old[bytes]);
        disk.put(PATH, &changed);
        assert!(matches!(read(&disk), Err(ManifestError::Corrupt(_))), "page {page}");
    }
}

#[test]
fn what_is_no_manifest_or_one_of_another_format_is_said_to_be() {
    let disk = disk_with(&history());
    let set_format = |format: u32| {
        disk.corrupt(PATH, |bytes| {
            bytes[8..12].copy_from_slice(&format.to_le_bytes());
            let sum = crate::integrity::checksum(0, 0, &bytes[..ALIGN - 4]);
            bytes[ALIGN - 4..ALIGN].copy_from_slice(&sum.to_le_bytes());
        });
    };
    set_format(0);
    assert!(matches!(read(&disk), Err(ManifestError::Corrupt(_))), "it never was");
    set_format(MANIFEST_FORMAT - 1);
    match read(&disk) {
        Err(error @ ManifestError::FormatOlder(_)) => {
            let text = error.to_string();
            assert!(text.starts_with(PATH) && text.contains("older kvcore"), "{text}");
            assert_eq!(OpenError::from(error).kind(), OpenErrorKind::FormatOlder);
        }
        other => panic!("{other:?}"),
    }
    set_format(MANIFEST_FORMAT + 1);
    match read(&disk) {
        Err(ManifestError::FormatNewer(it)) => {
            let expected = (PATH, MANIFEST_FORMAT + 1, MANIFEST_FORMAT);
            assert_eq!((&*it.file, it.found, it.supported), expected);
        }
        other => panic!("{other:?}"),
    }
    disk.put(PATH, &[b'x'; 3 * ALIGN]);
    assert!(matches!(read(&disk), Err(ManifestError::NotAManifest { .. })));
}

/// The power is cut at each operation of opening, committing and renewing; what is found is the
/// version of the last commit that ended, or the one that had begun; and it stays.
#[test]
fn a_power_cut_leaves_the_version_before_or_after_an_edit() {
    let edits = history();
    let versions = versions(&edits);
    let mut cases = 0;
    for nth in 1.. {
        let mut cut = false;
        for when in [When::Before, When::After] {
            let disk = new_disk(nth);
            disk.crash_at_io(disk.ios() + nth, when);
            let done = std::cell::Cell::new(0);
            let sim = Sim::new(nth);
            let env = sim.env(&disk);
            let work = async {
                let mut manifest = open(&env).await.unwrap();
                for (number, edit) in edits.iter().enumerate() {
                    if number == 3 {
                        drop(manifest);
                        manifest = open(&env).await.unwrap();
                    }
                    manifest.commit(edit).await.unwrap();
                    done.set(number + 1);
                }
            };
            cut |= sim.run(work).is_none();
            let done = done.get();
            let possible = &versions[done..versions.len().min(done + 2)];
            for (class, seed) in Crash::ALL.into_iter().flat_map(|it| [(it, 1), (it, 2)]) {
                let after = disk.crash(class, seed);
                let found = reopen(&after).unwrap();
                assert!(possible.contains(&found), "{class:?} at {nth} after {done} edits");
                assert_eq!(reopen(&after.crash(Crash::LoseAll, 1)).unwrap(), found, "it stays");
                cases += 1;
            }
        }
        if !cut {
            break;
        }
    }
    assert!(cases > 500, "{cases} cases");
}

/// As above with renewal: a manifest without room writes a new file.
#[test]
fn a_power_cut_while_renewing_leaves_the_version_before_or_after() {
    let room = limits::MANIFEST_ROOM_BYTES / ALIGN as u64;
    let fill = |number: u64| add(entry(number, 1, number * 10, number * 10 + 9));
    let disk_before = disk_with(&(1..room).map(fill).collect::<Vec<_>>());
    let mut renewals = 0;
    for nth in 1.. {
        let disk = disk_before.crash(Crash::KeepAll, nth);
        let sim = Sim::new(nth);
        let env = sim.env(&disk);
        // Opening renews, so the room is used up first.
        let mut manifest = sim.block_on(open(&env)).unwrap();
        for number in room..2 * room - 1 {
            sim.block_on(manifest.commit(&fill(number))).unwrap();
        }
        let before = Version::clone(manifest.version());
        disk.crash_at_io(disk.ios() + nth, When::After);
        let ended = sim.run(manifest.commit(&fill(2 * room))).is_some();
        let after = before.apply(&fill(2 * room)).unwrap();
        for (class, seed) in Crash::ALL.into_iter().flat_map(|it| [(it, 1), (it, 2)]) {
            let found = reopen(&disk.crash(class, seed)).unwrap();
            assert!(found == after || (found == before && !ended), "{class:?} at {nth}");
            renewals += 1;
        }
        if ended {
            break;
        }
    }
    assert!(renewals > 40, "{renewals} cases");
}

#[test]
fn after_a_failed_write_nothing_is_committed_until_it_is_opened_again() {
    for (on, how) in [(Io::Write, Fail::Eio), (Io::Sync, Fail::Eio)] {
        let edits = history();
        let disk = disk_with(&edits[..1]);
        let fault = Fault { on: Some(on), path: PATH.into(), nth: 1, sticky: false, how };
        with_env(&disk, async |env| {
            let mut manifest = open(&env).await.unwrap();
            disk.inject(fault);
            assert!(matches!(manifest.commit(&edits[1]).await, Err(ManifestError::Io { .. })));
            assert!(manifest.failed());
            let again = manifest.commit(&edits[1]).await;
            assert!(matches!(again, Err(ManifestError::Failed { .. })));
        });
        let found = reopen(&disk).unwrap();
        assert!(versions(&edits[..2])[1..].contains(&found));
    }
}

/// A start on a full disk failed when somebody else took the space that its own clearing had given
/// back, before there was a manifest.
#[test]
fn starts_and_renewals_on_a_full_disk_need_no_space() {
    let disk = disk_with(&[]);
    let available = disk.space().available;
    disk.set_capacity(disk.space().total - available);
    let room = limits::MANIFEST_ROOM_BYTES / ALIGN as u64;
    for start in 0..3 {
        with_env(&disk, async |env| {
            let mut manifest = open(&env).await.unwrap();
            for number in start * room..(start + 1) * room {
                let edit = add(entry(number, 1, number * 10, number * 10 + 9));
                manifest.commit(&edit).await.unwrap();
            }
            assert_eq!(read(&disk).unwrap(), **manifest.version());
        });
    }
}

/// The spare is written over in place. After an exchange that never became durable it is what a
/// power cut puts back in the manifest's place.
#[test]
fn the_spare_is_not_touched_while_a_crash_could_bring_it_back() {
    let edits = history();
    let versions = versions(&edits[..2]);
    for nth in 1.. {
        let disk = disk_with(&edits[..1]);
        let sim = Sim::new(nth);
        let env = sim.env(&disk);
        // The directory is synced before the spare is written, and after the exchange.
        let (on, how) = (Some(Io::SyncDir), Fail::Eio);
        disk.inject(Fault { on, path: DIR.into(), nth: 2, sticky: false, how });
        let failed = sim.block_on(open(&env)).err().expect("the second sync fails");
        assert!(failed.to_string().contains("cannot make"), "{failed}");
        disk.crash_at_io(disk.ios() + nth, When::After);
        let work = async {
            let mut manifest = open(&env).await.unwrap();
            manifest.commit(&edits[1]).await.unwrap();
        };
        let ended = sim.run(work).is_some();
        for (class, seed) in Crash::ALL.into_iter().flat_map(|it| [(it, 1), (it, 2)]) {
            let found = reopen(&disk.crash(class, seed)).unwrap();
            assert!(versions[1..].contains(&found), "{class:?} at {nth}");
        }
        if ended {
            break;
        }
    }
}

/// Without a spare file, a full disk keeps a manifest from being renewed, and does it no harm.
#[test]
fn without_space_a_renewal_can_be_tried_again() {
    let disk = disk_with(&[]);
    let room = limits::MANIFEST_ROOM_BYTES / ALIGN as u64;
    with_env(&disk, async |env| {
        let mut manifest = open(&env).await.unwrap();
        disk.remove(&format!("{DIR}/{SPARE}"));
        let available = disk.space().available;
        disk.set_capacity(disk.space().total - available);
        let mut refused = 0;
        for number in 1..2 * room {
            let edit = add(entry(number, 1, number * 10, number * 10 + 9));
            if manifest.commit(&edit).await.is_err() {
                assert!(!manifest.failed());
                assert_eq!(read(&disk).unwrap(), **manifest.version());
                disk.set_capacity(1 << 40);
                manifest.commit(&edit).await.unwrap();
                refused += 1;
            }
        }
        assert_eq!(refused, 1);
        assert_eq!(manifest.version().level(1).len() as u64, 2 * room - 1);
    });
}

/// An edit whose frame is sound and whose content is not is refused or applied, without harm.
#[test]
fn hostile_edits_do_no_harm() {
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut refused, mut applied) = (0, 0);
    for edit in history() {
        let mut bytes = Vec::new();
        edit.encode(&mut bytes);
        assert_eq!(VersionEdit::decode(&bytes), Some(edit));
        for _ in 0..2000 {
            let mut changed = bytes.clone();
            changed.truncate(rng.usize(changed.len() / 2..=changed.len()));
            for _ in 0..rng.usize(..3) {
                let at = rng.usize(..changed.len());
                changed[at] = if rng.bool() { rng.u8(..) } else { changed[at].wrapping_add(1) };
            }
            let edit = VersionEdit::decode(&changed);
            let next = edit.and_then(|edit| Version::default().apply(&edit).ok());
            *(if next.is_some() { &mut applied } else { &mut refused }) += 1;
        }
    }
    assert!(refused > 500 && applied > 10, "{refused} refused, {applied} applied");
}

/// An edit with a sound sum said that the last batch there can be is in tables. What follows it was
/// counted past the end of 64 bits: a panic, or batch 0.
#[test]
fn an_edit_past_the_last_batch_is_refused() {
    for (flushed, is_sound) in [(LOG_SEQUENCE_MAX, true), (LOG_SEQUENCE_MAX + 1, false)] {
        let mut bytes = Vec::new();
        VersionEdit { flushed: Some(flushed), ..VersionEdit::default() }.encode(&mut bytes);
        assert_eq!(VersionEdit::decode(&bytes).is_some(), is_sound);
    }
}

/// A manifest of no tables in the place of one that names some was believed: its tables counted as
/// strays and were removed, and what they held was gone in silence.
#[test]
fn the_manifest_of_another_shard_is_refused() {
    let disk = new_disk(20);
    with_env(&disk, async |env| {
        env.create_dir("other").await.unwrap();
        open(&env).await.unwrap();
        open_in(&env, "other").await.unwrap();
    });
    let other = disk.bytes("other/MANIFEST").unwrap();
    disk.put(PATH, &other);
    let error = with_env(&disk, async |env| open(&env).await.err().unwrap());
    assert!(error.to_string().contains("manifest of another shard"), "{error}");
}

/// The file system's word for the length was believed before the header's: a start made room in
/// memory for a manifest that was extended to a terabyte.
#[test]
fn a_manifest_that_grew_is_refused_by_its_header() {
    let disk = new_disk(1);
    with_env(&disk, async |env| {
        open(&env).await.unwrap();
        disk.corrupt(PATH, |bytes| bytes.resize(64 << 20, 0));
        let before = disk.ios();
        let read = Manifest::read(&env, DIR).await;
        assert!(matches!(read, Err(ManifestError::Corrupt(_))), "{read:?}");
        assert!(disk.ios() - before < 10, "{} operations", disk.ios() - before);
    });
}
