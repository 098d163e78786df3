//! [`Scaling`]: how data centres follow their load, and what is under way for it.
//!
//! - One entry for each data centre that has copies, and what is in it is of the current policy.
//! - `changed` is the epoch that changed the data centre last, so that of all that is decided from
//!   the same state of it only the first is done.
//! - Machines on their way are counted until they join or are given up, whoever asked for them.

use super::check::DocumentError;
use super::document::{Document, Epoch, Member};
use crate::autoscale::Policy;
use crate::limits::AUTOSCALE_NODES_MAX;

/// How data centres follow their load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scaling {
    /// For each data centre alike.
    pub policy: Policy,
    /// Those that have copies, ascending by name.
    pub dcs: Vec<ScaledDataCentre>,
}

/// What is under way in a data centre.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScaledDataCentre {
    /// Its name.
    pub name: Box<str>,
    /// Machines that decided proposals asked for, and that have neither joined nor been given up.
    pub starting: u32,
    /// The last epoch that changed its members, their weights or standing, `starting`, or the
    /// policy.
    pub changed: Epoch,
}

impl Document {
    /// What is under way in the data centre `name`; `None` where nothing follows the load.
    #[must_use]
    pub fn scaled(&self, name: &str) -> Option<&ScaledDataCentre> {
        self.scaling.as_ref()?.dcs.iter().find(|dc| *dc.name == *name)
    }

    /// Members of the data centre `name` that stay.
    pub fn staying<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Member> {
        self.members.iter().filter(move |it| *it.dc == *name && it.standing.stays())
    }

    pub(super) fn check_scaling(&self) -> Result<(), DocumentError> {
        let Some(scaling) = &self.scaling else { return Ok(()) };
        let names = scaling.dcs.iter().map(|dc| &dc.name);
        let is_sound = |dc: &ScaledDataCentre| {
            dc.starting <= AUTOSCALE_NODES_MAX && (Epoch(1)..=self.epoch).contains(&dc.changed)
        };
        let are_all = names.eq(self.ring.layout().iter().map(|dc| &dc.name));
        if are_all && scaling.dcs.iter().all(is_sound) {
            Ok(())
        } else {
            Err(DocumentError::Scaling)
        }
    }
}
