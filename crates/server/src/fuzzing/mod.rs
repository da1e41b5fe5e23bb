//! What must hold for any input inside of the server. The fuzz targets run these checks on what they invent, a test runs them on
//! the committed seeds. A broken rule is a panic; what is returned is how much of the input was accepted.
//!
//! No part of the library's interface: it is there under `--cfg fuzzing` and in tests only.

mod config;
mod patterns;
mod session;
mod tokens;

pub use config::config;
pub use patterns::patterns;
pub use session::session;
pub use tokens::tokens;

/// What stands between the parts of an input.
const SEPARATOR: u8 = 0xff;

/// The first two parts of an input, as texts.
fn two_texts(bytes: &[u8]) -> Option<(&str, &str)> {
    let split = bytes.iter().position(|&byte| byte == SEPARATOR)?;
    let text = |bytes| std::str::from_utf8(bytes).ok();
    Some((text(&bytes[..split])?, text(&bytes[split + 1..])?))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_seed_passes_the_check_of_its_target() {
        type Check = fn(&[u8]) -> usize;
        let targets: [(&str, Check); 4] =
            [("config", config), ("patterns", patterns), ("session", session), ("tokens", tokens)];
        for (target, check) in targets {
            let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
            let accepted: usize = fs::read_dir(&seeds)
                .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
                .map(|seed| fs::read(seed.unwrap().path()).unwrap())
                .map(|seed| check(&seed))
                .sum();
            assert!(accepted > 0, "the seeds of {target} hold nothing that is accepted");
        }
    }
}
