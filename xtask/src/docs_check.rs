//! `cargo xtask docs-check`: what the documents name must exist.
//!
//! In `README.md`, `CONTRIBUTING.md`, `CHANGELOG.md` and `docs/*.md` it looks up: the paths in code spans and links, the
//! headings that links lead to, and in commands the subcommands and flags of `cargo xtask` and the names after
//! `--bin`, `--example`, `--bench` and `--package`.

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::workspace;

mod markdown;

use markdown::{Piece, pieces};

/// Names of files that a code span without a slash may hold and that must then exist somewhere.
const BARE_EXTENSIONS: &[&str] = &["rs", "md"];
/// Names of files that a code span with a slash may hold and that must then exist.
const EXTENSIONS: &[&str] =
    &["rs", "md", "toml", "json", "js", "mjs", "py", "sh", "html", "css", "svg", "png"];
/// Directories that belong to nobody's documents.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

/// Something that a document names and that does not exist.
#[derive(Debug, Eq, PartialEq)]
struct Fault {
    document: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.document.display(), self.line, self.what)
    }
}

/// What exists: the files below the root, and the commands.
struct Known {
    root: PathBuf,
    /// Files and directories, relative to the root, with `/`.
    paths: BTreeSet<String>,
    xtask: clap::Command,
    /// The values that `--bin`, `--example`, `--bench`, `--package` may take.
    targets: Vec<(&'static [&'static str], BTreeSet<String>)>,
}

/// Checks all documents and prints one line.
///
/// # Errors
///
/// Lists everything that is named and does not exist.
pub(crate) fn run(xtask: clap::Command) -> Result<()> {
    let root = workspace::root();
    let metadata = workspace::Metadata::own()?;
    let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    let known = Known {
        paths: paths(&root)?,
        xtask,
        targets: vec![
            (&["--bin"], owned(metadata.targets("bin"))),
            (&["--example"], owned(metadata.targets("example"))),
            (&["--bench"], owned(metadata.targets("bench"))),
            (&["--package", "-p"], metadata.packages.iter().map(|package| package.name.clone()).collect()),
        ],
        root,
    };
    let documents = documents(&known);
    let mut faults = Vec::new();
    for document in &documents {
        faults.extend(known.check(document)?);
    }
    if faults.is_empty() {
        println!("docs-check: what {} documents name exists", documents.len());
        return Ok(());
    }
    let list: Vec<_> = faults.iter().map(ToString::to_string).collect();
    bail!("{} name(s) of things that do not exist:\n  {}", list.len(), list.join("\n  "));
}

/// The documents that are there, relative to the root.
fn documents(known: &Known) -> Vec<PathBuf> {
    let ours = |path: &&String| {
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].contains(&path.as_str())
            || path.strip_prefix("docs/").is_some_and(|name| name.ends_with(".md") && !name.contains('/'))
    };
    known.paths.iter().filter(ours).map(PathBuf::from).collect()
}

/// All files and directories below `root`, relative to it.
fn paths(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?
        {
            let entry = entry?;
            if SKIPPED.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
            if let Some(path) = entry.path().strip_prefix(root)?.to_str() {
                found.insert(path.replace(std::path::MAIN_SEPARATOR, "/"));
            }
        }
    }
    Ok(found)
}

impl Known {
    /// The faults of one document, given relative to the root.
    fn check(&self, document: &Path) -> Result<Vec<Fault>> {
        let text = fs::read_to_string(self.root.join(document))
            .with_context(|| format!("cannot read {}", document.display()))?;
        let mut faults = Vec::new();
        for (line, piece) in pieces(&text) {
            let whats = match piece {
                Piece::Link(target) => self.check_link(document, &text, target),
                Piece::Span(span) if is_path(span, &self.paths) && !self.has(document, span) => {
                    vec![format!("no such path: {span}")]
                }
                Piece::Span(command) | Piece::Block(command) => self.check_command(command),
            };
            faults.extend(whats.into_iter().map(|what| Fault { document: document.to_owned(), line, what }));
        }
        Ok(faults)
    }

    /// What is wrong with the target of a link.
    fn check_link(&self, document: &Path, text: &str, target: &str) -> Vec<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return Vec::new();
        }
        let (path, anchor) =
            target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let linked = normal(&document.parent().unwrap_or(Path::new("")).join(path));
        if !path.is_empty() && !self.paths.contains(&linked) {
            return vec![format!("no such path: {target}")];
        }
        let Some(anchor) = anchor else { return Vec::new() };
        let other =
            if path.is_empty() { Ok(text.to_owned()) } else { fs::read_to_string(self.root.join(&linked)) };
        let known = other.is_ok_and(|other| markdown::anchors(&other).contains(anchor));
        if known { Vec::new() } else { vec![format!("no such heading: {target}")] }
    }

    /// Whether the path in a code span exists: below the root, beside the document, or as the end of some path.
    fn has(&self, document: &Path, span: &str) -> bool {
        let span = without_line(span).trim_end_matches('/');
        let beside = document.parent().unwrap_or(Path::new(""));
        braces(span).iter().all(|path| {
            let path = path.trim_start_matches("./");
            let from_here = normal(&beside.join(path));
            let end = format!("/{path}");
            self.paths.iter().any(|known| {
                matches(path, known)
                    || matches(&from_here, known)
                    || known.match_indices('/').any(|(at, _)| matches(&end, &known[at..]))
            })
        })
    }

    /// What is wrong with the commands in a line of code.
    fn check_command(&self, code: &str) -> Vec<String> {
        let mut faults = Vec::new();
        for command in code.split(['|', ';', '&', '`']) {
            let words: Vec<&str> =
                command.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
            if let Some(at) = words.windows(2).position(|pair| pair == ["cargo", "xtask"]) {
                faults.extend(self.check_xtask(&words[at + 2..]));
            } else if words.contains(&"cargo") {
                faults.extend(self.check_cargo(&words));
            }
        }
        faults
    }

    /// What is wrong with the words after `cargo xtask`.
    fn check_xtask(&self, words: &[&str]) -> Option<String> {
        let name =
            words.first().copied().filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))?;
        let Some(subcommand) = self.xtask.find_subcommand(name) else {
            return Some(format!("no such command: cargo xtask {name}"));
        };
        let flags = words[1..].iter().filter_map(|word| word.trim_start_matches('[').strip_prefix("--"));
        let names = flags.map(|flag| flag.split(['=', ']']).next().unwrap_or_default());
        let known = |flag: &str| {
            matches!(flag, "" | "help") || subcommand.get_arguments().any(|own| own.get_long() == Some(flag))
        };
        let unknown = names.into_iter().find(|flag| !known(flag))?;
        Some(format!("no such flag: cargo xtask {name} --{unknown}"))
    }

    /// What is wrong with the names of binaries, examples, benches and packages in a cargo command.
    fn check_cargo(&self, words: &[&str]) -> Option<String> {
        words.windows(2).take_while(|pair| pair[0] != "--").find_map(|pair| {
            let (_, names) = self.targets.iter().find(|(flags, _)| flags.contains(&pair[0]))?;
            let literal = pair[1].starts_with(|c: char| c.is_ascii_lowercase());
            (literal && !names.contains(pair[1])).then(|| format!("no such target: {} {}", pair[0], pair[1]))
        })
    }
}

/// Whether a code span means a path of the repository.
fn is_path(span: &str, paths: &BTreeSet<String>) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/{},*:".contains(c);
    if !span.chars().all(plain) || span.contains("::") || span.starts_with('/') || span.contains("//") {
        return false;
    }
    let name = without_line(span);
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match name.split_once('/') {
        Some((first, _)) => paths.contains(first) || EXTENSIONS.contains(&extension),
        None => BARE_EXTENSIONS.contains(&extension),
    }
}

/// The path without a line number: `src/lib.rs:12`.
fn without_line(span: &str) -> &str {
    span.split_once(':').map_or(span, |(path, _)| path)
}

/// The path with `.` and `..` resolved, and `/` between its parts.
fn normal(path: &Path) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                parts.pop();
            }
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn braces(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((choices, after)) = rest.split_once('}') else { return vec![path.to_owned()] };
    choices.split(',').flat_map(|choice| braces(&format!("{before}{choice}{after}"))).collect()
}

/// Whether `path` fits `pattern`, where `*` stands for any characters of one path component.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let component = rest.find('/').unwrap_or(rest.len());
            (0..=component).any(|end| rest.is_char_boundary(end) && matches(after, &rest[end..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The faults of a `docs/guide.md` with this text, in a small repository.
    fn faults(text: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for path in ["README.md", "crates/server/src/http/page.rs", "crates/server/src/lib.rs", "deny.toml"] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "# The first heading\n").unwrap();
        }
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("docs/guide.md"), text).unwrap();
        let known = Known {
            root: root.path().to_owned(),
            paths: paths(root.path()).unwrap(),
            xtask: crate::Cli::command(),
            targets: vec![(&["--bin"], ["throng-server".to_owned()].into())],
        };
        assert_eq!(documents(&known), ["README.md", "docs/guide.md"].map(PathBuf::from));
        known.check(Path::new("docs/guide.md")).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_exists_is_no_fault() {
        let text = "See `crates/server/src/http/page.rs:3`, `http/page.rs`, `lib.rs`, `crates/server/`,\n\
            `crates/{server,server/src}`, `crates/*/src/lib.rs`, `GET /health`, `application/json`, `a::b`.\n\
            [one](../README.md), [two](../README.md#the-first-heading), [three](https://example.org/x.md).\n\
            ```sh\ncargo xtask ci --skip sdk   # all but one\ncargo run --release --bin throng-server -- --bin x\n```\n";
        assert_eq!(faults(text), Vec::<String>::new());
    }

    #[test]
    fn a_path_that_is_gone_is_found_with_its_line() {
        let text = "Fine.\nSee `crates/server/src/gone.rs`, `old/thing.rs` and `crates/gone/`.\n";
        let expected = ["crates/server/src/gone.rs", "old/thing.rs", "crates/gone/"];
        assert_eq!(faults(text), expected.map(|path| format!("docs/guide.md:2: no such path: {path}")));
    }

    #[test]
    fn links_to_missing_files_and_headings_are_found() {
        let text = "[a](gone.md) [b](../README.md#second) [c](#nowhere)\n";
        let expected =
            ["no such path: gone.md", "no such heading: ../README.md#second", "no such heading: #nowhere"];
        assert_eq!(faults(text), expected.map(|what| format!("docs/guide.md:1: {what}")));
    }

    #[test]
    fn commands_that_do_not_exist_are_found() {
        let text =
            "Run `cargo xtask fly`, `cargo xtask ci --fast` or\n\n```sh\ncargo run --bin throng-gone\n```\n";
        let expected = [
            "docs/guide.md:1: no such command: cargo xtask fly",
            "docs/guide.md:1: no such flag: cargo xtask ci --fast",
            "docs/guide.md:4: no such target: --bin throng-gone",
        ];
        assert_eq!(faults(text), expected);
    }

    #[test]
    fn a_star_stays_inside_one_component() {
        assert!(matches("crates/*/src", "crates/server/src") && matches("docs/*.md", "docs/a.md"));
        assert!(!matches("crates/*.rs", "crates/server/lib.rs") && !matches("docs/*.md", "docs/a.txt"));
    }
}
