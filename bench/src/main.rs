//! kvbench, kvcore's load generator.

fn main() {}
