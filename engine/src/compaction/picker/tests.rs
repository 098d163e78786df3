use schemas::ids::{Hlc, ShardId, Token};

use super::*;
use crate::manifest::Hole;
use crate::sstable::Properties;

const MIB: u64 = 1 << 20;

fn range(first: u64, last: u64) -> TokenRange {
    TokenRange::new(Token(first), Token(last)).unwrap()
}

/// A table over all of a small ring; its stamps are as old as its id is small.
fn table(id: u64, level: u8, bytes: u64) -> TableEntry {
    let properties = Properties {
        records: bytes / 100,
        tombstones: 0,
        expiring: 0,
        raw_bytes: bytes,
        tokens: range(0, 999),
        hlc_min: Hlc(id),
        hlc_max: Hlc(id),
        expires_max_ms: 0,
    };
    let (id, visible, file_crc) = (FileId(id), range(0, 999), 0);
    let (file_bytes, as_of, hidden) = (bytes, id, 0);
    TableEntry { id, level, visible, file_bytes, file_crc, as_of, hidden, properties }
}

fn version(added: impl IntoIterator<Item = TableEntry>) -> Version {
    let added = added.into_iter().collect();
    Version::default().apply(&VersionEdit { added, ..VersionEdit::default() }).unwrap()
}

fn chosen(version: &Version, running: &[Choice]) -> Option<(Reason, Vec<u64>, u8)> {
    chosen_in(version, running, u64::MAX)
}

fn chosen_in(
    version: &Version,
    running: &[Choice],
    room_bytes: u64,
) -> Option<(Reason, Vec<u64>, u8)> {
    let given = Given { running, unreadable: &[], room_bytes, now_ms: 1000, full_before: None };
    let choice = choose(version, &CompactionOptions::default(), &given)?;
    let mut ids: Vec<u64> = choice.inputs.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    Some((choice.reason, ids, choice.output_level))
}

fn level0(ids: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = TableEntry> {
    ids.map(|id| table(id, 0, 10 * MIB))
}

#[test]
fn the_first_table_moves_to_the_bottom() {
    assert_eq!(chosen(&version([]), &[]), None);
    let one = version(level0(1..=1));
    assert_eq!(chosen(&one, &[]), Some((Reason::Move, vec![1], BOTTOM)));
    let given =
        Given { running: &[], unreadable: &[], room_bytes: 0, now_ms: 0, full_before: None };
    let choice = choose(&one, &CompactionOptions::default(), &given).unwrap();
    let moved = one.apply(&choice.edit(&one).unwrap()).unwrap();
    assert_eq!((moved.level(0).len(), moved.level(BOTTOM).len()), (0, 1));
    assert_eq!(chosen(&moved, &[]), None);
}

#[test]
fn much_above_the_bottom_settles() {
    let bottom = table(1, BOTTOM, 100 * MIB);
    assert_eq!(chosen(&version(level0(2..=3).chain([bottom])), &[]), None);
    let three = version(level0(2..=4).chain([bottom]));
    assert_eq!(chosen(&three, &[]), Some((Reason::Settle, vec![1, 2, 3, 4], BOTTOM)));
    let beside = version([table(1, BOTTOM, 100 * MIB), table(2, 3, 26 * MIB)]);
    assert_eq!(chosen(&beside, &[]), Some((Reason::Settle, vec![1, 2], BOTTOM)));
}

/// Tombstones are small; what they shadow is not.
#[test]
fn many_small_records_above_large_ones_settle() {
    let mut small = table(2, 0, MIB);
    small.properties.records = table(1, BOTTOM, 100 * MIB).properties.records / 3;
    let version = version([table(1, BOTTOM, 100 * MIB), small]);
    assert_eq!(chosen(&version, &[]), Some((Reason::Settle, vec![1, 2], BOTTOM)));
}

#[test]
fn many_tables_become_a_run_beside_a_job_that_settles() {
    let bottom = table(1, BOTTOM, 1000 * MIB);
    let six = version(level0(2..=7).chain([bottom]));
    let into_run = |level| Some((Reason::Level0, (2..=7).collect(), level));
    assert_eq!(chosen(&six, &[]), into_run(1));
    let settling = |inputs: &[u64]| Choice {
        reason: Reason::Settle,
        inputs: inputs.iter().map(|&id| FileId(id)).collect(),
        output_level: BOTTOM,
        part: None,
    };
    assert_eq!(chosen(&six, &[settling(&[1])]), into_run(1));
    assert_eq!(chosen(&six, &[settling(&[1, 2])]), None, "five are left");
    let run = Choice { output_level: 1, ..settling(&[9]) };
    assert_eq!(chosen(&six, &[settling(&[1]), run]), into_run(2));
    let small_bottom = version(level0(2..=7));
    assert_eq!(chosen(&small_bottom, &[settling(&[1])]), into_run(1), "one settles at a time");
}

#[test]
fn of_many_runs_the_small_ones_are_merged() {
    let runs = |sizes: [u64; 7]| {
        let runs = (1..).zip(sizes).map(|(id, size)| table(id, id as u8, size * MIB));
        version(runs.chain([table(9, BOTTOM, 20_000 * MIB)]))
    };
    let merged = |ids: &[u64]| Some((Reason::Runs, ids.to_vec(), 8));
    let all = [1, 2, 3, 4, 5, 6, 7];
    assert_eq!(chosen(&runs([10; 7]), &[]), merged(&all));
    assert_eq!(chosen(&runs([10, 200, 10, 10, 80, 90, 90]), &[]), merged(&[1, 3, 4]));
    assert_eq!(chosen(&runs([1, 10, 100, 200, 300, 400, 500]), &[]), merged(&[1, 2]));
}

/// A settle was refused that needed more than half of what was left on the disk, by the bytes of
/// all its inputs, and with it everything else: level 0 grew, and deletes gave nothing back.
#[test]
fn on_a_full_disk_is_done_what_has_room() {
    let fragment = |id: u64| {
        let mut fragment = table(id, BOTTOM, 1000 * MIB);
        fragment.visible = range(id * 100, id * 100 + 99);
        fragment.properties.tokens = fragment.visible;
        fragment
    };
    let bottom = || (0..10).map(fragment);
    let settle = |upper: &[u64]| {
        let all = (0..10).chain(upper.iter().copied()).collect();
        Some((Reason::Settle, all, BOTTOM))
    };
    // It gives back the bottom's tables as it goes: room for the upper, one of them and an output.
    let fourth = version(bottom().chain([table(21, 3, 3000 * MIB)]));
    assert_eq!(chosen_in(&fourth, &[], 4064 * MIB), settle(&[21]));
    assert_eq!(chosen_in(&fourth, &[], 4063 * MIB), None);
    // What deletes made settles before what it does not fit beside.
    let mut tombstones = table(22, 0, 10 * MIB);
    tombstones.properties.records = 10 * fragment(0).properties.records;
    let deleted = version(bottom().chain([table(21, 3, 3000 * MIB), tombstones]));
    assert_eq!(chosen_in(&deleted, &[], 4074 * MIB), settle(&[21, 22]));
    assert_eq!(chosen_in(&deleted, &[], 1074 * MIB), settle(&[22]));
    assert_eq!(chosen_in(&deleted, &[], 1073 * MIB), None);
    // Level 0 is kept short beside it, and the runs few.
    let many = version(bottom().chain([table(21, 3, 3000 * MIB)]).chain(level0(31..=40)));
    assert_eq!(chosen_in(&many, &[], 100 * MIB), Some((Reason::Level0, (31..=40).collect(), 1)));
    assert_eq!(chosen_in(&many, &[], 39 * MIB), Some((Reason::Level0, vec![31, 32, 33], 1)));
    assert_eq!(chosen_in(&many, &[], 19 * MIB), None);
    let runs = (1..=7).map(|id| table(20 + id, id as u8, id * 500 * MIB));
    let runs = version(bottom().chain(runs));
    assert_eq!(chosen_in(&runs, &[], 3000 * MIB), Some((Reason::Runs, vec![21, 22, 23], 8)));
    assert_eq!(chosen_in(&runs, &[], 1499 * MIB), None);
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    let chosen = |version: &Version, unreadable: &[u64]| {
        let unreadable: Vec<FileId> = unreadable.iter().map(|&id| FileId(id)).collect();
        let given = Given {
            running: &[],
            unreadable: &unreadable,
            room_bytes: u64::MAX,
            now_ms: 0,
            full_before: None,
        };
        let choice = choose(version, &CompactionOptions::default(), &given)?;
        let mut ids: Vec<u64> = choice.inputs.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        Some((choice.reason, ids))
    };
    let settles = version(level0(2..=7).chain([table(1, BOTTOM, 100 * MIB)]));
    assert_eq!(chosen(&settles, &[]), Some((Reason::Settle, (1..=7).collect())));
    assert_eq!(chosen(&settles, &[4]), Some((Reason::Settle, vec![1, 2, 3, 5, 6, 7])));
    // Without the bottom's table nothing settles.
    assert_eq!(chosen(&settles, &[1]), Some((Reason::Level0, (2..=7).collect())));
    assert_eq!(chosen(&settles, &[1, 4]), None);
    assert_eq!(chosen(&version(level0(2..=2).chain([table(1, BOTTOM, MIB)])), &[1]), None);
}

#[test]
fn a_table_alone_needs_room_for_what_can_be_seen_of_it() {
    let narrowed = TableEntry { visible: range(0, 99), ..table(1, BOTTOM, 100 * MIB) };
    let narrowed = version([narrowed]);
    let bytes = narrowed.level(BOTTOM)[0].visible_bytes();
    assert_eq!(chosen_in(&narrowed, &[], bytes), Some((Reason::Trim, vec![1], BOTTOM)));
    assert_eq!(chosen_in(&narrowed, &[], bytes - 1), None);
}

#[test]
fn tables_that_show_little_are_written_anew_where_they_are() {
    for (last, expected) in [(400, Some((Reason::Trim, vec![1], BOTTOM))), (600, None)] {
        let narrowed = TableEntry { visible: range(0, last), ..table(1, BOTTOM, 100 * MIB) };
        assert_eq!(chosen(&version([narrowed]), &[]), expected);
    }
    for (expires_max_ms, expected) in
        [(1000, Some((Reason::Expired, vec![1], BOTTOM))), (1001, None)]
    {
        let mut expiring = table(1, BOTTOM, 100 * MIB);
        expiring.properties.expiring = expiring.properties.records;
        expiring.properties.expires_max_ms = expires_max_ms;
        assert_eq!(chosen(&version([expiring]), &[]), expected);
    }
}

#[test]
fn pressure_grows_with_the_tables_that_reads_ask() {
    let options = CompactionOptions::default();
    let bottom = || [table(1, BOTTOM, 100 * MIB)];
    assert_eq!(pressure(&version(bottom()), &options), 0.0);
    assert_eq!(pressure(&version(level0(2..=7).chain(bottom())), &options), 1.0);
    assert_eq!(pressure(&version(level0(2..=19).chain(bottom())), &options), 3.0);
}

/// A full compaction merges all that is above the bottom, however little, and writes what lay at
/// the bottom anew, a table at a time; what was made since it was asked for is left alone.
#[test]
fn a_full_compaction_ends_when_every_table_is_new() {
    let id = |shard: u16, number| FileId::new(1, ShardId(shard), number);
    let before = id(0, 10);
    let place = |entry: TableEntry, id, visible| {
        let properties = Properties { tokens: visible, ..entry.properties };
        TableEntry { id, visible, properties, ..entry }
    };
    let bottom = |id, first| place(table(1, BOTTOM, 1000 * MIB), id, range(first, first + 99));
    // One was made by another shard, with a number that this one has not reached.
    let old = [bottom(id(0, 1), 0), bottom(id(3, 900), 100), bottom(id(0, 11), 200)];
    let small = place(table(1, 0, MIB), id(0, 9), range(0, 999));
    let version = version(old.into_iter().chain([small]));
    let wanted = |version: &Version, full_before| {
        let (running, unreadable) = (&[][..], &[][..]);
        let given = Given { running, unreadable, room_bytes: u64::MAX, now_ms: 0, full_before };
        let choice = choose(version, &CompactionOptions::default(), &given);
        assert_eq!(choice.is_none(), is_full_over(version, &CompactionOptions::default(), &given));
        assert_eq!(choice.is_none(), !is_full_left(version, &given));
        choice
    };
    assert_eq!(wanted(&version, None), None);
    let settle = wanted(&version, Some(before)).unwrap();
    assert_eq!((settle.reason, settle.inputs.len()), (Reason::Settle, 4));
    let dropped = VersionEdit { dropped: vec![small.id], ..VersionEdit::default() };
    let mut version = version.apply(&dropped).unwrap();
    for (number, expected) in [(20, id(0, 1)), (21, id(3, 900))] {
        let choice = wanted(&version, Some(before)).unwrap();
        assert_eq!((choice.reason, &choice.inputs[..]), (Reason::Full, &[expected][..]));
        let anew = TableEntry { id: id(0, number), ..**version.get(expected).unwrap() };
        let dropped = choice.inputs;
        let edit = VersionEdit { dropped, added: vec![anew], ..VersionEdit::default() };
        version = version.apply(&edit).unwrap();
    }
    assert_eq!(wanted(&version, Some(before)), None);
}

/// What is above a damaged table of the bottom can never be merged: a full compaction that waited
/// for it never ended.
#[test]
fn a_full_compaction_does_not_wait_for_what_damage_keeps_back() {
    let place = |entry: TableEntry, first, last| {
        let visible = range(first, last);
        TableEntry {
            visible,
            properties: Properties { tokens: visible, ..entry.properties },
            ..entry
        }
    };
    let bottom = |id, first| place(table(id, BOTTOM, 1000 * MIB), first, first + 99);
    let above = |id, first| place(table(id, 4, id * MIB), first, first + 99);
    let over = |tables: &[TableEntry], unreadable: &[FileId], room_bytes| {
        let full_before = Some(FileId(20));
        let given = Given { running: &[], unreadable, room_bytes, now_ms: 0, full_before };
        let version = version(tables.iter().copied());
        assert!(is_full_left(&version, &given));
        is_full_over(&version, &CompactionOptions::default(), &given)
    };
    let (damaged, all) = (&[FileId(1)][..], u64::MAX);
    let two = [bottom(1, 0), bottom(30, 100)];
    assert!(over(&[two[0], two[1], above(9, 0)], damaged, all));
    assert!(
        over(&[two[0], two[1], above(9, 0), above(10, 100)], damaged, all),
        "as they are merged"
    );
    assert!(!over(&[two[0], two[1], above(9, 100)], damaged, all), "it can be merged");
    assert!(!over(&[two[0], two[1], above(9, 100)], damaged, 0), "it waits for room");
    assert!(!over(&[two[0], bottom(2, 100)], damaged, all), "one can be read");
    assert!(
        !over(
            &[bottom(30, 0), above(9, 0), above(10, 0)].map(|it| match it.id {
                FileId(10) => TableEntry { level: 5, ..it },
                _ => it,
            }),
            &[FileId(9)],
            all
        ),
        "the other one can be merged"
    );
}

/// What lies beside a part in the tables of the bottom comes with it; tables above it are read in
/// part, and keep their place.
#[test]
fn a_part_is_as_wide_as_its_tables_of_the_bottom() {
    let bottom =
        |id, first, last| TableEntry { visible: range(first, last), ..table(id, BOTTOM, MIB) };
    let all = [table(1, 0, MIB), table(2, 3, MIB), bottom(3, 0, 399), bottom(4, 500, 999)];
    let version = version(all);
    let given =
        Given { running: &[], unreadable: &[], room_bytes: u64::MAX, now_ms: 0, full_before: None };
    for (tokens, inputs, part) in [
        (range(420, 450), vec![1, 2], range(420, 450)),
        (range(390, 450), vec![3, 1, 2], range(0, 450)),
        (range(300, 500), vec![3, 4, 1, 2], range(0, 999)),
    ] {
        let choice = choose_part(&version, tokens, &given).unwrap();
        assert_eq!(choice.inputs, inputs.into_iter().map(FileId).collect::<Vec<_>>());
        assert_eq!((choice.part, choice.output_level), (Some(part), BOTTOM));
    }
    let tokens = range(300, 310);
    let short = Given { room_bytes: MIB / 2, ..given };
    assert_eq!(choose_part(&version, tokens, &short), None, "no room");
    let unreadable = Given { unreadable: &[FileId(2)], ..given };
    assert_eq!(choose_part(&version, tokens, &unreadable), None, "what cannot be read");
    assert_eq!(choose_part(&Version::default(), tokens, &given), None, "nothing");
}

/// What holes hide counts as what is not visible, and what is hidden whole needs no job.
#[test]
fn what_holes_hide_is_trimmed_or_gone() {
    let hidden = |last| {
        let hole = Hole { tokens: range(0, last), before: FileId(9) };
        let edit = VersionEdit { holes: vec![hole], ..VersionEdit::default() };
        version([table(1, BOTTOM, 100 * MIB)]).apply(&edit).unwrap()
    };
    assert_eq!(chosen(&hidden(400), &[]), None);
    assert_eq!(chosen(&hidden(600), &[]), Some((Reason::Trim, vec![1], BOTTOM)));
    assert_eq!(chosen(&hidden(999), &[]), Some((Reason::Gone, vec![1], BOTTOM)));
    let before = hidden(999);
    let gone = choose(
        &before,
        &CompactionOptions::default(),
        &Given {
            running: &[],
            unreadable: &[FileId(1)],
            room_bytes: 0,
            now_ms: 0,
            full_before: None,
        },
    );
    let after = before.apply(&gone.unwrap().edit(&before).unwrap()).unwrap();
    assert_eq!(after, Version::default().with_file_numbers(after.next_file_number()));
}
