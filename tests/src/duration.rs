//! Times as people write them: `90s`, `1h30m`, `250ms`, `20us`.
//!
//! What [`tell`] writes, [`parse`] reads back as it was, in whole microseconds.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer, Serializer};

/// Each unit in microseconds; the greatest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// The longest: a hundred years, so that sums of a few fit.
const LONGEST_US: u64 = 100 * 366 * 86_400_000_000;

/// Reads a time.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time, such as 90s, 1h30m, 250ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut sum_us) = (text, 0u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at(unit_len);
        let unit = UNITS.iter().find(|unit| unit.0 == name).ok_or_else(wrong)?;
        let count: u64 = number.parse().map_err(|_| wrong())?;
        let part_us = count.checked_mul(unit.1).ok_or_else(wrong)?;
        sum_us = sum_us.checked_add(part_us).filter(|&it| it <= LONGEST_US).ok_or_else(wrong)?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_micros(sum_us)) }
}

/// Writes a time, without what is below a microsecond.
#[must_use]
pub fn tell(time: Duration) -> String {
    let mut left_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    if left_us == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (name, unit_us) in UNITS {
        if left_us >= unit_us {
            text.push_str(&format!("{}{name}", left_us / unit_us));
            left_us %= unit_us;
        }
    }
    text
}

/// For serde: a time as text.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&tell(*time))
}

/// For serde: a time from text.
///
/// # Errors
/// The deserializer's, or what [`parse`] says.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(D::Error::custom)
}

/// For serde: microseconds as the text of a time.
pub mod micros {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    /// Microseconds as text.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(us: &u64, to: S) -> Result<S::Ok, S::Error> {
        super::serialize(&Duration::from_micros(*us), to)
    }

    /// Microseconds from text.
    ///
    /// # Errors
    /// The deserializer's, or what [`parse`](super::parse) says.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let time = super::deserialize(from)?;
        Ok(u64::try_from(time.as_micros()).expect("a hundred years at most"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, us) in [
            ("0", 0),
            ("90s", 90_000_000),
            ("1h30m", 5_400_000_000),
            ("250ms", 250_000),
            ("1s5us", 1_000_005),
            ("2d", 172_800_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(us)), "{text}");
        }
        for wrong in ["", "5", "s", "-1s", "1.5s", "1 s", "9999999d", "99999999999999999999s"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let bits = rng.u32(1..51);
            let time = Duration::from_micros(rng.u64(..1 << bits));
            assert_eq!(parse(&tell(time)), Ok(time), "{}", tell(time));
        }
    }
}
