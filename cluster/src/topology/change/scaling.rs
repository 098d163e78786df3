//! Data centres that follow their load.

use super::ChangeRefused;
use crate::autoscale::Policy;
use crate::topology::{Document, Epoch, Member, ScaledDataCentre, Scaling};

/// What is done with a data centre that follows its load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScaleStep {
    /// So many machines are on their way.
    Start(u32),
    /// Those on their way are not waited for.
    GiveUp,
    /// A member is to go once others own what it has.
    Remove(schemas::ids::NodeId),
}

impl Document {
    pub(super) fn set_policy(&mut self, policy: Option<Policy>) {
        let dcs = self.scaling.take().map_or_else(Vec::new, |it| it.dcs);
        self.scaling = policy.map(|policy| Box::new(Scaling { policy, dcs }));
    }

    pub(super) fn scale(
        &mut self,
        name: &str,
        since: Epoch,
        step: ScaleStep,
    ) -> Result<(), ChangeRefused> {
        let changed = self.scaled(name).ok_or(ChangeRefused::NotScaled(name.into()))?.changed;
        if changed != since {
            return Err(ChangeRefused::Stale { since, changed });
        }
        match step {
            ScaleStep::Start(machines) => {
                self.set_starting(name, |starting| starting.saturating_add(machines));
            }
            ScaleStep::GiveUp => self.set_starting(name, |_| 0),
            ScaleStep::Remove(node) => {
                if *self.known(node)?.dc != *name {
                    return Err(ChangeRefused::NotScaled(name.into()));
                }
                self.leave(node)?;
            }
        }
        self.check_bounds(name, step)
    }

    /// What starts are not more than the policy says, and what is left is not less.
    fn check_bounds(&self, name: &str, step: ScaleStep) -> Result<(), ChangeRefused> {
        let Some(scaling) = &self.scaling else { return Ok(()) };
        let settings = scaling.policy.settings();
        let (min, max) = (settings.nodes_min, settings.nodes_max);
        let staying = self.staying(name).count() as u32;
        let starting = self.scaled(name).map_or(0, |dc| dc.starting);
        let (nodes, is_within) = match step {
            ScaleStep::Start(_) => {
                let nodes = staying.saturating_add(starting);
                (nodes, nodes <= max)
            }
            ScaleStep::GiveUp => (staying, true),
            ScaleStep::Remove(_) => (staying, staying >= min),
        };
        if is_within { Ok(()) } else { Err(ChangeRefused::Bounds { nodes, min, max }) }
    }

    /// A member that joined is one of those that were on their way.
    pub(super) fn arrive(&mut self, name: &str) {
        self.set_starting(name, |starting| starting.saturating_sub(1));
    }

    fn set_starting(&mut self, name: &str, set: impl Fn(u32) -> u32) {
        let dcs = self.scaling.iter_mut().flat_map(|it| &mut it.dcs);
        if let Some(dc) = dcs.into_iter().find(|dc| *dc.name == *name) {
            dc.starting = set(dc.starting);
        }
    }

    /// Lists the data centres that have copies, and which of them are not as they were `before`.
    pub(super) fn note_scaling(&mut self, before: &Self) {
        let Some(scaling) = self.scaling.take() else { return };
        let Scaling { policy, dcs } = *scaling;
        let is_new = before.scaling.as_ref().is_none_or(|it| it.policy != policy);
        let dc = |name: &str| {
            let known = dcs.iter().find(|dc| *dc.name == *name);
            let starting = known.map_or(0, |dc| dc.starting);
            let is_same = |dc: &&ScaledDataCentre| {
                dc.starting == starting && before.nodes_of(name).eq(self.nodes_of(name))
            };
            let same = before.scaled(name).filter(|_| !is_new).filter(is_same);
            let changed = same.map_or(self.epoch, |dc| dc.changed);
            ScaledDataCentre { name: name.into(), starting, changed }
        };
        let dcs = self.ring.layout().iter().map(|it| dc(&it.name)).collect();
        self.scaling = Some(Box::new(Scaling { policy, dcs }));
    }

    /// What of the members of a data centre matters to who follows its load.
    fn nodes_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = impl PartialEq> {
        let here = self.members.iter().filter(move |it| *it.dc == *name);
        here.map(|Member { id, weight, standing, .. }| (*id, *weight, *standing))
    }
}

#[cfg(test)]
mod tests;
