//! Where things are: the workspace, cargo, the target directory, the cache.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable when it runs us; the built-in path serves a binary that is run by hand.
    let package =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// The cargo that runs us, to be run in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Directory of what is installed from package registries; it outlives a checkout, and may be deleted at any time.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("throng"))
}

/// What `cargo metadata` tells of the workspace's own packages.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: std::collections::BTreeMap<String, Vec<String>>,
    pub(crate) targets: Vec<Target>,
}

/// One thing that cargo can build in a package.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

impl Metadata {
    /// Reads the metadata of the workspace that `manifest` belongs to.
    ///
    /// # Errors
    ///
    /// When cargo fails, or answers with something else than its documented format.
    pub(crate) fn read(manifest: &Path) -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version=1", "--no-deps", "--manifest-path"]).arg(manifest);
        serde_json::from_str(&process::output(&mut command)?)
            .context("cannot read what `cargo metadata` wrote")
    }

    /// Reads the metadata of our own workspace.
    ///
    /// # Errors
    ///
    /// As [`Metadata::read`].
    pub(crate) fn own() -> Result<Self> {
        Self::read(&root().join("Cargo.toml"))
    }

    /// The names of all targets of one kind (`bin`, `example`, `bench`, `test`).
    pub(crate) fn targets(&self, kind: &str) -> BTreeSet<&str> {
        let all = self.packages.iter().flat_map(|package| &package.targets);
        all.filter(|target| target.kind.iter().any(|own| own == kind))
            .map(|target| target.name.as_str())
            .collect()
    }
}
