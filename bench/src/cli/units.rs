//! Numbers as people write them.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::limits::VALUE_BYTES_MAX;
use crate::workload::ValueBytes;

/// A count: `1000`, `10k`, `1M`, `2G`; thousands, not 1,024s.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn count(text: &str) -> anyhow::Result<u64> {
    let units = [("k", 1_000), ("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    scaled(text, &units).with_context(|| format!("\"{text}\" is no count, such as 5000, 10k, 1M"))
}

/// Bytes: `100`, `4KiB`, `1MiB`, `1kB`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn bytes(text: &str) -> anyhow::Result<u64> {
    let units = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("B", 1),
    ];
    scaled(text, &units).with_context(|| format!("\"{text}\" is no size, such as 100, 4KiB, 1MiB"))
}

/// A time: `10s`, `500ms`, `250us`, `2m`, `1h`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let units =
        [("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)];
    let unit = units.iter().any(|(unit, _)| text.ends_with(unit));
    if !unit && text != "0" {
        bail!("\"{text}\" is no time: it needs a unit, such as 10s, 500ms, 2m, 1h");
    }
    let us = scaled(text, &units)
        .with_context(|| format!("\"{text}\" is no time, such as 10s, 500ms, 2m, 1h"))?;
    Ok(Duration::from_micros(us))
}

/// Bytes of values: `100`, or `64..1024` for sizes between, both included.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn value_bytes(text: &str) -> anyhow::Result<ValueBytes> {
    let (min, max) = match text.split_once("..") {
        Some((min, max)) => (bytes(min)?, bytes(max)?),
        None => (bytes(text)?, bytes(text)?),
    };
    if max > VALUE_BYTES_MAX as u64 {
        bail!("values have at most {VALUE_BYTES_MAX} bytes, not {max}");
    }
    ValueBytes::new(min as usize, max as usize)
        .with_context(|| format!("\"{text}\" is no range: its lower bound is the greater one"))
}

/// CPUs: `0`, `0,2-5`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn cores(text: &str) -> anyhow::Result<Vec<usize>> {
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let cpu = |text: &str| {
            text.trim().parse::<usize>().ok().filter(|&cpu| cpu < 4_096).with_context(|| {
                format!("\"{part}\" is neither a CPU nor a range of CPUs, such as 0 or 2-5")
            })
        };
        let (low, high) = (cpu(low)?, cpu(high)?);
        if low > high {
            bail!("\"{part}\" is no range of CPUs: it ends before it begins");
        }
        cores.extend(low..=high);
    }
    Ok(cores)
}

/// A number, whole or with decimals, times the unit it ends with.
fn scaled(text: &str, units: &[(&str, u64)]) -> anyhow::Result<u64> {
    let unit = units.iter().filter(|(unit, _)| text.ends_with(unit)).max_by_key(|(u, _)| u.len());
    let (number, scale) = match unit {
        Some((unit, scale)) => (&text[..text.len() - unit.len()], *scale),
        None => (text, 1),
    };
    let number = number.trim();
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(scale).context("too large");
    }
    let (whole, decimals) = number.split_once('.').context("no number")?;
    let digits = decimals.len();
    if digits == 0 || digits > 9 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        bail!("no number");
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse()? };
    let fraction = decimals.parse::<u64>()?.checked_mul(scale).context("too large")?;
    whole
        .checked_mul(scale)
        .and_then(|whole| whole.checked_add(fraction / 10u64.pow(digits as u32)))
        .context("too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_mean_what_they_say() {
        assert_eq!(count("10k").unwrap(), 10_000);
        assert_eq!(count("1.5M").unwrap(), 1_500_000);
        assert_eq!(bytes("4KiB").unwrap(), 4_096);
        assert_eq!(bytes("100").unwrap(), 100);
        assert_eq!(bytes("100B").unwrap(), 100);
        assert_eq!(duration("0").unwrap(), Duration::ZERO);
        assert_eq!(duration("1.5s").unwrap(), Duration::from_millis(1_500));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        assert_eq!(value_bytes("64..1KiB").unwrap(), ValueBytes::new(64, 1_024).unwrap());
        assert_eq!(cores("0,2-4").unwrap(), [0, 2, 3, 4]);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "k", "-1", "1x", "1..2", "1.", ".", "99999999999999999999", "1e3", "1.+5"]
        {
            assert!(count(text).is_err(), "{text}");
        }
        for text in ["10", "s", "-1s", "1 day", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
        for text in ["2MiB", "10..5", "..", "1..", ""] {
            assert!(value_bytes(text).is_err(), "{text}");
        }
        for text in ["", "a", "3-1", "1-", "0,,1", "99999"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }
}
