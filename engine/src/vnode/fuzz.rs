//! Fuzz target: a file of clocks.
//!
//! ```text
//! input: | how 1 | header and clocks, as far as they go |
//! how:   bit 0 length and sum are made right, bit 1 the file is a page longer
//! ```

use std::num::NonZeroU64;

use schemas::clock::VnodeClock;
use schemas::ids::{Actor, Dot, NodeId, Vnode};

use super::file::{ClocksError, ClocksFile, PLACE, write};
use crate::env::sim::{Sim, SimDisk};
use crate::env::{ALIGN, Env};
use crate::fuzz::{Input, bit};
use crate::integrity::checksum;
use crate::sstable::FileId;

const DIR: &str = "shard";
const ID: FileId = FileId(7);
const SUM: std::ops::Range<usize> = 12..16;
const LENGTH: std::ops::Range<usize> = 24..32;

/// Reads an input: clocks that are sound are written as they were read.
pub(crate) fn clocks(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let how = input.u8();
    let bytes = input.rest();
    let pages = bytes.len().next_multiple_of(ALIGN) + ALIGN * usize::from(bit(how, 1));
    let mut file = bytes.to_vec();
    file.resize(pages, 0);
    if bit(how, 0) && bytes.len() >= LENGTH.end {
        file[LENGTH].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        file[SUM].fill(0);
        let sum = checksum(ID.0, PLACE, &file[..bytes.len()]);
        file[SUM].copy_from_slice(&sum.to_le_bytes());
    }
    let (sim, disk) = (Sim::new(1), SimDisk::new(1));
    let env = sim.env(&disk);
    let path = format!("{DIR}/{}", ClocksFile::file_name(ID));
    sim.block_on(async {
        env.create_dir(DIR).await.expect("the disk works");
        disk.put(&path, &file);
        let found = match ClocksFile::read(&env, DIR, ID).await {
            Ok(found) => found,
            Err(ClocksError::Corrupt(_) | ClocksError::FormatNewer(_)) => return false,
            Err(ClocksError::Io { source, .. }) => panic!("the disk works: {source}"),
        };
        assert!(found.clocks.is_sorted_by(|a, b| a.0 < b.0));
        disk.remove(&path);
        write(&env, DIR, ID, found.clocks.into_iter()).await.expect("the disk works");
        assert!(disk.bytes(&path) == Some(file), "it is written as it was read");
        true
    })
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let clock = |dots: &[(u64, u64)]| {
        let mut clock = VnodeClock::default();
        for &(node, counter) in dots {
            let node = NodeId(NonZeroU64::new(node).expect("not 0"));
            clock.insert(Dot { actor: Actor { node, boot: 1 }, counter });
        }
        clock
    };
    let files = [
        vec![],
        vec![(Vnode(3), clock(&[(1, 1), (1, 2)]))],
        vec![(Vnode(0), clock(&[(1, 1), (2, 5), (2, 6), (2, 9)])), (Vnode(9), clock(&[(4, 4)]))],
    ];
    let (sim, mut seeds) = (Sim::new(1), Vec::new());
    for clocks in files {
        let disk = SimDisk::new(1);
        let env = sim.env(&disk);
        sim.block_on(async {
            env.create_dir(DIR).await.expect("the disk works");
            write(&env, DIR, ID, clocks.into_iter()).await.expect("the disk works");
        });
        let bytes = disk.bytes(&format!("{DIR}/{}", ClocksFile::file_name(ID))).expect("written");
        let length = u64::from_le_bytes(bytes[LENGTH].try_into().expect("eight")) as usize;
        seeds.extend([0, 1].map(|how| [&[how], &bytes[..length]].concat()));
    }
    seeds
}
