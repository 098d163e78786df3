//! P2, of every policy: what is read was written.
//!
//! - A value that is read was put to this key, by a put that did not fail and was called before the
//!   read returned.
//! - Of an `lww` key one value has one version, and one version belongs to one write; a read that
//!   finds nothing never names a put that had not expired.
//! - A value that had expired by everybody's clock is not read (P5). If the outcome of its put is
//!   unknown, its time begins by when it was first read.

use schemas::ids::Version;

use super::findings::{Findings, Promise};
use super::index::Key;
use crate::history::{ABSENT, Kind, Operation, Outcome, Policy};

pub(super) fn judge(key: &Key<'_>, findings: &mut Findings) {
    let versions = match key.policy {
        Policy::Lww => versions(key, findings),
        Policy::Siblings => Vec::new(),
    };
    for &number in key.operations {
        let get = key.operation(number);
        if !get.is_answered_get() {
            continue;
        }
        match key.policy {
            Policy::Siblings => {
                for &value in get.siblings {
                    value_read(key, number, &get, value, findings);
                }
            }
            Policy::Lww if get.value == ABSENT => absence(key, number, &get, &versions, findings),
            Policy::Lww => {
                value_read(key, number, &get, get.value, findings);
                version_read(key, number, &get, findings);
            }
        }
    }
}

/// The versions of all writes, ascending.
fn versions(key: &Key<'_>, findings: &mut Findings) -> Vec<(Version, u32)> {
    let told = key.writes().iter().filter_map(|&write| Some((key.stamp_of(write)?, write)));
    let mut versions: Vec<(Version, u32)> = told.collect();
    versions.sort_unstable();
    for two in versions.windows(2).filter(|two| two[0].0 == two[1].0) {
        findings.violation(Promise::P2, key.name, &[two[0].1, two[1].1], || {
            format!("{} and {} have one version", key.tell(two[0].1), key.tell(two[1].1))
        });
    }
    versions
}

fn value_read(
    key: &Key<'_>,
    number: u32,
    get: &Operation<'_>,
    value: u64,
    findings: &mut Findings,
) {
    let Some(write) = key.write_of(value) else {
        let writer = key.foreign_writer(value);
        let operations: Vec<u32> = writer.into_iter().chain([number]).collect();
        findings.violation(Promise::P2, key.name, &operations, || match writer {
            Some(writer) => format!(
                "{} shows {value}, which another key was given by {}",
                key.tell(number),
                key.tell(writer)
            ),
            None => format!("{} shows {value}, which nobody wrote", key.tell(number)),
        });
        return;
    };
    let writer = key.writes()[write as usize];
    let put = key.operation(writer);
    let (promise, how) = if put.kind == Kind::Delete {
        (Promise::P2, "is the number of a delete")
    } else if put.outcome == Outcome::Fail {
        (Promise::P2, "failed to be written")
    } else if put.call_ns > get.return_ns {
        (Promise::P2, "was written only later")
    } else if key.has_expired(writer, get.call_ns) {
        (Promise::P5, "had expired")
    } else {
        return;
    };
    findings.violation(promise, key.name, &[writer, number], || {
        format!("{} shows {value}, which {how}: {}", key.tell(number), key.tell(writer))
    });
}

fn version_read(key: &Key<'_>, number: u32, get: &Operation<'_>, findings: &mut Findings) {
    let Some(write) = key.write_of(get.value) else { return };
    let writer = key.writes()[write as usize];
    let (Some(read), Some(written)) = (get.stamp, key.stamp_of(writer)) else { return };
    if read != written {
        findings.violation(Promise::P2, key.name, &[writer, number], || {
            format!(
                "{} shows it as version {read:?}, {} was given {written:?}",
                key.tell(number),
                key.tell(writer)
            )
        });
    }
}

fn absence(
    key: &Key<'_>,
    number: u32,
    get: &Operation<'_>,
    versions: &[(Version, u32)],
    findings: &mut Findings,
) {
    let Some(stamp) = get.stamp else { return };
    let Ok(found) = versions.binary_search_by_key(&stamp, |it| it.0) else { return };
    let writer = versions[found].1;
    let write = key.operation(writer);
    if write.kind == Kind::Put && !key.may_have_expired(&write, get.return_ns) {
        findings.violation(Promise::P2, key.name, &[writer, number], || {
            format!("{} names the version of {}", key.tell(number), key.tell(writer))
        });
    }
}
