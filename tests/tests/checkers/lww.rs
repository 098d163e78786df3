//! Histories of `lww` namespaces by hand: for each promise some that keep it, and some that break
//! it and nothing else.

use tests::checker::{Anomaly, Promise, check};
use tests::history::Policy;

use crate::notation::{ALLOWED, Case, Told, broken, delete, fine, get, history, nothing, put};

fn judge(cases: impl IntoIterator<Item = Case>) {
    crate::notation::judge(Policy::Lww, cases);
}

#[test]
fn p1_no_acknowledged_write_is_lost() {
    let sloppy = |value, ms| put(value).ms(ms, ms + 1).stamp(ms).sloppy();
    let broken = |what, operations: Vec<_>| broken(&[Promise::P1], what, operations);
    judge([
        fine(
            "the last is there",
            [sloppy(1, 1), sloppy(2, 3), get(2).ms(9, 10).stamp(3).settled()],
        ),
        fine(
            "a greater stamp is there",
            [sloppy(1, 5), put(2).ms(7, 8).stamp(4).sloppy(), get(1).ms(9, 10).stamp(5).settled()],
        )
        .admits(&[(Anomaly::WriteOrder, 1)]),
        fine(
            "what is unknown need not be there",
            [sloppy(1, 1), put(2).ms(3, 4).unknown(), get(1).ms(9, 10).stamp(1).settled()],
        ),
        fine(
            "an unknown delete, its tombstone purged",
            [sloppy(1, 1), delete(2).ms(3, 4).unknown(), nothing().ms(9, 10).settled()],
        ),
        fine("it expired", [sloppy(1, 1).expires(15), nothing().ms(9, 10).settled()]),
        broken("nothing is there", vec![sloppy(1, 1), nothing().ms(9, 10).settled()])
            .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            "an older one is there",
            vec![sloppy(1, 1), sloppy(2, 3), get(1).ms(9, 10).stamp(1).settled()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            "what failed is no reason",
            vec![sloppy(1, 1), delete(2).ms(3, 4).stamp(3).failed(), nothing().ms(9, 10).settled()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            "a delete of a smaller stamp is no reason",
            vec![delete(2).ms(1, 2).stamp(1).sloppy(), sloppy(1, 3), nothing().ms(9, 10).settled()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            "it would expire, but later",
            vec![sloppy(1, 1).expires(25), nothing().ms(9, 10).settled()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
    ]);
}

#[test]
fn a_key_that_was_not_read_after_heal_is_counted() {
    let operations = [put(1).ms(1, 2).stamp(1), get(1).ms(3, 4).stamp(1), put(2).ms(1, 2).key(2)];
    let unsettled = |operations: &[Told]| check(&history(Policy::Lww, operations), &ALLOWED);
    assert_eq!(unsettled(&operations).keys_unsettled, 2);
    let settled = [&operations[..], &[get(1).ms(5, 6).stamp(1).settled()]].concat();
    assert_eq!(unsettled(&settled).keys_unsettled, 1);
}

#[test]
fn p2_what_is_read_was_written() {
    let broken = |what, operations: Vec<_>| broken(&[Promise::P2], what, operations);
    judge([
        fine("read while it is written", [put(1).ms(1, 9).stamp(2), get(1).ms(3, 4).stamp(2)]),
        fine("an unknown one", [put(1).ms(1, 2).unknown(), get(1).ms(3, 4).stamp(2)]),
        fine(
            "the tombstone is named",
            [put(1).ms(1, 2).stamp(1), delete(2).ms(3, 4).stamp(3), nothing().ms(5, 6).stamp(3)],
        ),
        fine(
            "an expired value is named",
            [put(1).ms(1, 2).stamp(1).expires(15), nothing().ms(5, 6).stamp(1)],
        ),
        broken("nobody wrote it", vec![get(1).ms(1, 2).stamp(1)]),
        broken("another key's", vec![put(1).ms(1, 2).stamp(1).key(2), get(1).ms(3, 4).stamp(1)]),
        broken("it failed", vec![put(1).ms(1, 2).failed(), get(1).ms(3, 4).stamp(1)]),
        broken("it comes later", vec![get(1).ms(1, 2), put(1).ms(3, 4)]),
        broken("a delete's number", vec![delete(1).ms(1, 2).stamp(1), get(1).ms(3, 4).stamp(1)]),
        broken("another version of it", vec![put(1).ms(1, 2).stamp(1), get(1).ms(3, 4).stamp(2)]),
        broken(
            "two versions of it",
            vec![put(1).ms(1, 2).unknown(), get(1).ms(3, 4).stamp(2), get(1).ms(5, 6).stamp(3)],
        ),
        broken("one version of two", vec![put(1).ms(1, 4).stamp(2), put(2).ms(1, 4).stamp(2)]),
        broken(
            "nothing, though it is there",
            vec![put(1).ms(1, 2).stamp(1).expires(25), nothing().ms(5, 6).stamp(1)],
        ),
    ]);
}

#[test]
fn p3_quorum_reads_are_regular() {
    let (old, new) = (put(1).ms(1, 2).stamp(1), put(2).ms(3, 8).stamp(3));
    let broken = |what, operations: Vec<_>| broken(&[Promise::P3], what, operations);
    judge([
        fine(
            "while it is written, the old or the new",
            [old, new, get(1).ms(4, 5).stamp(1), get(2).ms(4, 7).stamp(3)],
        ),
        fine(
            "reads that overlap",
            [old, new, get(2).ms(4, 6).stamp(3).repaired(), get(1).ms(5, 7).stamp(1).repaired()],
        ),
        fine("deleted, its tombstone purged", [old, delete(3).ms(3, 4), nothing().ms(5, 6)]),
        fine(
            "deleted in the moment in which the read returned",
            [old, delete(3).ms(6, 9), nothing().ms(5, 6)],
        ),
        fine("it expired, and nothing is left", [old.expires(14), nothing().ms(5, 6)]),
        fine(
            "back to nothing before the first write is done",
            [put(1).ms(1, 9).stamp(1), get(1).ms(2, 3).stamp(1), nothing().ms(4, 5)],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
        broken("an older one", vec![old, new, get(1).ms(9, 10).stamp(1)]),
        broken("nothing", vec![old, nothing().ms(9, 10)]),
        broken(
            "an older tombstone",
            vec![
                delete(3).ms(1, 2).stamp(1),
                put(2).ms(3, 4).stamp(3),
                nothing().ms(5, 6).stamp(1),
            ],
        ),
        broken(
            "nothing, and the delete is too old",
            vec![delete(3).ms(1, 2).stamp(1), put(2).ms(3, 4).stamp(3), nothing().ms(5, 6)],
        ),
        broken(
            "back behind a read with blocking repair",
            vec![old, new, get(2).ms(4, 5).stamp(3).repaired(), get(1).ms(6, 7).stamp(1)],
        ),
        broken(
            "back behind a read of the settled store",
            vec![put(1).ms(1, 2).unknown(), get(1).ms(4, 5).stamp(3).settled(), nothing().ms(6, 7)],
        ),
        broken(
            "back to what such a read found removed",
            vec![
                old,
                delete(3).ms(3, 9).unknown(),
                nothing().ms(4, 5).repaired(),
                get(1).ms(6, 7).stamp(1),
            ],
        ),
    ]);
}

#[test]
fn what_is_admitted_is_an_anomaly_of_its_kind() {
    let (old, new) = (put(1).ms(1, 2).stamp(1), put(2).ms(3, 4).stamp(3));
    judge([
        fine(
            "a quorum read goes back",
            [old, put(2).ms(3, 8).stamp(3), get(2).ms(4, 5).stamp(3), get(1).ms(6, 7).stamp(1)],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
        fine("a sloppy write is not seen", [old, new.sloppy(), get(1).ms(5, 6).stamp(1)])
            .admits(&[(Anomaly::StaleSloppy, 1)]),
        fine("a sloppy read does not see", [old, new, get(1).ms(5, 6).stamp(1).sloppy()])
            .admits(&[(Anomaly::StaleSloppy, 1)]),
        fine("a weak read does not see", [old, new, nothing().ms(5, 6).weak()])
            .admits(&[(Anomaly::StaleWeak, 1)]),
        fine(
            "a later write has a smaller stamp",
            [put(1).ms(1, 2).stamp(8), put(2).ms(3, 4).stamp(5), get(1).ms(5, 6).stamp(8)],
        )
        .admits(&[(Anomaly::WriteOrder, 1)]),
        fine(
            "a write has a smaller stamp than what had been read",
            [put(1).ms(1, 9).stamp(8), get(1).ms(2, 3).stamp(8), put(2).ms(4, 5).stamp(5)],
        )
        .admits(&[(Anomaly::WriteOrder, 1)]),
        broken(
            &[Promise::Skew],
            "stamps are further apart than clocks",
            [put(1).ms(1, 2).stamp(15), put(2).ms(3, 4).stamp(4)],
        ),
        fine(
            "stamps are as far apart as clocks",
            [put(1).ms(1, 2).stamp(14), put(2).ms(3, 4).stamp(4)],
        )
        .admits(&[(Anomaly::WriteOrder, 1)]),
    ]);
}

#[test]
fn p5_the_deleted_stays_deleted() {
    let (old, gone) = (put(1).ms(1, 2).stamp(1), delete(2).ms(3, 4).stamp(3));
    judge([
        fine("written again", [old, gone, put(3).ms(5, 6).stamp(5), get(3).ms(7, 8).stamp(5)]),
        fine(
            "a greater stamp outlives it",
            [put(1).ms(1, 2).stamp(5), gone, get(1).ms(7, 8).stamp(5)],
        )
        .admits(&[(Anomaly::WriteOrder, 1)]),
        fine(
            "read before the delete is done",
            [
                old,
                delete(2).ms(3, 9).stamp(3),
                nothing().ms(4, 5).stamp(3),
                get(1).ms(6, 7).stamp(1),
            ],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
        fine(
            "it expires before it is acknowledged, and the old one is there until then",
            [old, put(3).ms(3, 30).stamp(3).expires(5), get(1).ms(17, 18).stamp(1)],
        ),
        fine("a weak read is stale", [old, gone, get(1).ms(5, 6).stamp(1).weak()])
            .admits(&[(Anomaly::StaleWeak, 1)]),
        broken(
            &[Promise::P3, Promise::P5],
            "a quorum read shows it",
            [old, gone, get(1).ms(5, 6).stamp(1)],
        ),
        broken(
            &[Promise::P5],
            "a weak read shows what was gone everywhere",
            [old, gone, nothing().ms(5, 6).stamp(3).settled(), get(1).ms(7, 8).stamp(1).weak()],
        )
        .admits(&[(Anomaly::StaleWeak, 1)]),
        broken(
            &[Promise::P5],
            "the same, and its tombstone was purged",
            [
                old.sloppy(),
                gone.sloppy(),
                nothing().ms(5, 6).settled(),
                get(1).ms(7, 8).stamp(1).sloppy(),
            ],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            &[Promise::P1, Promise::P5],
            "a sloppy delete was lost",
            [old, gone.sloppy(), get(1).ms(5, 6).stamp(1).settled()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        broken(
            &[Promise::P5],
            "it had expired",
            [old.expires(5), get(1).ms(16, 17).stamp(1).weak()],
        ),
        broken(
            &[Promise::P3, Promise::P5],
            "what expired uncovers an older one",
            [old, put(2).ms(3, 4).stamp(3).expires(5), get(1).ms(17, 18).stamp(1)],
        ),
    ]);
}

#[test]
fn p5_the_time_of_a_put_of_unknown_outcome_begins_by_when_it_was_read() {
    judge([
        fine(
            "nobody knows when its time began, but by when it was read",
            [put(1).ms(1, 2).unknown().expires(5), get(1).ms(30, 31).stamp(1).weak()],
        ),
        broken(
            &[Promise::P5],
            "it had been read, and had expired since",
            [
                put(1).ms(1, 2).unknown().expires(5),
                get(1).ms(3, 4).stamp(1).weak(),
                get(1).ms(30, 31).stamp(1).weak(),
            ],
        ),
    ]);
}

#[test]
fn p8_a_session_never_goes_back() {
    let (old, new) = (put(1).ms(1, 2).stamp(1), put(2).ms(3, 8).stamp(3));
    let broken = |what, operations: Vec<_>| broken(&[Promise::P8], what, operations);
    judge([
        fine(
            "two sessions",
            [old, new, get(2).ms(4, 5).stamp(3).session(1), get(1).ms(6, 7).stamp(1).session(2)],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
        fine("no session", [old, new, get(2).ms(4, 5).stamp(3), get(1).ms(6, 7).stamp(1)])
            .admits(&[(Anomaly::ReadWentBack, 1)]),
        fine("a sloppy session", [old.session(1).sloppy(), nothing().ms(3, 4).session(1).sloppy()])
            .admits(&[(Anomaly::StaleSloppy, 1)]),
        fine(
            "stamps that were seen are passed",
            [put(1).ms(1, 2).stamp(8).session(1), put(2).ms(3, 4).stamp(9).seen(8).session(1)],
        ),
        broken(
            "its reads go back",
            vec![
                old,
                new,
                get(2).ms(4, 5).stamp(3).session(1),
                get(1).ms(6, 7).stamp(1).session(1),
            ],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
        broken(
            "its write is below its own",
            vec![put(1).ms(1, 2).stamp(8).session(1), put(2).ms(3, 4).stamp(5).session(1)],
        ),
        broken(
            "its write is below what it read",
            vec![
                put(1).ms(1, 9).stamp(8),
                get(1).ms(2, 3).stamp(8).session(1),
                put(2).ms(4, 5).stamp(5).session(1).sloppy(),
            ],
        ),
        broken(
            "a write is below what its request told of",
            vec![put(1).ms(1, 2).stamp(8), put(2).ms(3, 4).stamp(5).seen(8)],
        ),
    ]);
    let same = put(1).ms(1, 2).stamp(5).session(1);
    let again = put(2).ms(3, 4).stamp(5).session(1);
    let what = "its write has the version of the one before";
    judge([crate::notation::broken(&[Promise::P2, Promise::P8], what, [same, again])]);
}

/// Two writers and two readers: each pair of reads is in order, all four are not.
#[test]
fn what_is_not_linearizable_is_explained_or_a_violation() {
    let writes = [put(1).ms(1, 9).unknown(), put(2).ms(1, 9).unknown()];
    let reads = [get(1).ms(2, 3), get(2).ms(4, 5), get(1).ms(6, 7)];
    let stamped = [get(1).ms(2, 3).stamp(1), get(2).ms(4, 5).stamp(2), get(1).ms(6, 7).stamp(1)];
    judge([
        fine("linearizable", [writes[0], writes[1], reads[0], reads[1]]),
        // Without stamps nobody can say which of the reads went back.
        broken(
            &[Promise::Linearizable],
            "unexplained",
            [writes[0], writes[1], reads[0], reads[1], reads[2]],
        ),
        fine("explained", [writes[0], writes[1], stamped[0], stamped[1], stamped[2]])
            .admits(&[(Anomaly::ReadWentBack, 1)]),
    ]);
}
