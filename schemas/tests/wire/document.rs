//! `PROTOCOL.md` says what the code does.

use schemas::kind::Kind;
use schemas::status::{Applied, Status};

const PROTOCOL: &str = include_str!("../../PROTOCOL.md");

fn rows(cells: usize) -> impl Iterator<Item = Vec<&'static str>> {
    let cut = |line: &'static str| {
        line.strip_prefix("| ")?.strip_suffix('|').map(|row| row.split(" |").map(str::trim))
    };
    PROTOCOL
        .lines()
        .filter_map(cut)
        .map(Iterator::collect::<Vec<_>>)
        .filter(move |row| row.len() == cells || row.len() == cells + 1 && row[cells].is_empty())
}

#[test]
fn every_status_code_is_in_its_table() {
    let documented: Vec<String> = rows(5)
        .filter(|row| row[0].parse::<u8>().is_ok() && row[1].starts_with(char::is_uppercase))
        .map(|row| format!("{} {} {} {} {}", row[0], row[1], row[2], row[3], closes(row[4])))
        .collect();
    let real: Vec<String> = Status::ALL
        .into_iter()
        .map(|status| {
            let retryable = match status {
                Status::Ok => "",
                _ if status.is_retryable() => "yes",
                _ => "no",
            };
            let applied = match status.applied() {
                Applied::No => "no",
                Applied::Yes => "yes",
                Applied::Unknown => "unknown",
            };
            let code = status as u8;
            format!("{code} {status:?} {retryable} {applied} {}", status.closes())
        })
        .collect();
    assert_eq!(documented, real);
}

fn closes(note: &str) -> bool {
    note.starts_with("closes")
}

#[test]
fn every_kind_is_in_its_table() {
    let documented: Vec<String> = rows(3)
        .filter(|row| row[1].starts_with("0x"))
        .map(|row| format!("{} {}", row[0], row[1]))
        .collect();
    let real: Vec<String> =
        Kind::ALL.into_iter().map(|kind| format!("`{kind:?}` {:#04x}", kind as u8)).collect();
    assert_eq!(documented, real);
}
