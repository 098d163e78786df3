//! Values with units: sizes, times, lists of CPUs. Each parser says what would have been right.

use std::time::Duration;

/// CPU ids are below this, as in the kernel's `CPU_SETSIZE`.
const CPUS_MAX: usize = 1024;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const TIME_UNITS: &[(&str, u64)] = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// A size in bytes: `64MiB`, `4GiB`, `1GB`, `4096`.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let what = "is not a size: write 512MiB or 4GiB";
    let (number, unit) = split(text).ok_or(what)?;
    let scale = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(what)?.1,
    };
    number.checked_mul(scale).ok_or_else(|| "is more than any machine has".to_owned())
}

/// A time: `20us`, `10ms`, `3h`; `0` needs no unit.
pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let what = "is not a time: write 20us, 10ms or 3h";
    let (number, unit) = split(text).ok_or(what)?;
    if (number, unit) == (0, "") {
        return Ok(Duration::ZERO);
    }
    let scale = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or(what)?.1;
    let us = number.checked_mul(scale).ok_or("is longer than any clock runs")?;
    Ok(Duration::from_micros(us))
}

/// CPU ids in the order given: `0,2-5`.
pub(super) fn parse_cpus(text: &str) -> Result<Vec<usize>, String> {
    let what = "is not a list of CPUs: write 0-3 or 0,2,4";
    let id = |text: &str| split(text).filter(|(_, rest)| rest.is_empty()).map(|(id, _)| id);
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (id(first).ok_or(what)?, id(last).ok_or(what)?);
        if first > last {
            return Err(format!("has a range that runs backwards: {part}"));
        }
        if last >= CPUS_MAX as u64 {
            return Err(format!("names CPU {last}, ids are below {CPUS_MAX}"));
        }
        for cpu in first as usize..=last as usize {
            if cpus.contains(&cpu) {
                return Err(format!("names CPU {cpu} twice"));
            }
            cpus.push(cpu);
        }
    }
    Ok(cpus)
}

/// `true` or `false`, as people write them.
pub(super) fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// `bytes` in the greatest unit that loses nothing.
#[must_use]
pub fn show_bytes(bytes: u64) -> String {
    let binary = SIZE_UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    let whole =
        binary.into_iter().find(|(_, scale)| bytes >= *scale && bytes.is_multiple_of(*scale));
    whole.map_or_else(|| format!("{bytes}B"), |(name, scale)| format!("{}{name}", bytes / scale))
}

/// A number and what follows it; `None` if it does not begin with a digit or is past 64 bits.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("7B", 7),
            ("64KiB", 64 << 10),
            ("64MiB", 64 << 20),
            ("4GiB", 4 << 30),
            ("2TiB", 2 << 40),
            ("1KB", 1_000),
            ("3GB", 3_000_000_000),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "GiB",
            "4 GiB",
            "-1",
            "+1",
            "1.5GiB",
            "4gib",
            "4G",
            "4GiBs",
            "18446744073709551616",
            "16777216TiB",
            "0x10",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_as_it_is_written() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (1 << 30, "1GiB"),
            (1536 << 20, "1536MiB"),
            (3 << 40, "3TiB"),
        ] {
            assert_eq!(show_bytes(bytes), text);
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
    }

    #[test]
    fn times() {
        for (text, us) in [
            ("0", 0),
            ("20us", 20),
            ("10ms", 10_000),
            ("1s", 1_000_000),
            ("5m", 300_000_000),
            ("3h", 10_800_000_000),
            ("7d", 604_800_000_000),
        ] {
            assert_eq!(parse_time(text), Ok(Duration::from_micros(us)), "{text}");
        }
        for text in ["", "10", "ms", "10 ms", "-1s", "1.5s", "10sec", "99999999999999d"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_of_cpus() {
        for (text, cpus) in [
            ("0", vec![0]),
            ("3", vec![3]),
            ("0-3", vec![0, 1, 2, 3]),
            ("0,2-5", vec![0, 2, 3, 4, 5]),
            ("5,1", vec![5, 1]),
            ("1023", vec![1023]),
        ] {
            assert_eq!(parse_cpus(text), Ok(cpus), "{text}");
        }
        for text in [
            "",
            ",",
            "0,",
            "a",
            "3-1",
            "0-0-1",
            "-1",
            "0,0",
            "0-3,2",
            "1024",
            "0-99999999999",
            " 0",
        ] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }
}
