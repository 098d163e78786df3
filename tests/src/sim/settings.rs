//! Settings of the nodes as data: for serde, field by field as [`Tunables`] has them, so that one
//! that is forgotten here does not compile.

use std::num::NonZeroU64;
use std::time::Duration;

use cluster::mutation::{Mutation, Mutations};
use cluster::tunables::Tunables;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Tunables", deny_unknown_fields)]
struct Settings {
    operations_max: usize,
    resend_after_256ths: u32,
    #[serde(with = "crate::duration")]
    behind_pause: Duration,
    #[serde(with = "crate::duration")]
    hedge_after_min: Duration,
    counted_hint_bytes_max: usize,
    spare_hint_bytes_max: usize,
    #[serde(with = "crate::duration")]
    handoff_patience: Duration,
    #[serde(with = "crate::duration")]
    repair_period: Duration,
    #[serde(with = "crate::duration")]
    repair_retry: Duration,
    #[serde(with = "crate::duration")]
    repair_patience: Duration,
    repair_page_bytes_max: usize,
    repair_bytes_per_second: NonZeroU64,
    moves_max: usize,
    move_bytes_per_second: NonZeroU64,
    #[serde(with = "crate::duration")]
    horizon_period: Duration,
    #[serde(with = "crate::duration")]
    horizon_window: Duration,
    #[serde(with = "crate::duration")]
    latency_first: Duration,
    #[serde(serialize_with = "names", deserialize_with = "named")]
    mutations: Mutations,
}

/// For serde.
pub(super) fn serialize<S: Serializer>(tunables: &Tunables, to: S) -> Result<S::Ok, S::Error> {
    Settings::serialize(tunables, to)
}

/// For serde.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Tunables, D::Error> {
    Settings::deserialize(from)
}

fn names<S: Serializer>(mutations: &Mutations, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(mutations.iter().map(Mutation::name))
}

fn named<'de, D: Deserializer<'de>>(from: D) -> Result<Mutations, D::Error> {
    let names = Vec::<String>::deserialize(from)?;
    names.iter().try_fold(Mutations::default(), |all, name| {
        let mutation = Mutation::named(name);
        let unknown = || D::Error::custom(format!("\"{name}\" is no mutation"));
        mutation.map(|it| all.with(it)).ok_or_else(unknown)
    })
}
