//! What the operator wants: targets, bounds, and how patient to be. Checked once, when it is made;
//! a [`Policy`] that exists is one that can be followed.

use std::fmt;
use std::time::Duration;

use crate::limits::{
    AUTOSCALE_BAND_PERMILLE_MAX, AUTOSCALE_DISK_PERMILLE_MAX, AUTOSCALE_NODES_MAX,
    AUTOSCALE_P99_US_MAX, AUTOSCALE_PERIOD_MAX, AUTOSCALE_PERIOD_MIN,
};

/// The settings of a policy, for each data centre alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Nodes there always are, at least 1. Where N is more, N counts.
    pub nodes_min: u32,
    /// Nodes there never are more of by this policy, whatever the load.
    pub nodes_max: u32,
    /// Mean CPU, by weight, that nodes are added for: permille.
    pub cpu_target_permille: u32,
    /// Used part of the fullest disk that nodes are added for: permille.
    pub disk_target_permille: u32,
    /// Band around the targets in which nothing is done: permille of the target. The disk's
    /// target has it below only.
    pub band_permille: u32,
    /// Latency that nodes are added for; `None` for none.
    pub p99: Option<LatencyTarget>,
    /// Nodes of one proposal to add. Removed is one at a time.
    pub add_nodes_max: u32,
    /// How long a need for nodes lasts before they are added.
    pub add_after: Duration,
    /// How long a node is not needed before it is removed; at least `add_after`.
    pub remove_after: Duration,
    /// Rest after a change of the members, after a decision, and after this node began to
    /// evaluate. Longer than the loads take to tell of it.
    pub cooldown: Duration,
    /// How long machines on their way are waited for since the last change, the cool-down at least.
    pub give_up_after: Duration,
    /// Age at which a load record counts as none; more than the time between two evaluations.
    pub stale_after: Duration,
    /// Nodes without a load record, permille of all, up to which additions are decided.
    pub stale_permille_max: u32,
}

/// A latency to keep below, and when more nodes are no answer to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LatencyTarget {
    /// The 99th percentile, in microseconds, that at least half of the nodes should keep to.
    pub p99_us: u64,
    /// Mean CPU, permille, below which a slow answer is not for want of nodes. It bounds what
    /// latency may cost: nodes are added until the CPU is here, not until `nodes_max`.
    pub cpu_floor_permille: u32,
}

impl Settings {
    /// Quick to add, slow to remove, between these numbers of nodes; latency is not looked at.
    #[must_use]
    pub fn between(nodes_min: u32, nodes_max: u32) -> Self {
        Self {
            nodes_min,
            nodes_max,
            cpu_target_permille: 600,
            disk_target_permille: 700,
            band_permille: 100,
            p99: None,
            add_nodes_max: 4,
            add_after: Duration::from_secs(180),
            remove_after: Duration::from_secs(1800),
            cooldown: Duration::from_secs(600),
            give_up_after: Duration::from_secs(1200),
            stale_after: Duration::from_secs(60),
            stale_permille_max: 334,
        }
    }

    /// `target_permille` and the band above it, in millionths.
    pub(super) fn upper_ppm(&self, target_permille: u32) -> u128 {
        u128::from(target_permille) * u128::from(1000 + self.band_permille)
    }

    /// `target_permille` less the band, in millionths.
    pub(super) fn lower_ppm(&self, target_permille: u32) -> u128 {
        u128::from(target_permille) * u128::from(1000 - self.band_permille)
    }
}

/// Settings that were checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy(Settings);

impl Policy {
    /// Checks `settings`; of times, whole milliseconds count.
    ///
    /// # Errors
    /// The first that is out of its range, or contradicts another.
    pub fn new(settings: Settings) -> Result<Self, PolicyError> {
        for (name, got, min, max) in ranges(&settings) {
            if !(min..=max).contains(&got) {
                return Err(PolicyError::OutOfRange { name, got, min, max });
            }
        }
        if settings.upper_ppm(settings.cpu_target_permille) >= 1_000_000 {
            return Err(PolicyError::Unreachable {
                cpu_target_permille: settings.cpu_target_permille,
                band_permille: settings.band_permille,
            });
        }
        let whole = |time: Duration| Duration::from_millis(time.as_millis() as u64);
        Ok(Self(Settings {
            add_after: whole(settings.add_after),
            remove_after: whole(settings.remove_after),
            cooldown: whole(settings.cooldown),
            give_up_after: whole(settings.give_up_after),
            stale_after: whole(settings.stale_after),
            ..settings
        }))
    }

    /// The same where records come every `record_period`: one is not old before the second after
    /// it is late.
    #[must_use]
    pub fn with_records_every(self, record_period: Duration) -> Self {
        let stale_after = self.0.stale_after.max(record_period * 5 / 2);
        Self(Settings { stale_after, ..self.0 })
    }

    /// What was checked.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0
    }
}

/// Name, value, least and greatest value of each setting; times in milliseconds.
fn ranges(settings: &Settings) -> Vec<(&'static str, u64, u64, u64)> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (soon, late) = (millis(AUTOSCALE_PERIOD_MIN), millis(AUTOSCALE_PERIOD_MAX));
    let nodes_max = u64::from(settings.nodes_max);
    let add_after = millis(settings.add_after);
    let cpu_target = u64::from(settings.cpu_target_permille);
    let mut ranges = vec![
        ("nodes_max", nodes_max, 1, u64::from(AUTOSCALE_NODES_MAX)),
        ("nodes_min", settings.nodes_min.into(), 1, nodes_max),
        ("cpu_target_permille", cpu_target, 10, 999),
        ("disk_target_permille", settings.disk_target_permille.into(), 10, {
            u64::from(AUTOSCALE_DISK_PERMILLE_MAX)
        }),
        ("band_permille", settings.band_permille.into(), 10, AUTOSCALE_BAND_PERMILLE_MAX.into()),
        ("add_nodes_max", settings.add_nodes_max.into(), 1, u64::from(AUTOSCALE_NODES_MAX)),
        ("add_after_ms", add_after, soon, late),
        ("remove_after_ms", millis(settings.remove_after), add_after, late),
        ("cooldown_ms", millis(settings.cooldown), soon, late),
        ("give_up_after_ms", millis(settings.give_up_after), soon, late),
        ("stale_after_ms", millis(settings.stale_after), soon, late),
        ("stale_permille_max", settings.stale_permille_max.into(), 0, 500),
    ];
    if let Some(p99) = settings.p99 {
        ranges.push(("p99_us", p99.p99_us, 1, AUTOSCALE_P99_US_MAX));
        ranges.push(("cpu_floor_permille", p99.cpu_floor_permille.into(), 1, cpu_target));
    }
    ranges
}

/// Why settings are no policy: fix them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyError {
    /// A setting is out of its range, which may depend on another setting.
    OutOfRange {
        /// The setting, with its unit.
        name: &'static str,
        /// Its value.
        got: u64,
        /// The least it may be.
        min: u64,
        /// The most it may be.
        max: u64,
    },
    /// The upper edge of the CPU's band is where no node can be: nothing would ever be added.
    Unreachable {
        /// The target.
        cpu_target_permille: u32,
        /// The band.
        band_permille: u32,
    },
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { name, got, min, max } => {
                write!(f, "{name} is {got}, which is not within {min} to {max}")
            }
            Self::Unreachable { cpu_target_permille, band_permille } => write!(
                f,
                "cpu_target_permille {cpu_target_permille} with a band of {band_permille} permille \
                 above it is no load a CPU can reach"
            ),
        }
    }
}

impl std::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Settings);

    fn refused(change: Change) -> PolicyError {
        let mut settings = Settings::between(3, 12);
        change(&mut settings);
        Policy::new(settings).expect_err("these settings contradict each other")
    }

    #[test]
    fn the_settings_given_are_a_policy() {
        let settings = Settings::between(3, 12);
        assert_eq!(Policy::new(settings).unwrap().settings(), &settings);
        assert!(Policy::new(Settings::between(1, AUTOSCALE_NODES_MAX)).is_ok());
    }

    /// Each setting has its own name in the error, and both its ends are checked.
    #[test]
    fn each_setting_out_of_its_range_is_named() {
        fn p99(p99_us: u64, cpu_floor_permille: u32) -> Option<LatencyTarget> {
            Some(LatencyTarget { p99_us, cpu_floor_permille })
        }
        let cases: [(&str, Change); 23] = [
            ("nodes_max", |s| s.nodes_max = AUTOSCALE_NODES_MAX + 1),
            ("nodes_max", |s| s.nodes_max = 0),
            ("nodes_min", |s| s.nodes_min = 0),
            ("nodes_min", |s| s.nodes_min = 13),
            ("cpu_target_permille", |s| s.cpu_target_permille = 0),
            ("cpu_target_permille", |s| s.cpu_target_permille = u32::MAX),
            ("disk_target_permille", |s| s.disk_target_permille = 0),
            ("disk_target_permille", |s| s.disk_target_permille = 851),
            ("band_permille", |s| s.band_permille = 0),
            ("band_permille", |s| s.band_permille = u32::MAX),
            ("add_nodes_max", |s| s.add_nodes_max = 0),
            ("add_after_ms", |s| s.add_after = Duration::ZERO),
            ("remove_after_ms", |s| s.remove_after = s.add_after - Duration::from_millis(1)),
            ("remove_after_ms", |s| s.remove_after = Duration::MAX),
            ("cooldown_ms", |s| s.cooldown = Duration::ZERO),
            ("cooldown_ms", |s| s.cooldown = Duration::MAX),
            ("give_up_after_ms", |s| s.give_up_after = Duration::MAX),
            ("stale_after_ms", |s| s.stale_after = Duration::ZERO),
            ("stale_permille_max", |s| s.stale_permille_max = 501),
            ("p99_us", |s| s.p99 = p99(0, 300)),
            ("p99_us", |s| s.p99 = p99(u64::MAX, 300)),
            ("cpu_floor_permille", |s| s.p99 = p99(10_000, 601)),
            ("cpu_floor_permille", |s| s.p99 = p99(10_000, 0)),
        ];
        for (expected, change) in cases {
            match refused(change) {
                PolicyError::OutOfRange { name, got, min, max } => {
                    assert_eq!(name, expected);
                    assert!(got < min || got > max);
                }
                other @ PolicyError::Unreachable { .. } => panic!("{expected}: {other}"),
            }
        }
    }

    #[test]
    fn a_band_that_no_cpu_can_leave_is_refused() {
        let error = refused(|settings| settings.cpu_target_permille = 950);
        assert_eq!(
            error,
            PolicyError::Unreachable { cpu_target_permille: 950, band_permille: 100 }
        );
        assert!(error.to_string().contains("950"));
        assert_eq!(
            refused(|settings| settings.nodes_min = 99).to_string(),
            "nodes_min is 99, which is not within 1 to 12"
        );
    }
}
