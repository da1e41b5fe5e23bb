//! `cargo xtask layers`: proves that crates, and the modules of the server, depend downwards only.
//!
//! The rules are those of `docs/architecture.md`. Crates are checked by what cargo resolves for each of them
//! alone (normal dependencies, all platforms), so that a layer that reaches up through a third crate is found too.

use std::path::Path;

use anyhow::{Result, bail};

use crate::{process, workspace};

mod modules;

/// What one crate may reach.
struct Layer {
    package: &'static str,
    /// Crates of this workspace that it may reach; every other one is a fault.
    may_reach: &'static [&'static str],
    /// Foreign crates that it must not reach, even indirectly.
    never: &'static [&'static str],
    /// Features of tokio that it may turn on; `None`: any.
    tokio: Option<&'static [&'static str]>,
}

/// Crates that open sockets or speak HTTP: nothing below the server may reach them.
const SOCKETS: &[&str] = &["hyper", "mio", "rustls", "socket2", "tokio-tungstenite", "tungstenite"];
/// The same for the crate that must not know a runtime or a shared map either.
const SANS_IO: &[&str] = &[
    "dashmap",
    "hyper",
    "mio",
    "rustls",
    "socket2",
    "tokio",
    "tokio-tungstenite",
    "tokio-util",
    "tungstenite",
];

const LAYERS: &[Layer] = &[
    Layer { package: "throng-protocol", may_reach: &[], never: SANS_IO, tokio: Some(&[]) },
    Layer {
        package: "throng-engine",
        may_reach: &["throng-protocol"],
        never: SOCKETS,
        tokio: Some(&["sync"]),
    },
    Layer {
        package: "throng-registry",
        may_reach: &["throng-protocol"],
        never: SOCKETS,
        tokio: Some(&["sync"]),
    },
    Layer {
        package: "throng-server",
        may_reach: &["throng-protocol", "throng-engine", "throng-registry"],
        never: &[],
        tokio: None,
    },
    Layer {
        package: "throng-client",
        may_reach: &["throng-protocol"],
        never: &["hyper", "dashmap"],
        tokio: None,
    },
    // The client's tests use it, so it never reaches the client.
    Layer {
        package: "throng-testkit",
        may_reach: &["throng-protocol", "throng-engine", "throng-registry", "throng-server"],
        never: &[],
        tokio: None,
    },
    Layer {
        package: "throng-bench",
        may_reach: &["throng-protocol", "throng-engine", "throng-registry", "throng-server", "throng-client"],
        never: &[],
        tokio: None,
    },
];

/// A crate that another one reaches, with the features that are on for it.
#[derive(Debug)]
struct Reached {
    name: String,
    features: Vec<String>,
}

/// Checks this workspace and prints one line.
///
/// # Errors
///
/// Lists every arrow that points the wrong way.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let mut faults = crates(&root.join("Cargo.toml"))?;
    faults.extend(modules::check(&root.join("crates/server/src"))?);
    if faults.is_empty() {
        println!("layers: {} crates and the server's modules depend downwards only", LAYERS.len());
        return Ok(());
    }
    bail!("{} wrong arrow(s), see docs/architecture.md:\n  {}", faults.len(), faults.join("\n  "));
}

/// The faults of the workspace at `manifest`. A package that [`LAYERS`] does not name, other than xtask, is one.
fn crates(manifest: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for package in workspace::Metadata::read(manifest)?.packages {
        match LAYERS.iter().find(|layer| layer.package == package.name) {
            Some(layer) => faults.extend(layer.faults(&reached(manifest, layer.package)?)),
            None if package.name == "xtask" => {}
            None => faults.push(format!("{} has no layer; give it one in xtask/src/layers.rs", package.name)),
        }
    }
    Ok(faults)
}

impl Layer {
    /// What is wrong when this crate reaches those.
    fn faults(&self, reached: &[Reached]) -> Vec<String> {
        let mut faults = Vec::new();
        for other in reached.iter().filter(|other| other.name != self.package) {
            let name = other.name.as_str();
            let ours = name.starts_with("throng-") || name == "xtask";
            if (ours && !self.may_reach.contains(&name)) || self.never.contains(&name) {
                faults.push(format!("{} reaches {name}", self.package));
            } else if name == "tokio"
                && let Some(allowed) = self.tokio
            {
                let beyond = other.features.iter().filter(|feature| !allowed.contains(&feature.as_str()));
                faults.extend(
                    beyond.map(|feature| format!("{} turns on tokio's feature {feature:?}", self.package)),
                );
            }
        }
        faults
    }
}

/// All that `package` reaches through normal dependencies, as cargo resolves it for this package alone, for those who
/// import the library without what its command line needs.
fn reached(manifest: &Path, package: &str) -> Result<Vec<Reached>> {
    let mut command = workspace::cargo();
    command.args(["tree", "--edges=normal", "--target=all", "--prefix=none", "--format={p}\t{f}"]);
    command.args(["--no-default-features", "--package", package, "--manifest-path"]).arg(manifest);
    Ok(process::output(&mut command)?.lines().filter_map(parse).collect())
}

/// Reads one line of the tree: `tokio v1.54.1\tsync,time (*)`.
fn parse(line: &str) -> Option<Reached> {
    let (package, features) = line.split_once('\t')?;
    let features = features.trim_end_matches("(*)").trim();
    Some(Reached {
        name: package.split(' ').next()?.to_owned(),
        features: features.split(',').filter(|feature| !feature.is_empty()).map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workspace of empty crates with these dependencies between them, all by path.
    fn planted(crates: &[(&str, &[&str])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("Cargo.toml"), "[workspace]\nmembers = ['*']\nresolver = '3'\n")
            .unwrap();
        for (name, dependencies) in crates {
            let package = directory.path().join(name);
            fs::create_dir_all(package.join("src")).unwrap();
            fs::write(package.join("src/lib.rs"), "").unwrap();
            let mut manifest =
                format!("[package]\nname = '{name}'\nversion = '1.0.0'\nedition = '2024'\n[dependencies]\n");
            for other in *dependencies {
                manifest += &format!("{other} = {{ path = '../{other}' }}\n");
            }
            fs::write(package.join("Cargo.toml"), manifest).unwrap();
        }
        directory
    }

    fn faults(crates_and_dependencies: &[(&str, &[&str])]) -> Vec<String> {
        crates(&planted(crates_and_dependencies).path().join("Cargo.toml")).unwrap()
    }

    #[test]
    fn downward_arrows_are_no_fault() {
        let found = faults(&[
            ("throng-protocol", &[]),
            ("throng-engine", &["throng-protocol"]),
            ("throng-registry", &["throng-protocol"]),
            ("throng-server", &["throng-engine", "throng-registry"]),
            ("xtask", &["throng-server"]),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn a_layer_that_reaches_up_through_a_third_crate_is_found() {
        let found = faults(&[
            ("throng-registry", &[]),
            ("throng-bench", &["throng-registry"]),
            ("throng-client", &["throng-bench"]),
        ]);
        assert_eq!(found, ["throng-client reaches throng-bench", "throng-client reaches throng-registry"]);
    }

    #[test]
    fn a_banned_crate_is_found_and_a_crate_without_a_layer_too() {
        let found = faults(&[("tokio", &[]), ("throng-protocol", &["tokio"])]);
        let layer = "tokio has no layer; give it one in xtask/src/layers.rs";
        assert_eq!(found, ["throng-protocol reaches tokio", layer]);
    }

    #[test]
    fn the_registry_may_turn_on_tokios_sync_and_nothing_else_of_it() {
        let registry = LAYERS.iter().find(|layer| layer.package == "throng-registry").unwrap();
        let reached: Vec<_> = ["bytes v1.11.1\tdefault", "tokio v1.54.1\tsync,time (*)"].map(parse).into();
        let reached: Vec<_> = reached.into_iter().flatten().collect();
        assert_eq!(registry.faults(&reached), ["throng-registry turns on tokio's feature \"time\""]);
    }
}
