//! Histories of namespaces with siblings by hand: for each promise some that keep it, and some that
//! break it and nothing else.

use tests::checker::{Anomaly, Promise};
use tests::history::Policy;

use crate::notation::{Case, broken, delete, fine, put, siblings};

fn judge(cases: impl IntoIterator<Item = Case>) {
    crate::notation::judge(Policy::Siblings, cases);
}

#[test]
fn p1_no_acknowledged_write_is_lost() {
    let sloppy = |value, ms| put(value).ms(ms, ms + 1).sloppy();
    let broken = |what, operations: Vec<_>| {
        broken(&[Promise::P1], what, operations).admits(&[(Anomaly::StaleSloppy, 1)])
    };
    judge([
        fine("both are there", [sloppy(1, 1), sloppy(2, 3), siblings(&[1, 2]).ms(9, 10).settled()]),
        fine(
            "a descendant is there",
            [
                sloppy(1, 1),
                put(2).ms(3, 4).covers(&[1]).unknown(),
                put(3).ms(5, 6).covers(&[2]).unknown(),
                siblings(&[3]).ms(9, 10).settled(),
            ],
        ),
        fine(
            "a delete covers it",
            [
                sloppy(1, 1),
                delete(2).ms(3, 4).covers(&[1]).unknown(),
                siblings(&[]).ms(9, 10).settled(),
            ],
        ),
        fine("it expired", [sloppy(1, 1).expires(12), siblings(&[]).ms(9, 10).settled()]),
        broken(
            "it is not there",
            vec![sloppy(1, 1), sloppy(2, 3), siblings(&[2]).ms(9, 10).settled()],
        ),
        broken(
            "what covers it is not there either",
            vec![
                sloppy(1, 1),
                put(2).ms(3, 4).covers(&[1]).unknown(),
                siblings(&[]).ms(9, 10).settled(),
            ],
        ),
        broken(
            "what failed covers nothing",
            vec![
                sloppy(1, 1),
                delete(2).ms(3, 4).covers(&[1]).failed(),
                siblings(&[]).ms(9, 10).settled(),
            ],
        ),
        broken(
            "it would expire, but later",
            vec![sloppy(1, 1).expires(25), siblings(&[]).ms(9, 10).settled()],
        ),
    ]);
}

#[test]
fn p2_siblings_are_neither_dropped_nor_invented() {
    let (one, two, other) = (put(1).ms(1, 2), put(2).ms(3, 4), put(8).ms(1, 2).unknown());
    let broken = |what, operations: Vec<_>| broken(&[Promise::P2], what, operations);
    judge([
        fine(
            "side by side, and the context covers both",
            [one, two, siblings(&[1, 2]).ms(5, 6).context(&[1, 2])],
        ),
        fine(
            "the context covers what was replaced, too",
            [one, two.covers(&[1]), siblings(&[2]).ms(5, 6).context(&[1, 2])],
        ),
        fine(
            "the context covers a delete",
            [one, delete(2).ms(3, 4).covers(&[1]), siblings(&[]).ms(5, 6).context(&[2])],
        ),
        broken(
            "one covers the other",
            vec![one, other, two.covers(&[1]), siblings(&[1, 2]).ms(3, 6)],
        ),
        broken(
            "one covers the other through a third",
            vec![
                one,
                other,
                two.covers(&[1]),
                put(3).ms(4, 5).covers(&[2]),
                siblings(&[1, 3]).ms(3, 6),
            ],
        ),
        broken("one is there twice", vec![one, two, siblings(&[1, 2, 2]).ms(5, 6)]),
        broken("nobody wrote it", vec![one, siblings(&[1, 7]).ms(5, 6)]),
        broken("another key's", vec![one, two.key(2), siblings(&[1, 2]).ms(5, 6)]),
        broken("a delete's number", vec![delete(1).ms(1, 2), siblings(&[1]).ms(5, 6)]),
        broken(
            "the context leaves one out",
            vec![one, two, siblings(&[1, 2]).ms(5, 6).context(&[1])],
        ),
        broken(
            "the context covers one that is not there",
            vec![one, two.unknown(), siblings(&[1]).ms(5, 6).context(&[1, 2])],
        ),
        broken(
            "the context covers one that is replaced only later",
            vec![
                one,
                two.unknown(),
                siblings(&[1]).ms(5, 6).context(&[1, 2]),
                put(3).ms(7, 8).covers(&[2]),
            ],
        ),
        broken(
            "the context covers what was never written",
            vec![one, siblings(&[1]).ms(5, 6).context(&[1, 9])],
        ),
    ]);
}

#[test]
fn p3_quorum_reads_are_regular() {
    let (one, two) = (put(1).ms(1, 2), put(2).ms(3, 8).covers(&[1]));
    let broken = |what, operations: Vec<_>| broken(&[Promise::P3], what, operations);
    judge([
        broken(
            "back behind a read of the settled store",
            vec![
                put(1).ms(1, 2).unknown(),
                siblings(&[1]).ms(4, 5).settled(),
                siblings(&[]).ms(6, 7),
            ],
        ),
        broken(
            "gone before anybody deletes it, beside a read that lasts until then",
            vec![
                one,
                siblings(&[]).ms(10, 99),
                siblings(&[]).ms(20, 30),
                delete(2).ms(90, 95).covers(&[1]).unknown(),
            ],
        ),
        fine(
            "while it is replaced, the old or the new",
            [one, two, siblings(&[1]).ms(4, 5), siblings(&[2]).ms(4, 7)],
        ),
        fine(
            "replaced by something unknown, which is replaced",
            [
                one,
                put(2).ms(3, 4).covers(&[1]).unknown(),
                put(3).ms(5, 6).covers(&[2]),
                siblings(&[3]).ms(7, 8),
                siblings(&[3]).ms(9, 10),
            ],
        ),
        broken("dropped", vec![one, put(2).ms(3, 4), siblings(&[2]).ms(5, 6)]),
        broken("older than acknowledged", vec![one, two, siblings(&[1]).ms(9, 10)]),
        broken(
            "neither the old nor the new",
            vec![one, put(2).ms(3, 4).covers(&[1]).unknown(), siblings(&[]).ms(5, 6)],
        ),
        broken(
            "back behind a read with blocking repair",
            vec![one, two, siblings(&[2]).ms(4, 5).repaired(), siblings(&[1]).ms(6, 7)],
        )
        .admits(&[]),
        fine(
            "back behind one without",
            [one, two, siblings(&[2]).ms(4, 5), siblings(&[1]).ms(6, 7)],
        )
        .admits(&[(Anomaly::ReadWentBack, 1)]),
    ]);
}

#[test]
fn p5_the_deleted_stays_deleted() {
    let (one, gone) = (put(1).ms(1, 2), delete(2).ms(3, 4).covers(&[1]));
    let broken = |what, operations: Vec<_>| broken(&[Promise::P5], what, operations);
    judge([
        fine(
            "what the delete had not seen stays",
            [one, put(3).ms(1, 2), gone, siblings(&[3]).ms(5, 6)],
        ),
        fine("written again", [one, gone, put(3).ms(5, 6), siblings(&[3]).ms(7, 8)]),
        fine(
            "while it is deleted",
            [one, delete(2).ms(3, 9).covers(&[1]), siblings(&[]).ms(4, 5), siblings(&[1]).ms(6, 7)],
        ),
        fine("a weak read is stale", [one, gone, siblings(&[1]).ms(5, 6).weak()]),
        fine(
            "covered while the store was read, and not there yet",
            [
                put(1).ms(1, 2).unknown(),
                siblings(&[]).ms(3, 9).settled(),
                put(2).ms(4, 5).covers(&[1]).unknown(),
                siblings(&[1]).ms(10, 11).weak(),
            ],
        ),
        broken("a quorum read shows it", vec![one, gone, siblings(&[1]).ms(5, 6)]),
        broken(
            "a quorum read shows what had been replaced by it",
            vec![
                one.sloppy(),
                put(3).ms(1, 2).covers(&[1]).sloppy(),
                delete(2).ms(3, 4).covers(&[3]),
                siblings(&[1]).ms(5, 6),
            ],
        ),
        broken(
            "a weak read shows what was gone everywhere",
            vec![one, gone, siblings(&[]).ms(5, 6).settled(), siblings(&[1]).ms(7, 8).weak()],
        ),
        broken(
            "a sloppy delete was lost",
            vec![one, gone.sloppy(), siblings(&[1]).ms(5, 6).settled()],
        ),
        broken("it had expired", vec![one.expires(5), siblings(&[1]).ms(16, 17)]),
    ]);
}

#[test]
fn p5_the_time_of_a_put_of_unknown_outcome_begins_by_when_it_was_read() {
    let broken = |what, operations: Vec<_>| broken(&[Promise::P5], what, operations);
    judge([
        fine(
            "nobody knows when its time began, but by when it was read",
            vec![put(1).ms(1, 2).unknown().expires(5), siblings(&[1]).ms(30, 31).weak()],
        ),
        broken(
            "it had been read, and had expired since",
            vec![
                put(1).ms(1, 2).unknown().expires(5),
                siblings(&[1]).ms(3, 4).weak(),
                siblings(&[1]).ms(30, 31).weak(),
            ],
        ),
    ]);
}

#[test]
fn p8_a_session_never_goes_back() {
    let (one, two) = (put(1).ms(1, 2), put(2).ms(3, 8).covers(&[1]));
    let back = |first, second| {
        vec![
            one,
            two,
            siblings(&[2]).ms(4, 5).session(first),
            siblings(&[1]).ms(6, 7).session(second),
        ]
    };
    judge([
        fine("two sessions", back(1, 2)).admits(&[(Anomaly::ReadWentBack, 1)]),
        broken(&[Promise::P8], "one session", back(1, 1)).admits(&[(Anomaly::ReadWentBack, 1)]),
        fine(
            "a sloppy session",
            [one.session(1).sloppy(), siblings(&[]).ms(3, 4).session(1).sloppy()],
        )
        .admits(&[(Anomaly::StaleSloppy, 1)]),
        fine(
            "far ahead, through what the session has not seen",
            [
                one.session(1),
                put(2).ms(3, 4).covers(&[1]),
                put(3).ms(5, 6).covers(&[2]),
                siblings(&[3]).ms(7, 8).session(1),
                put(4).ms(9, 10).covers(&[3]).session(1),
                siblings(&[4]).ms(11, 12).session(1),
            ],
        ),
    ]);
}

#[test]
fn p9_siblings_and_contexts_are_bounded() {
    let puts = [put(1).ms(1, 2), put(2).ms(1, 2), put(3).ms(1, 2), put(4).ms(1, 2)];
    let [one, two, three, four] = puts;
    judge([
        fine("as many as are allowed", [one, two, three, siblings(&[1, 2, 3]).ms(3, 4).entries(4)]),
        broken(
            &[Promise::P9],
            "more than are allowed",
            [one, two, three, four, siblings(&[1, 2, 3, 4]).ms(3, 4)],
        ),
        broken(
            &[Promise::P9],
            "a context of too many entries",
            [one, siblings(&[1]).ms(3, 4).entries(5)],
        ),
        // What is wrong with such a read is more than its number, but that is found by itself.
        broken(
            &[Promise::P2, Promise::P9],
            "more than there are concurrent writers",
            [one, put(2).ms(3, 4).covers(&[1]), siblings(&[1, 2]).ms(3, 6)],
        ),
    ]);
}
