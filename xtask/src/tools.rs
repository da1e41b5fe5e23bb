//! Programs from the package registries, installed into the cache once and used from there.
//!
//! Versions are pinned by lock files beside the programs that use them. A directory is named after the lock's
//! content, so that a changed lock installs anew, and counts as complete only once its marker is written.

use std::{
    env,
    fs::{self, File},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Written last into an installed directory.
const MARKER: &str = ".complete";

/// The Python interpreter of a virtual environment that holds what `requirements` (a pip file) names.
///
/// # Errors
///
/// When Python 3 with `venv` is missing, or pip cannot install.
pub(crate) fn python(name: &str, requirements: &Path) -> Result<PathBuf> {
    let lock = read(requirements)?;
    let directory = installed(name, &lock, |directory| {
        process::run(Command::new("python3").args(["-m", "venv"]).arg(directory))
            .context("Python 3 with its venv module is needed (Debian: python3-venv)")?;
        let mut pip = Command::new(directory.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        process::run(pip.arg(requirements))
    })?;
    Ok(directory.join("bin/python"))
}

/// The `node_modules` directory with what the `package-lock.json` in `package` names. No install script is run.
///
/// # Errors
///
/// When npm is missing or cannot install.
pub(crate) fn node_modules(name: &str, package: &Path) -> Result<PathBuf> {
    let lock = read(&package.join("package-lock.json"))?;
    let directory = installed(name, &lock, |directory| {
        fs::create_dir_all(directory)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(package.join(file), directory.join(file))
                .with_context(|| format!("cannot copy {file}"))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        process::run(npm.current_dir(directory)).context("Node.js with npm is needed (20 or later)")
    })?;
    Ok(directory.join("node_modules"))
}

/// The first of `names` that is on the path. If none is, and we are root on a Debian, its package is installed first.
/// `None`: there is none.
///
/// # Errors
///
/// When the package cannot be installed.
pub(crate) fn debian(names: &[&str], package: &str) -> Result<Option<PathBuf>> {
    let found = find(names);
    if found.is_some() || !rustix::process::geteuid().is_root() || find(&["apt-get"]).is_none() {
        return Ok(found);
    }
    println!("installing Debian's package {package}");
    let apt = |arguments: &[&str]| {
        process::run(Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update", "--quiet=2"])?;
    apt(&["install", "--yes", "--quiet=2", "--no-install-recommends", package])?;
    Ok(find(names))
}

/// The first of these programs that is on the path.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let directories: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    let candidates =
        names.iter().flat_map(|name| directories.iter().map(move |directory| directory.join(name)));
    candidates.into_iter().find(|path| path.is_file())
}

/// The cache directory `name` for this `lock`; made by `install` when it is not there yet.
fn installed(name: &str, lock: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    installed_in(&workspace::cache()?, name, lock, install)
}

fn installed_in(
    cache: &Path,
    name: &str,
    lock: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    lock.hash(&mut hasher);
    let directory = cache.join(format!("{name}-{:016x}", hasher.finish()));
    fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    // Two runs at once must not install into one directory.
    let guard = File::create(cache.join(format!("{name}.lock"))).context("cannot create a lock file")?;
    guard.lock().context("cannot lock the cache")?;
    if !directory.join(MARKER).exists() {
        println!("installing {name} into {}", directory.display());
        if directory.exists() {
            fs::remove_dir_all(&directory).context("cannot remove what an interrupted run left")?;
        }
        install(&directory).with_context(|| format!("cannot install {name}"))?;
        fs::write(directory.join(MARKER), "").context("cannot mark the installation as complete")?;
    }
    Ok(directory)
}

/// The content of a lock file.
fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn what_is_installed_is_not_installed_again_until_its_lock_changes() {
        let cache = tempfile::tempdir().unwrap();
        let first = installed_in(cache.path(), "tool", "1", |path| Ok(fs::create_dir(path)?)).unwrap();
        let again = installed_in(cache.path(), "tool", "1", |_| bail!("installed twice")).unwrap();
        assert_eq!(first, again);
        let other = installed_in(cache.path(), "tool", "2", |path| Ok(fs::create_dir(path)?)).unwrap();
        assert_ne!(first, other);
    }

    #[test]
    fn the_first_program_on_the_path_is_found() {
        assert!(find(&["no-such-program", "sh"]).is_some_and(|path| path.ends_with("sh")));
        assert_eq!(find(&["no-such-program"]), None);
    }

    #[test]
    fn a_failed_installation_is_done_anew() {
        let cache = tempfile::tempdir().unwrap();
        let half = |path: &Path| {
            fs::create_dir(path)?;
            bail!("no network")
        };
        installed_in(cache.path(), "tool", "1", half).unwrap_err();
        installed_in(cache.path(), "tool", "1", |path| Ok(fs::create_dir(path)?)).unwrap();
    }
}
