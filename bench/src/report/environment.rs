//! Where a figure was measured: without it, it says nothing.

use std::env;
use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine, the kernel, the code.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Environment {
    /// The processor's name.
    pub cpu: String,
    /// Processors this process may use.
    pub cpus: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The version of this program.
    pub version: &'static str,
    /// The commit it was built from: `KVCORE_COMMIT`, or what git says of where the program lies.
    pub commit: Option<String>,
    /// How it was called.
    pub command: Vec<String>,
}

impl Environment {
    /// This machine, kernel and program.
    #[must_use]
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cpus: core_affinity::get_core_ids().map_or(0, |cores| cores.len()),
            memory_bytes: memory_bytes(&read("/proc/meminfo")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            version: env!("CARGO_PKG_VERSION"),
            commit: commit(),
            command: env::args().collect(),
        }
    }
}

/// The value of the first `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = field(meminfo, "MemTotal").unwrap_or_default();
    total.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn commit() -> Option<String> {
    if let Some(commit) = env::var("KVCORE_COMMIT").ok().filter(|commit| !commit.is_empty()) {
        return Some(commit);
    }
    let program = env::current_exe().ok()?;
    let mut git = Command::new("git");
    git.arg("-C").arg(program.parent()?).args(["describe", "--always", "--dirty", "--abbrev=12"]);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_a_kernel_and_memory() {
        let here = Environment::here();
        assert!(here.cpus > 0 && here.memory_bytes > 1 << 20, "{here:?}");
        assert!(here.kernel.starts_with(|c: char| c.is_ascii_digit()), "{here:?}");
    }

    #[test]
    fn fields_of_proc_are_found() {
        let text = "processor\t: 0\nmodel name\t: A CPU: fast\nMemTotal:  2048 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A CPU: fast"));
        assert_eq!(memory_bytes(text), 2 << 20);
        assert_eq!(memory_bytes(""), 0);
    }
}
