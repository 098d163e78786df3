//! [`Verdict`]: one run, and all that is wrong with it.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::checker::Promise;
use crate::scenario::Scenario;
use crate::sim::{Outcome, run};

/// What says that something is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Breach {
    /// An assertion of the code itself.
    Assertion,
    /// What clients saw breaks a promise.
    Promise(Promise),
    /// What has to be true at every step is not, of topologies and of disks.
    Invariant,
    /// At the end the nodes are not as they must be: P4, and that each request is answered.
    End,
}

/// A run that is over.
pub struct Verdict {
    /// What was run.
    pub scenario: Scenario,
    /// What came of it, or what it panicked with.
    pub end: Result<Outcome, String>,
}

thread_local! {
    /// Within a run: what it panicked with.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_RUNNING: RefCell<bool> = const { RefCell::new(false) };
}

impl Breach {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Assertion => "assertion",
            Self::Promise(Promise::P1) => "P1",
            Self::Promise(Promise::P2) => "P2",
            Self::Promise(Promise::P3) => "P3",
            Self::Promise(Promise::P5) => "P5",
            Self::Promise(Promise::P8) => "P8",
            Self::Promise(Promise::P9) => "P9",
            Self::Promise(Promise::Skew) => "skew",
            Self::Promise(Promise::Linearizable) => "linearizable",
            Self::Invariant => "invariant",
            Self::End => "P4",
        }
    }
}

impl Verdict {
    /// Runs.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        keep_panics();
        IS_RUNNING.with(|it| it.replace(true));
        let (options, faults) = (&scenario.options, scenario.faults.clone());
        let end = catch_unwind(AssertUnwindSafe(|| run(options, faults)));
        IS_RUNNING.with(|it| it.replace(false));
        let said = PANIC.with(|it| it.take());
        let end = end.map_err(|_| said.unwrap_or_else(|| "it panicked".to_owned()));
        Self { scenario, end }
    }

    /// What is wrong, each kind once, the gravest first.
    #[must_use]
    pub fn breaches(&self) -> Vec<Breach> {
        let Ok(outcome) = &self.end else { return vec![Breach::Assertion] };
        let promises = outcome.findings.violation_counts.keys().map(|&it| Breach::Promise(it));
        let invariant = (!outcome.breaches.is_empty()).then_some(Breach::Invariant);
        let end = (!outcome.failures.is_empty()).then_some(Breach::End);
        promises.chain(invariant).chain(end).collect()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.breaches().is_empty()
    }

    /// The first thing that is wrong, in a sentence; nothing if nothing is.
    #[must_use]
    pub fn why(&self) -> String {
        match &self.end {
            Err(said) => said.clone(),
            Ok(outcome) => {
                let violation = outcome.findings.violations.first().map(|it| it.why.clone());
                let others = || outcome.breaches.iter().chain(&outcome.failures).next().cloned();
                violation.or_else(others).unwrap_or_default()
            }
        }
    }
}

/// Has panics of runs kept instead of printed; those of anything else are as they were.
fn keep_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if IS_RUNNING.with(|it| *it.borrow()) {
                PANIC.with(|it| it.replace(Some(info.to_string())));
            } else {
                before(info);
            }
        }));
    });
}
