//! What goes wrong, done to the world.

use std::rc::Rc;

use cluster::record::{Record, merge};
use schemas::ids::Vnode;

use super::convergence::false_claim;
use super::faults::{Fault, What};
use super::operators::may_lose_a_node;
use super::world::{Happening, ToNode, World};

impl World {
    pub(super) fn fault(&mut self, number: usize, begins: bool) {
        self.false_claim = self.false_claim.take().or_else(|| false_claim(self));
        self.trace.add(self.now_us, 4, [number as u64, u64::from(begins), 0]);
        let what = self.faults[number].what.clone();
        match what {
            What::Crash { node } if begins => self.crash(node),
            What::LosePart { node } if begins => self.lose_part(node),
            What::Crash { node } | What::LosePart { node } => self.restart(node),
            What::Pause { node } => self.pause(node, begins),
            What::Cut { from, to, both_ways } => {
                for (&from, &to) in from.iter().flat_map(|it| to.iter().map(move |to| (it, to))) {
                    self.network.cut(from, to, begins);
                    if both_ways {
                        self.network.cut(to, from, begins);
                    }
                }
            }
            What::Clog { from, to } if begins => {
                self.network.clog(from, to, self.faults[number].to_us);
            }
            What::Slow { node, by_us } => self.network.slow(node, if begins { by_us } else { 0 }),
            What::ClockOff { node, by_ms } => {
                self.nodes[node].set_clock_off(if begins { by_ms } else { 0 });
            }
            What::ClockFrozen { node } => self.nodes[node].freeze_clock(self.now_us, begins),
            What::Forge => self.forge(begins),
            What::DiskFull { node } => {
                self.nodes[node].cores.iter_mut().for_each(|it| it.store.is_full = begins);
            }
            What::ClockDrifts { node, by_ppm } => {
                self.nodes[node].let_clock_drift(self.now_us, if begins { by_ppm } else { 0 });
            }
            What::DiskSlow { node, by_us } => {
                self.nodes[node].slow_us = if begins { by_us } else { 0 };
            }
            What::Stranger { node } => self.stranger(node, begins),
            What::Unseat { node } if !begins => self.seat(node),
            What::PauseMoves | What::AbortMoves if !begins => self.resume_moves(),
            What::Return if begins => self.return_lost(),
            What::Clog { .. } | What::Return => {}
            what if begins => self.want_change(&what),
            _ => {}
        }
    }

    pub(super) fn start(&mut self, node: usize) {
        let boot = self.nodes[node].boot + 1;
        self.trace.add(self.now_us, 3, [node as u64, u64::from(boot), 0]);
        self.nodes[node].start(self.now_us, &self.options);
        self.drain_node(node);
        self.later_to(self.now_us, node, ToNode::LookAtCeiling);
    }

    fn restart(&mut self, node: usize) {
        if !self.nodes[node].is_running && !self.operators.is_destroyed(node) {
            self.start(node);
            self.want_back(node);
        }
    }

    pub(super) fn crash(&mut self, node: usize) {
        if !self.nodes[node].is_running {
            return;
        }
        self.nodes[node].stop();
        for core in &mut self.nodes[node].cores {
            core.store.crash(&mut self.rng);
        }
        self.waiting[node].clear();
        self.node_is_gone(node);
    }

    /// A core loses some of what it has, if all that was acknowledged is elsewhere: nobody has lost
    /// anything that it has not got again.
    fn lose_part(&mut self, node: usize) {
        let may = self.nodes[node].is_running && self.may_lose(node);
        self.crash(node);
        if may {
            self.has_lost = true;
            self.disk_loses();
            let core = self.rng.usize(..self.nodes[node].cores.len());
            self.nodes[node].cores[core].store.lose_part(&mut self.rng);
        }
    }

    fn may_lose(&self, node: usize) -> bool {
        let Some(document) = self.document() else { return false };
        let destroys = |fault: &Fault| fault.what.destroys();
        if !may_lose_a_node(&self.options, &self.faults) || self.faults.iter().any(destroys) {
            return false;
        }
        let others = || self.nodes.iter().enumerate().filter(|(at, _)| *at != node);
        let cores = || self.nodes.iter().flat_map(|it| &it.cores);
        // What was acknowledged may be with one owner and one that stands in for another.
        let is_kept = self.has_lost && cores().any(|core| !core.store.hints.is_empty());
        let is_whole = others().all(|(_, it)| {
            let index = document.index_of(it.id);
            let reads = |vnode: &Vnode| {
                let mut slots = document.ring.slots(*vnode);
                index.is_some() && slots.any(|slot| slot.reader == index)
            };
            let holds = |vnode: Vnode| it.cores[it.core_of(vnode)].store.held.contains(&vnode);
            it.cores.iter().all(|core| core.store.lost.is_empty() && core.store.inexact.is_empty())
                && document.ring.all().filter(reads).all(holds)
        });
        is_whole && !is_kept && (!self.has_lost || self.has_nothing_alone(node))
    }

    /// Whether somebody else has each record of a node: a hint of it may be what was lost before.
    fn has_nothing_alone(&self, node: usize) -> bool {
        let others = || self.nodes.iter().enumerate().filter(|(at, _)| *at != node);
        let stores = || others().flat_map(|(_, it)| it.cores.iter().map(|core| &core.store));
        let is_elsewhere = |record: &Rc<Record>| {
            let mut found = stores().filter_map(|store| store.records.get(&record.key));
            found.any(|has| merge(has, record) == *has)
        };
        self.nodes[node].cores.iter().all(|core| core.store.records.values().all(is_elsewhere))
    }

    fn pause(&mut self, node: usize, begins: bool) {
        if !self.nodes[node].is_running || self.nodes[node].is_paused == begins {
            return;
        }
        self.nodes[node].is_paused = begins;
        if !begins {
            for (boot, what) in std::mem::take(&mut self.waiting[node]) {
                self.later(self.now_us, Happening::To(node, boot, what));
            }
        }
    }

    /// Everything is mended and started.
    pub(super) fn heal(&mut self) {
        self.network.heal();
        self.end_forging();
        self.network.options.loss_permille = 0;
        for node in 0..self.nodes.len() {
            self.nodes[node].set_clock_off(0);
            self.nodes[node].freeze_clock(self.now_us, false);
            self.nodes[node].let_clock_drift(self.now_us, 0);
            self.nodes[node].slow_us = 0;
            self.stranger(node, false);
            self.nodes[node].cores.iter_mut().for_each(|it| it.store.is_full = false);
            self.pause(node, false);
            self.restart(node);
        }
        for node in 0..self.nodes.len() {
            self.want_back(node);
        }
    }
}
