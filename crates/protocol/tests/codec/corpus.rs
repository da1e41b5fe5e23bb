//! The committed seeds of the fuzz targets, and what fuzzing has found, as tests on stable.

use std::path::Path;

use crate::{Check, checks};

#[test]
fn every_seed_passes_the_check_of_its_target() {
    let targets: [(&str, Check); 6] = [
        ("json_commands", checks::json_commands),
        ("json_replies", checks::json_replies),
        ("protobuf_commands", checks::protobuf_commands),
        ("protobuf_replies", checks::protobuf_replies),
        ("channel_names", checks::channel_names),
        ("fossil", checks::fossil),
    ];
    for (target, check) in targets {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
        let accepted: usize = std::fs::read_dir(&seeds)
            .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
            .map(|seed| std::fs::read(seed.expect("readable").path()).expect("readable"))
            .map(|seed| check(&seed))
            .sum();
        assert!(accepted > 0, "the seeds of {target} hold nothing that is accepted");
    }
}
