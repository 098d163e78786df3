//! Numbers and keys as people write them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use crate::encoding::from_hex;

/// A time: `500ms`, `10s`, `2m`, `3h`, `7d`.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time, such as 500ms, 10s, 2m, 3h, 7d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let ms = number.checked_mul(unit_ms).filter(|&ms| ms > 0).ok_or_else(wrong)?;
    Ok(Duration::from_millis(ms))
}

/// A key as its argument spells it: the bytes themselves, or hexadecimal.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn key(argument: &OsStr, hex: bool) -> Result<Vec<u8>, String> {
    let bytes = argument.as_bytes();
    if hex { from_hex(bytes) } else { Ok(bytes.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for text in ["", "5", "s", "-1s", "1.5s", "0s", "1w", "99999999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_bytes() {
        assert_eq!(key(OsStr::from_bytes(b"\xffa"), false), Ok(b"\xffa".to_vec()));
        assert_eq!(key(OsStr::new("00ff"), true), Ok(vec![0, 0xff]));
        assert!(key(OsStr::new("0"), true).is_err());
    }
}
