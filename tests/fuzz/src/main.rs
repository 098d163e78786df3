//! libFuzzer over one of the engine's targets, named by `KVCORE_FUZZ_TARGET`. `run` beside this
//! package builds and starts it.
//!
//! With `KVCORE_FUZZ_SEEDS` it first writes the target's seeds into that directory.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use engine::fuzz::{TARGETS, Target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fn choose() -> &'static Target {
    let name = std::env::var("KVCORE_FUZZ_TARGET").unwrap_or_default();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("KVCORE_FUZZ_TARGET is one of {names:?}"));
    if let Some(directory) = std::env::var_os("KVCORE_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            let path = Path::new(&directory).join(format!("seed-{number:02}"));
            std::fs::write(&path, seed).expect("the directory of seeds can be written");
        }
    }
    target
}

libfuzzer_sys::fuzz_target!(
    init: { TARGET.get_or_init(choose); },
    |data: &[u8]| { (TARGET.get_or_init(choose).run)(data); }
);
