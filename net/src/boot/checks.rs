//! What has to be true of the machine before the server starts. Each refusal is a sentence that
//! says what to do.

use std::io;
use std::net::SocketAddr;

use engine::env::ring::{Ring, RingConfig};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::exit::{Exit, Refusal};
use super::machine::{kib_of, read};
use crate::config::{CORES_MAX, CpuChoice, show_bytes};
use crate::limits::IO_MEMORY_BYTES;
use crate::server::CoreMemory;

/// glommio's rings of one executor, each of which pins the executor's memory for direct I/O.
const GLOMMIO_RINGS: u64 = 3;
/// The queues of all rings of a core, which count as locked memory as well: 200 KiB are the core's
/// own ring's.
const RINGS_BYTES: u64 = 512 << 10;
/// `CAP_IPC_LOCK`, which lifts the limit on locked memory.
const CAP_IPC_LOCK: u32 = 14;

/// The CPUs of `choice` among the `allowed` ones, in order.
///
/// # Errors
/// One does not exist or may not be used, or there are not so many.
pub(super) fn choose_cpus(choice: &CpuChoice, allowed: &[usize]) -> Result<Vec<usize>, Refusal> {
    let refuse = |what: String| {
        let sentence = format!("{what}; this process may use {}", show_cpus(allowed));
        Err(Refusal::new(Exit::Cpu, sentence))
    };
    match choice {
        CpuChoice::All if allowed.is_empty() => refuse("there is no CPU to run on".to_owned()),
        CpuChoice::All => Ok(allowed[..allowed.len().min(CORES_MAX)].to_vec()),
        CpuChoice::Count(count) if *count > allowed.len() => {
            refuse(format!("--smp {count} is more CPUs than there are"))
        }
        CpuChoice::Count(count) => Ok(allowed[..*count].to_vec()),
        CpuChoice::List(cpus) => match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(cpu) => refuse(format!("CPU {cpu} of --cores does not exist or may not be used")),
            None => Ok(cpus.clone()),
        },
    }
}

/// CPU ids as `--cores` takes them: `0-3,6`.
#[must_use]
pub(super) fn show_cpus(cpus: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let show = |&(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    match ranges.is_empty() {
        true => "no CPU".to_owned(),
        false => ranges.iter().map(show).collect::<Vec<_>>().join(","),
    }
}

/// Splits the memory between the cores.
///
/// # Errors
/// It is too little.
pub(super) fn split_memory(bytes: u64, cores: usize) -> Result<CoreMemory, Refusal> {
    let split = usize::try_from(bytes).ok().and_then(|bytes| CoreMemory::split(bytes, cores));
    split.ok_or_else(|| {
        let least = CoreMemory::BYTES_MIN as u64;
        let sentence = format!(
            "--memory {} is too little for {cores} cores, each needs {}: give at least {} or fewer \
             cores",
            show_bytes(bytes),
            show_bytes(least),
            show_bytes(least * cores as u64),
        );
        Refusal::new(Exit::Usage, sentence)
    })
}

/// Why `flag`'s address cannot be listened on, and what to do.
#[must_use]
pub(super) fn cannot_listen(flag: &str, address: SocketAddr, error: &io::Error) -> Refusal {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: stop it, or give another port",
        io::ErrorKind::AddrNotAvailable => "it is not an address of this machine: give one that is",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: give a higher one",
        _ => "give another address",
    };
    let sentence = format!("cannot listen on {address}, given by {flag}: {error}; {advice}");
    Refusal::new(Exit::Address, sentence)
}

/// Whether a ring like those of the cores can be made.
///
/// # Errors
/// It cannot, and why.
pub(super) fn check_io_uring() -> Result<(), Refusal> {
    Ring::new(RingConfig::default()).map(drop).map_err(|error| no_io_uring(&error))
}

/// What is to be done about an io_uring that cannot be made.
#[must_use]
pub(super) fn no_io_uring(error: &io::Error) -> Refusal {
    let release = read("/proc/sys/kernel/osrelease");
    let disabled = read("/proc/sys/kernel/io_uring_disabled");
    Refusal::new(Exit::IoUring, io_uring_advice(error, release.trim(), disabled.trim()))
}

/// `disabled` is the kernel's setting `io_uring_disabled`, `release` its version.
fn io_uring_advice(error: &io::Error, release: &str, disabled: &str) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::PERM) if matches!(disabled, "1" | "2") => format!(
            "io_uring is switched off by the setting kernel.io_uring_disabled={disabled}: \
             set it to 0 with sysctl"
        ),
        Some(Errno::PERM | Errno::ACCESS) => "io_uring is forbidden to this process: allow the \
             io_uring system calls in the container's seccomp profile, or run outside of it"
            .to_owned(),
        Some(Errno::NOSYS) => format!(
            "io_uring is missing (kernel {release}, or a seccomp profile that hides it): Linux 6.1 \
             or newer with io_uring is needed"
        ),
        Some(Errno::INVAL) => {
            format!("the io_uring of kernel {release} is too old: Linux 6.1 or newer is needed")
        }
        Some(Errno::NOMEM) => "the kernel has no memory for io_uring: raise the limit on locked \
             memory with `ulimit -l unlimited`, or LimitMEMLOCK= of the service"
            .to_owned(),
        _ => format!("io_uring cannot be set up: {error}"),
    }
}

/// Whether `cores` cores may lock the memory of their rings and of their direct I/O.
///
/// # Errors
/// The limit is lower, and the process may not pass it.
pub(super) fn check_locked_memory(cores: usize) -> Result<(), Refusal> {
    let needed = locked_bytes(cores);
    match getrlimit(Resource::Memlock).current {
        Some(limit) if limit < needed && !may_lock(&read("/proc/self/status")) => {
            let sentence = format!(
                "the limit on locked memory is {}, and {cores} cores need {}: raise it with \
                 `ulimit -l {}`, LimitMEMLOCK=infinity of the service, or give the process \
                 CAP_IPC_LOCK",
                show_bytes(limit),
                show_bytes(needed),
                needed >> 10,
            );
            Err(Refusal::new(Exit::LockedMemory, sentence))
        }
        _ => Ok(()),
    }
}

/// Memory that `cores` cores lock, in bytes.
fn locked_bytes(cores: usize) -> u64 {
    cores as u64 * (GLOMMIO_RINGS * IO_MEMORY_BYTES as u64 + RINGS_BYTES)
}

/// Tells when the memory of direct I/O could not be pinned after all: the kernel counts whole huge
/// pages where the buffers lie in some, so a limit that is enough by our count may not be.
pub(super) fn check_pinned(cores: usize) {
    let (pinned, wanted) = (pinned_bytes(), GLOMMIO_RINGS * (cores * IO_MEMORY_BYTES) as u64);
    if pinned < wanted {
        tracing::warn!(
            pinned = show_bytes(pinned),
            wanted = show_bytes(wanted),
            "the limit on locked memory left no room to pin the memory of direct I/O: flush and \
             compaction cost more CPU; `ulimit -l unlimited` avoids it"
        );
    }
}

/// Whether `/proc/self/status` says that the process has `CAP_IPC_LOCK`.
fn may_lock(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|effective| effective >> CAP_IPC_LOCK & 1 == 1)
}

/// Memory that is pinned now, in bytes, as `/proc/self/status` says.
#[must_use]
pub(super) fn pinned_bytes() -> u64 {
    kib_of(&read("/proc/self/status"), "VmPin:").unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>) -> (Exit, String) {
        let refusal = result.unwrap_err();
        (refusal.exit, refusal.sentence)
    }

    #[test]
    fn cpus_are_chosen_from_those_that_are_allowed() {
        let allowed = [0, 1, 2, 6];
        let choose = |choice| choose_cpus(&choice, &allowed);
        assert_eq!(choose(CpuChoice::All).unwrap(), allowed);
        assert_eq!(choose(CpuChoice::Count(2)).unwrap(), [0, 1]);
        assert_eq!(choose(CpuChoice::List(vec![6, 0])).unwrap(), [6, 0]);
        let (exit, sentence) = refused(choose(CpuChoice::List(vec![0, 3])));
        assert_eq!(exit, Exit::Cpu);
        let expected =
            "CPU 3 of --cores does not exist or may not be used; this process may use 0-2,6";
        assert_eq!(sentence, expected);
        let (exit, sentence) = refused(choose(CpuChoice::Count(5)));
        assert_eq!(exit, Exit::Cpu);
        assert!(sentence.starts_with("--smp 5 is more CPUs than there are"), "{sentence}");
        assert_eq!(refused(choose_cpus(&CpuChoice::All, &[])).0, Exit::Cpu);
    }

    /// Without --smp a machine with more CPUs than a node has cores for made a mesh past its bound.
    #[test]
    fn of_more_cpus_than_a_node_has_cores_for_the_first_are_taken() {
        let allowed: Vec<_> = (0..CORES_MAX + 44).collect();
        assert_eq!(choose_cpus(&CpuChoice::All, &allowed).unwrap(), allowed[..CORES_MAX]);
    }

    #[test]
    fn too_little_memory_says_how_much_is_enough() {
        let (exit, sentence) = refused(split_memory(100 << 20, 2));
        assert_eq!(exit, Exit::Usage);
        assert!(sentence.contains("give at least 128MiB"), "{sentence}");
        assert!(split_memory(128 << 20, 2).is_ok());
    }

    #[test]
    fn each_way_to_have_no_io_uring_has_its_advice() {
        for (errno, disabled, says) in [
            (Errno::PERM, "2", "sysctl"),
            (Errno::PERM, "0", "seccomp"),
            (Errno::PERM, "", "seccomp"),
            (Errno::NOSYS, "", "Linux 6.1"),
            (Errno::INVAL, "0", "kernel 5.4.0 is too old"),
            (Errno::NOMEM, "0", "ulimit -l"),
            (Errno::MFILE, "0", "Too many open files"),
        ] {
            let sentence = io_uring_advice(&errno.into(), "5.4.0", disabled);
            assert!(sentence.contains(says), "{errno:?}: {sentence}");
        }
    }

    #[test]
    fn a_capability_lifts_the_limit_on_locked_memory() {
        assert!(may_lock("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(may_lock("CapEff:\t0000000000004000\n"));
        assert!(!may_lock("CapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n"));
        assert!(!may_lock("CapEff:\tnonsense\n") && !may_lock(""));
    }
}
