//! The kvcore server: per-core runtime, sessions, core-to-core mesh, configuration, boot.

pub mod admin;
pub mod boot;
pub mod config;
pub mod limits;
pub mod mesh;
pub mod runtime;
pub mod server;
