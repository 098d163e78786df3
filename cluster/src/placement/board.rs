//! [`Board`]: the vnodes of one data centre and who is to own their copies, while it is being
//! decided.
//!
//! - Places are those nodes that stay and have a weight, rack by rack; nobody else is on the board.
//! - Rows are the vnodes that may change: those that are settling only count as load.
//! - No place has two slots of a row, and no rack more slots of a row than [`Rack::most`].
//! - A row without a free slot has [`Rack::least`] slots of each rack; one with free slots can
//!   still come to have them.

use std::ops::Range;

use schemas::ids::Vnode;

use super::chance::mix;
use super::racks::{self, Rack};
use super::share::{self, Holder};
use crate::limits::COPIES_MAX;
use crate::topology::{Document, MemberIndex, Phase};

/// Nobody, as a place.
pub(super) const NOBODY: u16 = u16::MAX;

/// A node that may own copies.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) member: MemberIndex,
    pub(super) id: u64,
    pub(super) weight: u32,
    pub(super) rack: usize,
}

/// A slot of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At {
    row: u32,
    slot: u32,
}

impl At {
    pub(super) fn new(row: usize, slot: usize) -> Self {
        Self { row: row as u32, slot: slot as u32 }
    }

    /// Which slot of its row it is.
    pub(super) fn slot(self) -> usize {
        self.slot as usize
    }

    pub(super) fn row(self) -> usize {
        self.row as usize
    }
}

/// One data centre.
#[derive(Debug)]
pub(super) struct Board {
    /// By place.
    pub(super) nodes: Vec<Node>,
    /// Which places each rack has, and how many copies of a row.
    pub(super) racks: Vec<Rack>,
    /// By slot: the slots that should be of other racks.
    pub(super) rounds: Vec<Range<usize>>,
    /// Slots of a row: the copies of each vnode.
    pub(super) copies: usize,
    /// By row.
    pub(super) vnodes: Vec<Vnode>,
    /// How many slots each place is to have.
    pub(super) quotas: Vec<u32>,
    /// How many it has.
    pub(super) loads: Vec<u32>,
    /// By place, then by slot: of how many rows it has that one.
    by_slot: Vec<u32>,
    /// By row, then by slot.
    owners: Vec<u16>,
    /// As it was when the board was laid out.
    previous: Vec<u16>,
    /// By row, then by slot, those included that end.
    readers: Vec<u16>,
    /// Slots of a row of `readers`.
    width: usize,
    /// Slots that nobody read nor was to own then: copies that are added.
    pub(super) added: Vec<At>,
    /// Whether any slot was to have another owner than its reader then.
    pub(super) is_moving: bool,
    /// Whether any slot has changed hands since.
    pub(super) is_touched: bool,
}

impl Board {
    /// Lays out what `document` says of the data centre that has `slots`, and `nodes` for at least
    /// as many copies as are given, rack by rack.
    pub(super) fn lay_out(
        document: &Document,
        slots: Range<usize>,
        copies: usize,
        nodes: Vec<Node>,
    ) -> Self {
        assert!(copies <= nodes.len() && copies <= COPIES_MAX, "a node for each copy");
        let mut sizes = vec![0; nodes.last().map_or(0, |node| node.rack + 1)];
        nodes.iter().for_each(|node| sizes[node.rack] += 1);
        let mut board = Self {
            racks: racks::spread(&sizes, copies),
            rounds: racks::rounds(&sizes, copies),
            copies,
            vnodes: Vec::new(),
            quotas: Vec::new(),
            loads: vec![0; nodes.len()],
            by_slot: vec![0; nodes.len() * copies],
            owners: Vec::new(),
            previous: Vec::new(),
            readers: Vec::new(),
            width: slots.len(),
            added: Vec::new(),
            is_moving: false,
            is_touched: false,
            nodes,
        };
        let settling = board.read(document, slots);
        board.is_touched = false;
        let vnodes = (board.vnodes.len(), document.ring.vnodes() - board.vnodes.len());
        board.set_quotas(&settling, (vnodes.0 as u32, vnodes.1 as u32));
        board
    }

    /// Takes rows from the ring; how many slots each place has of the vnodes that are settling.
    fn read(&mut self, document: &Document, slots: Range<usize>) -> Vec<u32> {
        let mut places = vec![NOBODY; document.members.len()];
        for (place, node) in self.nodes.iter().enumerate() {
            places[usize::from(node.member.0)] = place as u16;
        }
        let place = |of: Option<MemberIndex>| of.map_or(NOBODY, |it| places[usize::from(it.0)]);
        let mut settling = vec![0; self.nodes.len()];
        for vnode in document.ring.all() {
            let of_dc = document.ring.slots(vnode).skip(slots.start).take(slots.len());
            if document.ring.phase(vnode) == Phase::Settling {
                let owners = of_dc.map(|slot| place(slot.successor));
                owners.filter(|&it| it != NOBODY).for_each(|it| settling[usize::from(it)] += 1);
                continue;
            }
            let row = self.vnodes.len();
            self.vnodes.push(vnode);
            for (slot, of) in of_dc.enumerate() {
                self.readers.push(place(of.reader));
                if slot < self.copies {
                    self.is_moving |= of.is_moving();
                    if of.reader.is_none() && of.successor.is_none() {
                        self.added.push(At::new(row, slot));
                    }
                    self.owners.push(NOBODY);
                    self.previous.push(place(of.successor));
                    self.set(At::new(row, slot), place(of.successor));
                }
            }
        }
        settling
    }

    /// Sets quotas, given how many vnodes take part and how many settle.
    fn set_quotas(&mut self, settling: &[u32], vnodes: (u32, u32)) {
        let mut held = vec![0; self.nodes.len()];
        for &reader in self.readers.iter().filter(|&&it| it != NOBODY) {
            held[usize::from(reader)] += 1;
        }
        let holder = |(place, node): (usize, &Node)| Holder {
            weight: node.weight,
            settling: settling[place],
            load: self.loads[place],
            held: held[place],
            chance: mix(node.id),
        };
        let holders: Vec<Holder> = self.nodes.iter().enumerate().map(holder).collect();
        self.quotas = share::quotas(&holders, &self.racks, vnodes, self.copies as u32);
    }

    /// All slots, row by row.
    pub(super) fn slots(&self) -> impl Iterator<Item = At> + use<> {
        let (rows, copies) = (self.vnodes.len(), self.copies);
        (0..rows).flat_map(move |row| (0..copies).map(move |slot| At::new(row, slot)))
    }

    /// Who is to own each slot of `row`.
    pub(super) fn row(&self, row: usize) -> &[u16] {
        &self.owners[row * self.copies..][..self.copies]
    }

    /// Who is to own the slot.
    pub(super) fn owner(&self, at: At) -> u16 {
        self.owners[at.row() * self.copies + at.slot()]
    }

    /// The member who is to own the slot.
    ///
    /// # Panics
    /// If the slot is free.
    pub(super) fn member(&self, at: At) -> MemberIndex {
        self.nodes[usize::from(self.owner(at))].member
    }

    /// Who reads the slot.
    pub(super) fn reader(&self, at: At) -> u16 {
        self.readers[at.row() * self.width + at.slot()]
    }

    /// Who had the slots of the slot's row when the board was laid out.
    pub(super) fn previous(&self, at: At) -> &[u16] {
        &self.previous[at.row() * self.copies..][..self.copies]
    }

    /// Whether `place` had a slot of the slot's row when the board was laid out: to give it one is
    /// no move.
    pub(super) fn had(&self, at: At, place: u16) -> bool {
        self.previous(at).contains(&place)
    }

    /// Gives the slot to `owner`, or to nobody.
    pub(super) fn set(&mut self, at: At, owner: u16) {
        let slot = at.row() * self.copies + at.slot();
        let before = std::mem::replace(&mut self.owners[slot], owner);
        self.is_touched = true;
        if before != NOBODY {
            self.loads[usize::from(before)] -= 1;
            self.by_slot[usize::from(before) * self.copies + at.slot()] -= 1;
        }
        if owner != NOBODY {
            self.loads[usize::from(owner)] += 1;
            self.by_slot[usize::from(owner) * self.copies + at.slot()] += 1;
        }
    }

    /// How many slots more than its quota `place` has; less than zero for fewer.
    pub(super) fn surplus(&self, place: u16) -> i64 {
        let place = usize::from(place);
        i64::from(self.loads[place]) - i64::from(self.quotas[place])
    }

    /// Of how many rows `place` has this slot.
    pub(super) fn with_slot(&self, place: u16, slot: usize) -> u32 {
        self.by_slot[usize::from(place) * self.copies + slot]
    }

    /// Places of the rack of `place`.
    pub(super) fn rack(&self, place: u16) -> &Rack {
        &self.racks[self.nodes[usize::from(place)].rack]
    }

    /// How many slots of `row` the places of `rack` have.
    pub(super) fn in_rack(&self, row: usize, rack: &Rack) -> u32 {
        let of_rack = |&&it: &&u16| it != NOBODY && rack.nodes.contains(&usize::from(it));
        self.row(row).iter().filter(of_rack).count() as u32
    }

    /// Which places may not have the slot, whoever has it now, in order of their starts: those with
    /// another slot of the row, and those of racks that have enough of it, or have to leave the
    /// slot to a rack that has not. With `fresh` also those that better had not: racks with a slot
    /// of the same round, and readers that something succeeds.
    pub(super) fn closed(&self, at: At, fresh: bool, closed: &mut Vec<Range<usize>>) {
        closed.clear();
        let is_one_each = self.racks.len() > self.copies;
        for (slot, &place) in self.row(at.row()).iter().enumerate().filter(|&(_, &it)| it != NOBODY)
        {
            let is_apart = is_one_each || fresh && self.rounds[at.slot()].contains(&slot);
            closed.push(if slot != at.slot() && is_apart {
                self.rack(place).nodes.clone()
            } else {
                point(place)
            });
        }
        if !is_one_each {
            self.close_racks(at, closed);
        }
        if fresh {
            let readers = &self.readers[at.row() * self.width..][..self.copies];
            let pairs = readers.iter().zip(self.row(at.row()));
            let replaced = pairs.filter(|&(reader, owner)| reader != owner && *owner != NOBODY);
            let readers = replaced.map(|(&reader, _)| reader).filter(|&it| it != NOBODY);
            closed.extend(readers.filter(|&it| !self.had(at, it)).map(point));
        }
        closed.sort_unstable_by_key(|places| places.start);
    }

    /// The racks that may not have the slot where there are no more racks than copies.
    fn close_racks(&self, at: At, closed: &mut Vec<Range<usize>>) {
        let mut has = [0; COPIES_MAX];
        let mut free = self.copies as u32;
        for (slot, &place) in self.row(at.row()).iter().enumerate() {
            if slot != at.slot() && place != NOBODY {
                has[self.nodes[usize::from(place)].rack] += 1;
                free -= 1;
            }
        }
        let racks = || self.racks.iter().zip(&has);
        let owed: u32 = racks().map(|(rack, &has)| rack.least.saturating_sub(has)).sum();
        for (rack, &has) in racks() {
            if has >= if owed >= free { rack.least } else { rack.most } {
                closed.push(rack.nodes.clone());
            }
        }
    }
}

/// A place as a range.
fn point(place: u16) -> Range<usize> {
    usize::from(place)..usize::from(place) + 1
}
