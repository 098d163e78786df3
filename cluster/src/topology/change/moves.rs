//! Vnodes on their way from phase to phase.

use schemas::ids::Vnode;

use super::ChangeRefused;
use crate::topology::ring::State;
use crate::topology::{Document, Epoch, Phase, Slot, Standing};

impl Document {
    pub(super) fn settle(&mut self, vnodes: &[(Vnode, Epoch)]) -> Result<(), ChangeRefused> {
        if self.is_paused {
            return Err(ChangeRefused::Paused);
        }
        self.advance(vnodes, Phase::Moving, |slots, state| {
            (slots, State { phase: Phase::Settling, ..state })
        })
    }

    pub(super) fn finish(&mut self, vnodes: &[(Vnode, Epoch)]) -> Result<(), ChangeRefused> {
        self.advance(vnodes, Phase::Settling, |slots, state| {
            let slots = slots.into_iter().map(|slot| Slot { reader: slot.successor, ..slot });
            (slots.collect(), State { phase: Phase::Stable, is_altering: false, ..state })
        })
    }

    /// Takes the vnodes that are in `phase` since the epochs named one step on.
    fn advance(
        &mut self,
        vnodes: &[(Vnode, Epoch)],
        phase: Phase,
        step: impl Fn(Vec<Slot>, State) -> (Vec<Slot>, State),
    ) -> Result<(), ChangeRefused> {
        let count = self.ring.vnodes();
        if vnodes.len() > count || vnodes.iter().any(|(it, _)| usize::from(it.0) >= count) {
            return Err(ChangeRefused::NoSuchVnode);
        }
        for &(vnode, since) in vnodes {
            let state = self.ring.state(vnode);
            if (state.phase, state.epoch) == (phase, since) {
                let (slots, state) = step(self.ring.slots(vnode).collect(), state);
                self.ring.put(vnode, &slots, State { epoch: self.epoch, ..state });
            }
        }
        Ok(())
    }

    pub(super) fn abort(&mut self) {
        self.is_paused = true;
        for member in &mut self.members {
            if member.standing == Standing::Leaving {
                member.standing = Standing::Member;
            }
        }
        for vnode in self.ring.all() {
            let state = self.ring.state(vnode);
            if state.phase == Phase::Moving && !state.is_altering {
                let slots = self.taken_back(vnode);
                self.ring.set(vnode, &slots, Phase::Stable, self.epoch);
            }
        }
    }

    /// The slots of `vnode` with their readers for successors; for a lost reader the successor it
    /// had, unless that goes back to a slot of its own.
    fn taken_back(&self, vnode: Vnode) -> Vec<Slot> {
        let slots: Vec<Slot> = self.ring.slots(vnode).collect();
        let is_lost =
            |slot: &Slot| slot.reader.is_some_and(|it| self.member(it).standing == Standing::Lost);
        let stays = |slot: &Slot| !is_lost(slot);
        let kept = |slot: &Slot| {
            let reads = slots.iter().filter(|it| stays(it)).any(|it| it.reader == slot.successor);
            slot.successor.filter(|_| !reads)
        };
        let back = |slot: &Slot| {
            let successor = if stays(slot) { slot.reader } else { kept(slot) };
            Slot { successor, ..*slot }
        };
        slots.iter().map(back).collect()
    }
}
