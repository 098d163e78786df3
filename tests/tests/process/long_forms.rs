//! Environment variables that make tests longer, or do again what a failure named.

/// The number in the environment variable `name`.
pub(crate) fn number(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).map_or_else(|_| otherwise(), |text| text.parse().unwrap())
}
