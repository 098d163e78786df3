//! Fuzz target: NODE and CLOCK.

use std::num::NonZeroU64;

use schemas::ids::{ClusterId, Hlc, NodeId, VnodeBits};

use super::clock::{CLOCK_BYTES, Clock};
use super::layout::{CLOCK_FILE, NODE_FILE};
use super::superblock::{NewNode, SUPERBLOCK_BYTES, Superblock};
use crate::fuzz::{Input, bit};
use crate::integrity::checksum;

const NODE: NodeId = NodeId(NonZeroU64::MIN);

/// Where the sums of NODE and of a slot of CLOCK stand.
const NODE_SUM_AT: usize = 12;
const SLOT_SUM_AT: usize = 24;
const SLOT_BYTES: usize = CLOCK_BYTES / 2;

/// Input: | how 1 | bytes of slot 0, one |, then the file's first bytes, or those of both slots.
/// How: bit 0 sums are made right, bit 1 it is CLOCK, bit 2 the file is a byte short.
pub(crate) fn node(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (how, cut) = (input.u8(), usize::from(input.u8()));
    let is_clock = bit(how, 1);
    let mut file = vec![0; if is_clock { CLOCK_BYTES } else { SUPERBLOCK_BYTES }];
    if is_clock {
        let (first, second) = (input.take(cut), input.take(SLOT_BYTES));
        file[..first.len()].copy_from_slice(first);
        file[SLOT_BYTES..SLOT_BYTES + second.len()].copy_from_slice(second);
    } else {
        let bytes = input.take(SUPERBLOCK_BYTES);
        file[..bytes.len()].copy_from_slice(bytes);
    }
    if bit(how, 0) {
        let at = if is_clock { SLOT_SUM_AT } else { NODE_SUM_AT };
        file.chunks_mut(SLOT_BYTES).enumerate().for_each(|(slot, page)| sum(page, slot, at));
    }
    file.truncate(file.len() - usize::from(bit(how, 2)));
    if is_clock { check_clock(&file) } else { check_node(&file) }
}

fn sum(page: &mut [u8], slot: usize, at: usize) {
    let magic = Input::new(page).u64();
    page[at..at + 4].fill(0);
    let sum = checksum(magic, (slot * SLOT_BYTES) as u64, page);
    page[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

fn check_node(file: &[u8]) -> bool {
    let decoded = Superblock::decode(file);
    match &decoded {
        Ok(node) => {
            let again = Superblock::decode(&node.encode()).expect("it was encoded");
            assert_eq!(again, *node);
            assert!(node.boot.checked_add(1).is_some(), "there is a start to come");
        }
        Err(error) => assert!(error.to_string().contains(NODE_FILE), "{error} names the file"),
    }
    decoded.is_ok()
}

/// The next ceiling goes to the slot that does not hold, and then holds.
fn check_clock(file: &[u8]) -> bool {
    let decoded = Clock::decode(NODE, file);
    match &decoded {
        Ok(clock) => {
            let mut next = *clock;
            let slot = next.set(Hlc(clock.ceiling().0 ^ 1));
            let mut renewed = file.to_vec();
            renewed.resize(CLOCK_BYTES, 0);
            renewed[slot.offset as usize..][..SLOT_BYTES].copy_from_slice(&slot.bytes);
            let read = Clock::decode(NODE, &renewed).ok();
            assert_eq!(read, Some(next), "what is written holds");
            renewed[slot.offset as usize..][..SLOT_BYTES].fill(0);
            let read = Clock::decode(NODE, &renewed).ok();
            assert_eq!(read, Some(*clock), "and until then what was there");
        }
        Err(error) => assert!(error.to_string().contains(CLOCK_FILE), "{error} names the file"),
    }
    decoded.is_ok()
}

/// Inputs that encoders made, to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let node = Superblock::born(&NewNode {
        node: NODE,
        cluster: ClusterId(9),
        cluster_name: "shop".to_owned(),
        seed: 7,
        vnodes: VnodeBits::DEFAULT,
        shards: 4,
    });
    let (mut clock, [_, first]) = Clock::born(NODE);
    let second = clock.set(Hlc(1 << 40));
    let slots = [&first, &second].map(|slot| &slot.bytes[..SLOT_SUM_AT + 16]);
    let slots = [&[slots[0].len() as u8], &slots.concat()[..]].concat();
    let of_node = [&[0], &node.encode()[..62]].concat();
    let inputs = [(0, &of_node), (1, &of_node), (2, &slots), (3, &slots)];
    inputs.into_iter().map(|(how, bytes)| [&[how], &bytes[..]].concat()).collect()
}
