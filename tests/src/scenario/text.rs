//! A scenario as TOML: fields of [`Options`], each drawn from the seed unless it is given, and
//! `faults`, which are drawn too unless they are given.
//!
//! ```text
//! seed = 7
//! nodes = 5
//! safety = "10m"
//! clients.processes = 3
//! faults = [{ from = "1m", to = "1m30s", what.crash.node = 0 }]
//! ```
//! Whatever is wrong is told with its line. What is written is complete: nothing is drawn.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::draw::{DEFAULT_NODES, DEFAULT_SAFETY, Scenario};
use crate::duration;
use crate::limits::SCENARIO_NODES_MAX;
use crate::sim::{Fault, Options, faults};

/// What is wrong with a scenario, and on which line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{line}: {why}")]
pub struct Wrong {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl Scenario {
    /// Reads a scenario; what it leaves open is drawn from `seed`, or from the seed it names, or
    /// from 1.
    ///
    /// # Errors
    /// What is wrong with it, on which line.
    pub fn parse(text: &str, seed: Option<u64>) -> Result<Self, Wrong> {
        let text = Text(text);
        let spans = DeTable::parse(text.0).map_err(|error| {
            let why = error.message().to_owned();
            text.wrong(error.span().unwrap_or_default(), why)
        })?;
        let values: Table = toml::from_str(text.0).map_err(|error| {
            let why = error.message().to_owned();
            text.wrong(error.span().unwrap_or_default(), why)
        })?;
        let spans = spans.get_ref();
        let drawn = text.drawn(spans, &values, seed)?;
        let mut laid = Laid { text, table: written(&drawn), path: Vec::new() };
        laid.lay(spans, &values)?;
        let mut options = laid.options().expect("it was read after each value");
        options.seed = seed.unwrap_or(options.seed);
        // Of gossip and agreement a file says nothing: they are drawn.
        options.node = drawn.node;
        let faults = match values.get("faults") {
            Some(listed) => text.faults(spans, listed)?,
            None => faults(&options),
        };
        let scenario = Self { options, faults };
        scenario.check().map_err(|(name, why)| text.wrong(text.place_of(spans, name), why))?;
        Ok(scenario)
    }

    /// The whole scenario as TOML.
    ///
    /// # Panics
    /// Never: every scenario can be written.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let table = written(&self.options);
        let mut text = toml::to_string(&table).expect("options are tables of plain values");
        let faults = self.faults.iter().map(|fault| {
            let table = Table::try_from(fault).expect("a fault is a table of plain values");
            format!("  {},\n", Value::Table(table))
        });
        // Ahead of the tables: what follows the head of a table belongs to it.
        let list = format!("faults = [\n{}]\n", faults.collect::<String>());
        text.insert_str(0, &list);
        text
    }
}

fn written(options: &Options) -> Table {
    Table::try_from(options).expect("options are tables of plain values")
}

/// The text of a scenario.
#[derive(Clone, Copy)]
struct Text<'a>(&'a str);

impl Text<'_> {
    fn wrong(&self, at: Range<usize>, why: String) -> Wrong {
        let before = self.0.as_bytes().iter().take(at.start);
        Wrong { line: 1 + before.filter(|byte| **byte == b'\n').count(), why }
    }

    /// Where a field of the first level is; the first line if it is not there.
    fn place_of(&self, spans: &DeTable<'_>, name: &str) -> Range<usize> {
        let found = spans.iter().find(|(key, _)| key.get_ref() == name);
        found.map_or(0..0, |(key, _)| key.span())
    }

    /// What is drawn before anything is laid over it.
    fn drawn(
        &self,
        spans: &DeTable<'_>,
        values: &Table,
        seed: Option<u64>,
    ) -> Result<Options, Wrong> {
        let number = |name: &str| match values.get(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_integer().and_then(|it| u64::try_from(it).ok());
                let why = || format!("{name} is a whole number");
                number.map(Some).ok_or_else(|| self.wrong(self.place_of(spans, name), why()))
            }
        };
        let named_seed = number("seed")?;
        let nodes = number("nodes")?.map_or(DEFAULT_NODES, |it| it as usize);
        if nodes == 0 || nodes > SCENARIO_NODES_MAX {
            let why = format!("nodes are 1 to {SCENARIO_NODES_MAX}, not {nodes}");
            return Err(self.wrong(self.place_of(spans, "nodes"), why));
        }
        let safety = self.time(spans, values, "safety")?.unwrap_or(DEFAULT_SAFETY);
        Ok(Options::draw(seed.or(named_seed).unwrap_or(1), nodes, safety))
    }

    fn time(
        &self,
        spans: &DeTable<'_>,
        values: &Table,
        name: &str,
    ) -> Result<Option<Duration>, Wrong> {
        let Some(value) = values.get(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| format!("{name} is a time, such as \"10m\""));
        let time = text.and_then(duration::parse);
        time.map(Some).map_err(|why| self.wrong(self.place_of(spans, name), why))
    }

    fn faults(&self, spans: &DeTable<'_>, listed: &Value) -> Result<Vec<Fault>, Wrong> {
        let place = self.place_of(spans, "faults");
        let places = spans.iter().find(|(key, _)| key.get_ref() == "faults");
        let places = places.and_then(|(_, value)| value.get_ref().as_array());
        let (Some(places), Some(listed)) = (places, listed.as_array()) else {
            return Err(self.wrong(place, "faults is a list".to_owned()));
        };
        let fault = |(place, value): (&toml::Spanned<DeValue<'_>>, &Value)| {
            Fault::deserialize(value.clone())
                .map_err(|error| self.wrong(place.span(), error.message().to_owned()))
        };
        places.iter().zip(listed).map(fault).collect()
    }
}

/// Options over which what a file says is laid, value by value.
struct Laid<'a> {
    text: Text<'a>,
    table: Table,
    path: Vec<String>,
}

impl Laid<'_> {
    fn options(&self) -> Result<Options, toml::de::Error> {
        Options::deserialize(self.table.clone())
    }

    fn lay(&mut self, spans: &DeTable<'_>, values: &Table) -> Result<(), Wrong> {
        for (key, place) in spans {
            let name = key.get_ref().as_ref();
            if name == "faults" && self.path.is_empty() {
                continue;
            }
            let Some(value) = values.get(name) else { continue };
            let Some(known) = self.here().get(name) else {
                let names: Vec<&str> = self.here().keys().map(String::as_str).collect();
                let why = format!("\"{name}\" is none of {}", names.join(", "));
                return Err(self.text.wrong(key.span(), why));
            };
            if !known.same_type(value) {
                let (known, got) = (known.type_str(), value.type_str());
                let why = format!("{name} is of type {known}, not {got}");
                return Err(self.text.wrong(place.span(), why));
            }
            if let (DeValue::Table(inner), Value::Table(values)) = (place.get_ref(), value) {
                self.path.push(name.to_owned());
                self.lay(inner, values)?;
                self.path.pop();
                continue;
            }
            self.here().insert(name.to_owned(), value.clone());
            if let Err(error) = self.options() {
                let why = format!("{name}: {}", error.message().trim_end());
                return Err(self.text.wrong(place.span(), why));
            }
        }
        Ok(())
    }

    /// The table that is laid over.
    fn here(&mut self) -> &mut Table {
        self.path.iter().fold(&mut self.table, |table, name| {
            table[name].as_table_mut().expect("the path is of tables")
        })
    }
}

#[cfg(test)]
mod tests;
