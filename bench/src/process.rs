//! CPU time of processes, as `/proc` tells it.

use std::fs;
use std::time::Duration;

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, which is 100 on every Linux there is, whatever
/// the kernel's own rate (proc(5), times(2)).
const TICKS_PER_SECOND: u64 = 100;

/// CPU time that process `pid` and its threads have used, in user and kernel mode together.
/// `None` if there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields after the program's name, which is in parentheses and may hold anything: `utime` and
/// `stime` are the 14th and 15th of the line.
fn parse_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let total = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(total.checked_mul(1_000 / TICKS_PER_SECOND)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_any_program_name() {
        for name in ["kvcore", "a) b (c", ""] {
            let stat = format!("7 ({name}) S 1 7 7 0 -1 4194560 9 0 0 0 150 25 0 0 20 0 3 0 99");
            assert_eq!(parse_stat(&stat), Some(Duration::from_millis(1_750)));
        }
        assert_eq!(parse_stat("7 (x) S 1 2"), None);
    }

    #[test]
    fn a_process_that_works_uses_time_and_one_that_is_not_there_none() {
        let before = cpu_time(std::process::id()).unwrap();
        let mut sum = 0u64;
        while cpu_time(std::process::id()).unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
