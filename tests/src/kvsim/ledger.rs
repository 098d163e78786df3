//! A row of the ledger of long runs, put above those that are there.

use std::fs;
use std::io;
use std::path::Path;

const HEAD: &str = "# Ledger of long runs

What was run beyond the test command, newest first. A row is added by whoever ran it. A run that
failed is a row too, with the commit that fixed it.

| date | commit | what | seeds | counts | outcome |
|---|---|---|---|---|---|
";

/// One run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row {
    pub(super) date: String,
    pub(super) commit: String,
    pub(super) what: String,
    pub(super) seeds: String,
    pub(super) counts: String,
    pub(super) outcome: String,
}

impl Row {
    fn line(&self) -> String {
        let Self { date, commit, what, seeds, counts, outcome } = self;
        let cells = [date, commit, what, seeds, counts, outcome].map(|cell| {
            // Neither ends a cell.
            cell.replace(['|', '\n'], " ")
        });
        format!("| {} |\n", cells.join(" | "))
    }

    /// Puts the row above all others of a ledger that was [begun](begin).
    ///
    /// # Errors
    /// If the file cannot be read or written, or has no table.
    pub(super) fn add_to(&self, path: &Path) -> io::Result<()> {
        fs::write(path, self.above(&fs::read_to_string(path)?)?)
    }

    fn above(&self, text: &str) -> io::Result<String> {
        let at = first_row(text)?;
        Ok(format!("{}{}{}", &text[..at], self.line(), &text[at..]))
    }
}

/// Begins a ledger if there is none, and sees that rows can be added: before the work that they
/// tell of is done.
///
/// # Errors
/// If the file cannot be read or written, or has no table.
pub(super) fn begin(path: &Path) -> io::Result<()> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::write(path, HEAD),
        read => {
            first_row(&read?)?;
            fs::OpenOptions::new().append(true).open(path).map(drop)
        }
    }
}

/// Where the rows of a ledger begin.
fn first_row(text: &str) -> io::Result<usize> {
    const RULE: &str = "|---|---|---|---|---|---|\n";
    let no_table = || io::Error::new(io::ErrorKind::InvalidData, "it has no table of six");
    text.find(RULE).map(|at| at + RULE.len()).ok_or_else(no_table)
}

/// The date of a moment in seconds since 1970, as a calendar says it (Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
pub(super) fn date(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_767_225_599, "2025-12-31"),
            (1_795_737_600, "2026-11-27"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(unix_s), text);
        }
    }

    #[test]
    fn a_row_is_put_above_the_others() {
        let row = |what: &str| Row {
            date: "2026-11-27".to_owned(),
            commit: "abc".to_owned(),
            what: what.to_owned(),
            seeds: "1".to_owned(),
            counts: "a | b\n".to_owned(),
            outcome: "0".to_owned(),
        };
        let text = row("second").above(&row("first").above(HEAD).unwrap()).unwrap();
        let rows: Vec<&str> = text.lines().skip(7).collect();
        assert_eq!(rows[0], "| 2026-11-27 | abc | second | 1 | a   b  | 0 |");
        assert!(rows[1].contains("first") && rows.len() == 2);
        assert!(row("none").above("# something else\n").is_err());
    }
}
