//! What flatc makes of `fbs/`; `generate.sh` makes it again.

#![expect(
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    dead_code,
    clippy::unwrap_used,
    unreachable_pub,
    unsafe_code,
    reason = "flatc wrote it; what it does not promise is checked by the modules that use it"
)]

pub(crate) mod point {
    include!("point_generated.rs");
}
pub(crate) mod tables {
    include!("tables_generated.rs");
}
