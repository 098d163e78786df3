//! What the machine has, read from the kernel's files.

use std::fs;

use crate::config::Machine;

/// What this machine has for this process.
#[must_use]
pub(super) fn machine() -> Machine {
    let cpus = core_affinity::get_core_ids().unwrap_or_default();
    let mut cpus: Vec<_> = cpus.into_iter().map(|cpu| cpu.id).collect();
    cpus.sort_unstable();
    let host = read("/proc/sys/kernel/hostname");
    let host = host.trim();
    Machine {
        cpus,
        memory_bytes: memory_bytes(&read("/proc/meminfo"), &cgroup_limits()),
        host: if host.is_empty() { "node".to_owned() } else { host.to_owned() },
    }
}

/// Physical memory, or the least of the control group's limits.
fn memory_bytes(meminfo: &str, limits: &[String]) -> u64 {
    let total = kib_of(meminfo, "MemTotal:").map_or(u64::MAX, |kib| kib << 10);
    let limits = limits.iter().filter_map(|limit| limit.trim().parse::<u64>().ok());
    limits.fold(total, u64::min)
}

/// The limit of the process's group, in either version of control groups; "max" is none.
fn cgroup_limits() -> Vec<String> {
    let own = read("/proc/self/cgroup");
    let mut limits = vec![
        read("/sys/fs/cgroup/memory.max"),
        read("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ];
    for line in own.lines() {
        match line.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["0", "", path] => limits.push(read(&format!("/sys/fs/cgroup{path}/memory.max"))),
            [_, controllers, path] if controllers.split(',').any(|name| name == "memory") => {
                let file = format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes");
                limits.push(read(&file));
            }
            _ => {}
        }
    }
    limits
}

/// The number behind `label` in a file of lines like `MemTotal: 16 kB`.
pub(crate) fn kib_of(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The content of a file of the kernel's; empty if there is none.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_the_control_group_leaves_of_it() {
        let meminfo = "MemTotal:       16000 kB\nMemFree:         100 kB\n";
        let limits =
            |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(memory_bytes(meminfo, &[]), 16_000 << 10);
        assert_eq!(memory_bytes(meminfo, &limits(&["max\n", ""])), 16_000 << 10);
        assert_eq!(
            memory_bytes(meminfo, &limits(&["4096000\n", "9223372036854771712\n"])),
            4_096_000
        );
        assert_eq!(memory_bytes("", &limits(&["max"])), u64::MAX);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = machine();
        assert!(!machine.cpus.is_empty() && machine.cpus.is_sorted());
        assert!((1 << 20..u64::MAX).contains(&machine.memory_bytes));
        assert!(!machine.host.is_empty());
    }
}
