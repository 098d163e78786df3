//! Limits that the system puts on the process: each child gets them from the thread that starts
//! it, so other tests are not touched.

use std::process::Command;
use std::thread;

use rustix::io::Errno;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::kvcore::{command, refused, scratch};

#[test]
fn too_little_locked_memory() {
    let dir = scratch();
    let start = command(dir.path());
    let (status, said) = thread::spawn(move || {
        // A process of root's has the capability again after exec unless it is out of bounds.
        match remove_capability_from_bounding_set(CapabilitySet::IPC_LOCK) {
            Ok(()) | Err(Errno::PERM) => {}
            Err(error) => panic!("{error}"),
        }
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -l 64; exec \"$0\" \"$@\""]);
        limited.arg(start.get_program()).args(start.get_args());
        refused(&mut limited)
    })
    .join()
    .unwrap();
    assert_eq!(status, 11, "{said}");
    for part in ["64KiB", "1 cores need 2MiB", "ulimit -l 2048", "LimitMEMLOCK"] {
        assert!(said.contains(part), "{part:?} in {said:?}");
    }
}

#[test]
fn no_io_uring() {
    for (errno, part) in [(libc::EPERM, "forbidden"), (libc::ENOSYS, "Linux 6.1")] {
        let dir = scratch();
        let mut start = command(dir.path());
        let (status, said) = thread::spawn(move || {
            let deny = SeccompAction::Errno(errno as u32);
            let rules = [(libc::SYS_io_uring_setup, Vec::new())].into_iter().collect();
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, deny, arch).unwrap();
            let program: BpfProgram = filter.try_into().unwrap();
            apply_filter(&program).unwrap();
            refused(&mut start)
        })
        .join()
        .unwrap();
        assert_eq!(status, 10, "{said}");
        assert!(said.contains("io_uring") && said.contains(part), "{said}");
    }
}
