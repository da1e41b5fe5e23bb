//! The committed seeds of the fuzz target, and what fuzzing has found, as a test on stable.

use std::path::Path;

use crate::check::frame;

#[test]
fn every_seed_passes_the_check_of_the_fuzz_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/frame");
    let events: usize = std::fs::read_dir(&seeds)
        .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
        .map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
        .map(|seed| frame(&seed))
        .sum();
    assert!(events > 0, "no seed holds a correct frame");
}
