//! The arrows between the server's modules, read from its source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Modules in their order: each may use those of its own rank and to its right, and whatever is not named here.
/// A shard runs the tasks of its connections, and they live in its state: `shard` and `transport` are one rank.
const ORDER: &[&[&str]] = &[&["server"], &["listener"], &["shard", "transport"], &["session"], &["node"]];
/// Modules beside the order, and what of the order they may use.
const BESIDE: &[(&str, &[&str])] =
    &[("config", &[]), ("http", &["node"]), ("metrics", &["node"]), ("tls", &[])];
/// Upward arrows that stand, each with its reason. One that nothing needs any more is a fault.
const STANDING: &[(&str, &str, &str)] = &[
    ("node", "shard", "the registry's fan-out is typed by what a shard is told, `ShardCommand`"),
    ("node", "session", "all sessions share one set of checked `Rules`"),
    ("shard", "listener", "a connection's `Seat` is handed down with it"),
    ("transport", "listener", "the `Seat` is given back where the connection ends"),
];

/// The faults in the source tree of the server.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn check(source: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut standing: Vec<_> = STANDING.iter().map(|(own, used, _)| (*own, *used)).collect();
    for file in rust_files(source)? {
        let inside = file.strip_prefix(source).context("a file of the tree is in the tree")?;
        let Some(own) = module_of(inside) else { continue };
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for (line, used) in uses(&text) {
            if STANDING.iter().any(|stands| (stands.0, stands.1) == (&own, &used)) {
                standing.retain(|stands| *stands != (&own, &used));
            } else if !allowed(&own, &used) {
                faults.push(format!("{}:{line}: {own} uses {used}", file.display()));
            }
        }
    }
    faults.extend(standing.iter().map(|(own, used)| {
        format!("{own} no longer uses {used}: remove it from those that stand in xtask/src/layers/modules.rs")
    }));
    Ok(faults)
}

/// All Rust files below `directory`, in a stable order.
pub(crate) fn rust_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The top module that a file belongs to; `None` for what may use all: the crate's root, binaries, and unit tests
/// in files of their own.
fn module_of(inside: &Path) -> Option<String> {
    if inside.iter().any(|part| part == "tests" || part == "tests.rs") {
        return None;
    }
    let first = inside.iter().next()?.to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main" | "bin")).then(|| name.to_owned())
}

/// Whether module `own` may use module `other`.
fn allowed(own: &str, other: &str) -> bool {
    let rank = |name: &str| ORDER.iter().position(|modules| modules.contains(&name));
    let Some(other_rank) = rank(other) else { return true };
    if let Some(own_rank) = rank(own) {
        return own_rank <= other_rank;
    }
    BESIDE.iter().find(|(module, _)| *module == own).is_none_or(|(_, used)| used.contains(&other))
}

/// The top modules named by `crate::…` in the code, with their line numbers. Comments do not count, nor do
/// unit tests, which stand last in a file.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open_group = false;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let code = line.split("//").next().unwrap_or_default();
        let next = lines.peek().map_or("", |(_, next)| next);
        if code == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        let mut names: Vec<&str> = Vec::new();
        for part in code.split("crate::").skip(1) {
            match part.strip_prefix('{') {
                Some(group) => {
                    names.extend(group_heads(group));
                    open_group = !group.contains("};");
                }
                None => names.push(head(part)),
            }
        }
        if names.is_empty() && open_group {
            names.extend(group_heads(code));
            open_group = !code.contains("};");
        }
        found.extend(
            names.into_iter().filter(|name| !name.is_empty()).map(|name| (number + 1, name.to_owned())),
        );
    }
    found
}

/// The identifier that `text` starts with.
fn head(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// The identifiers that the members of a `use` group start with. Members of an inner group are counted too:
/// rather a word too many, as only names of modules matter.
fn group_heads(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '{']).map(|member| head(member.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_upward_arrow_is_found_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let session = directory.path().join("session");
        fs::create_dir(&session).unwrap();
        fs::write(session.join("publish.rs"), "use std::fmt;\nuse crate::transport::Relay;\n").unwrap();
        for free in ["lib.rs", "session/tests.rs"] {
            fs::write(directory.path().join(free), "use crate::shard::Shard;\n").unwrap();
        }
        let mut faults = check(directory.path()).unwrap();
        faults.retain(|fault| !fault.contains("no longer uses"));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].ends_with("publish.rs:2: session uses transport"), "{faults:?}");
    }

    #[test]
    fn an_arrow_that_stands_without_need_is_found() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("node.rs"), "use crate::shard::ShardCommand;\n").unwrap();
        let faults = check(directory.path()).unwrap();
        assert!(
            !faults
                .iter()
                .any(|fault| fault.contains("node uses") || fault.contains("node no longer uses shard"))
        );
        assert!(faults.iter().any(|fault| fault.starts_with("node no longer uses session")), "{faults:?}");
    }

    #[test]
    fn groups_over_several_lines_are_read() {
        let text =
            "use crate::{\n    node::Node,\n    shard::{Shard, turn},\n};\nlet x = crate::http::page();\n";
        let names: Vec<_> = uses(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["node", "shard", "Shard", "turn", "http"]);
    }

    #[test]
    fn comments_and_unit_tests_do_not_count() {
        let text = "//! See [`crate::shard`].\nstruct A {\n    #[cfg(test)]\n    b: crate::node::B,\n}\n\
            #[cfg(test)]\nmod tests {\n    use crate::shard::Shard;\n}\n";
        assert_eq!(uses(text), [(4, "node".to_owned())]);
    }

    #[test]
    fn http_may_use_the_node_and_nothing_above_it() {
        assert!(allowed("http", "node") && allowed("http", "metrics") && allowed("shard", "transport"));
        assert!(!allowed("http", "shard") && !allowed("session", "shard") && !allowed("config", "node"));
    }
}
