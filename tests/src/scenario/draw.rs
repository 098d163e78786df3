//! [`Recipe`]: what a seed makes a [`Scenario`] of.

use std::time::Duration;

use cluster::mutation::{Mutation, Mutations};

use super::text::Wrong;
use crate::sim::{Class, Fault, Options, faults_of};

/// Nodes where nothing says how many.
pub const DEFAULT_NODES: usize = 5;

/// How long clients work under faults where nothing says so.
pub const DEFAULT_SAFETY: Duration = Duration::from_secs(600);

/// What a run is like, and what goes wrong in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// What it is like.
    pub options: Options,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

/// What seeds are made runs of.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Nodes.
    pub nodes: usize,
    /// How long clients work while things go wrong.
    pub safety: Duration,
    /// Copies of each key; drawn if `None`.
    pub copies: Option<u8>,
    /// Data centres; drawn if `None`.
    pub data_centres: Option<u8>,
    /// What goes wrong; drawn if `None`.
    pub classes: Option<Vec<Class>>,
    /// Mistakes to switch on.
    pub mutations: Mutations,
    /// The text of a file that says the rest; what it leaves open is drawn.
    pub file: Option<String>,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            nodes: DEFAULT_NODES,
            safety: DEFAULT_SAFETY,
            copies: None,
            data_centres: None,
            classes: None,
            mutations: Mutations::default(),
            file: None,
        }
    }
}

impl Recipe {
    /// The run of a seed. A file may say which seed; `seed` is for one that does not, or overrules
    /// it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn scenario(&self, seed: Option<u64>) -> Result<Scenario, Wrong> {
        let mut scenario = match &self.file {
            Some(text) => Scenario::parse(text, seed)?,
            None => self.drawn(seed.unwrap_or(1)),
        };
        let tunables = &mut scenario.options.tunables;
        tunables.mutations = self.mutations.iter().fold(tunables.mutations, Mutations::with);
        Ok(scenario)
    }

    fn drawn(&self, seed: u64) -> Scenario {
        let mut options = Options::draw(seed, self.nodes, self.safety);
        options.copies = self.copies.unwrap_or(options.copies);
        let places = &mut options.places;
        places.data_centres = self.data_centres.unwrap_or(places.data_centres);
        let faults = faults_of(&options, self.classes.as_deref());
        Scenario { options, faults }
    }

    /// The same with a mistake switched on.
    #[must_use]
    pub fn with(&self, mutation: Mutation) -> Self {
        Self { mutations: self.mutations.with(mutation), ..self.clone() }
    }
}
