//! From the sources to the settings: defaults, then the file, then the environment, then the flags.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    environment::{self, Meaning},
    fault::{Fault, Faults, Name, Place, Problem},
    field::Key,
    file,
    keys::KEYS,
    namespaces::{self, Scope},
    options, rules,
    settings::Settings,
    suggest, tls, upstream,
    value::Value,
};

/// Where settings come from. Later kinds win over earlier ones: file, environment, flags.
///
/// ```
/// use throng_server::config::Sources;
///
/// let loaded = Sources::new()
///     .text("throng.toml", "[http_server]\nport = 9000\n[client]\nchannel_limit = 10\n")
///     .environment([("THRONG_HTTP_SERVER_PORT".into(), "9001".into())])
///     .load()?;
/// assert_eq!(loaded.settings().http_server.port, 9001);
/// assert_eq!(loaded.settings().client.channel_limit, 10);
///
/// let faults = Sources::new().text("throng.toml", "[client]\nchanel_limit = 10\n").load().unwrap_err();
/// assert_eq!(
///     faults.to_string(),
///     "throng.toml:2: client.chanel_limit: there is no such key; did you mean client.channel_limit?"
/// );
/// # Ok::<(), throng_server::config::Faults>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "sources do nothing until they are loaded"]
pub struct Sources {
    files: Vec<(PathBuf, Result<String, Problem>)>,
    variables: BTreeMap<OsString, OsString>,
    flags: Vec<(&'static str, &'static str, String)>,
}

impl Sources {
    /// No source: the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file. One that cannot be read is a fault that [`load`](Self::load) reports.
    pub fn file(self, path: impl AsRef<Path>) -> Self {
        let text = file::read(path.as_ref());
        self.with_file(path.as_ref(), text)
    }

    /// Adds the text of a TOML file; `path` is what faults call it.
    pub fn text(self, path: impl AsRef<Path>, text: impl Into<String>) -> Self {
        self.with_file(path.as_ref(), Ok(text.into()))
    }

    fn with_file(mut self, path: &Path, text: Result<String, Problem>) -> Self {
        self.files.push((path.to_owned(), text));
        self
    }

    /// Adds environment variables, for example all of [`std::env::vars_os`]; those that do not begin with `THRONG_`
    /// are passed over.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.variables.extend(variables);
        self
    }

    /// Adds what a flag of the command line says: the name of the flag, the key that it sets, and the value.
    pub fn flag(mut self, flag: &'static str, key: &'static str, value: impl Into<String>) -> Self {
        self.flags.push((flag, key, value.into()));
        self
    }

    /// Reads all sources and checks the result.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong in any of the sources, also where a later source would win.
    pub fn load(self) -> Result<Loaded, Faults> {
        let mut reading = Reading::default();
        for (path, text) in self.files {
            reading.file(&path, text);
        }
        for (name, value) in &self.variables {
            reading.variable(&name.to_string_lossy(), value.to_str());
        }
        for (flag, key, value) in self.flags {
            reading.entry(Place::Flag(flag), key, &Value::Untyped(value));
        }
        reading.finish()
    }
}

impl fmt::Debug for Sources {
    /// Without values, some of which are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(|(path, _)| path).collect();
        let variables: Vec<_> = self.variables.keys().collect();
        let flags: Vec<_> = self.flags.iter().map(|(flag, ..)| flag).collect();
        f.debug_struct("Sources")
            .field("files", &files)
            .field("variables", &variables)
            .field("flags", &flags)
            .finish()
    }
}

/// Settings that are checked, and where each of them comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    settings: Settings,
    places: BTreeMap<String, Place>,
}

impl Loaded {
    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings, on their own.
    pub fn into_settings(self) -> Settings {
        self.settings
    }

    /// Where the key at a path, such as `client.channel_limit`, was set; [`Place::Default`] for one that no source
    /// mentions. Options of namespaces are at paths such as `channel.namespaces[0].presence`.
    pub fn place(&self, path: &str) -> Place {
        self.places.get(path).cloned().unwrap_or(Place::Default)
    }
}

impl Settings {
    /// Checks settings that a program made itself: each value, and the rules between them.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong.
    pub fn check(&self) -> Result<(), Faults> {
        self.check_rules(rules::between(self))
    }

    /// Checks the settings of a server whose application decides who may connect, so that no address is open to everybody.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong.
    pub(crate) fn check_with_connect_handler(&self) -> Result<(), Faults> {
        self.check_rules(rules::whoever_connects(self))
    }

    fn check_rules(&self, broken: Vec<rules::Broken>) -> Result<(), Faults> {
        let values = KEYS.iter().filter_map(|key| {
            let problem = key.check(self).err()?;
            Some(Fault { place: Place::Program, key: key.path.to_owned(), problem })
        });
        let between = broken.into_iter().map(|broken| Fault {
            place: Place::Program,
            key: broken.key,
            problem: broken.problem,
        });
        Faults::unless_empty(values.chain(namespaces::out_of_range(self)).chain(between).collect())
    }
}

/// The settings while sources are read into them.
#[derive(Default)]
struct Reading {
    settings: Settings,
    places: BTreeMap<String, Place>,
    faults: Vec<Fault>,
    /// Keys whose value could not be read, which rules between keys pass over.
    unread: BTreeSet<String>,
    /// Tables that are lacking as a whole and that the present source was told of.
    told: BTreeSet<String>,
}

impl Reading {
    fn file(&mut self, path: &Path, text: Result<String, Problem>) {
        self.told.clear();
        let text = match text {
            Ok(text) => text,
            Err(problem) => {
                let place = Place::File { path: path.to_owned(), line: None };
                return self.fault(place, String::new(), problem);
            }
        };
        match file::parse(path, &text, is_table) {
            Ok(entries) => {
                if entries.iter().any(|entry| entry.path.starts_with(namespaces::LIST)) {
                    self.forget_namespaces();
                }
                if entries.iter().any(|entry| entry.path.starts_with(tls::CERTIFICATES)) {
                    self.forget_certificates();
                }
                for entry in entries {
                    let place = Place::File { path: path.to_owned(), line: Some(entry.line) };
                    self.entry(place, &entry.path, &entry.value);
                }
            }
            Err(faults) => self.faults.extend(faults),
        }
    }

    /// The list of a later file takes the place of an earlier one's.
    fn forget_namespaces(&mut self) {
        self.settings.channel.namespaces.clear();
        self.places.retain(|path, _| !path.starts_with(namespaces::LIST));
        self.unread.retain(|path| !path.starts_with(namespaces::LIST));
    }

    fn forget_certificates(&mut self) {
        self.settings.http_server.tls.certificates.clear();
        self.places.retain(|path, _| !path.starts_with(tls::CERTIFICATES));
        self.unread.retain(|path| !path.starts_with(tls::CERTIFICATES));
    }

    fn variable(&mut self, name: &str, value: Option<&str>) {
        let place = || Place::Environment(name.to_owned());
        let no_key = String::new();
        let path = match environment::meaning(name, value.unwrap_or_default()) {
            Meaning::Other => return,
            Meaning::Key(path) => Ok(path.to_owned()),
            Meaning::Namespace(rest) => namespaces::variable(&self.settings, rest),
            Meaning::Unknown { near } => Err(Problem::Unknown { what: Name::Variable, near }),
        };
        match (path, value) {
            (Err(problem), _) => self.fault(place(), no_key, problem),
            (Ok(path), None) => self.fault(place(), path, Problem::NotText),
            (Ok(path), Some(value)) => self.entry(place(), &path, &Value::Untyped(value.to_owned())),
        }
    }

    fn entry(&mut self, place: Place, path: &str, value: &Value) {
        if matches!(value, Value::Table(0)) && is_table(path) {
            if path.starts_with(namespaces::WITHOUT) {
                self.settings.channel.without_namespace.get_or_insert_default();
            }
        } else if let Some((scope, option)) = Scope::of(path) {
            let set = scope.set(&mut self.settings, option, value);
            self.note(place, path, set);
        } else if path == namespaces::LIST {
            self.namespaces(&place, value);
        } else if let Some((index, option)) = tls::member(path) {
            let set = tls::set(&mut self.settings, index, option, value);
            self.note(place, path, set);
        } else if path == tls::CERTIFICATES {
            self.certificates(&place, value);
        } else if let Some(key) = Key::at(path) {
            let set = key.set(&mut self.settings, value);
            self.note(place, path, set);
        } else if let Some(option) = upstream::lacking(path) {
            self.note(place, path, option.accept(value));
        } else {
            let known = KEYS
                .iter()
                .map(|key| key.path)
                .chain(options::PATHS.iter().map(String::as_str))
                .chain(upstream::LACKING.iter().map(|option| option.path));
            let near = suggest::near(path, known).map(str::to_owned);
            self.fault(place, path.to_owned(), Problem::Unknown { what: Name::Key, near });
        }
    }

    /// Notes what came of reading a key: its place, or what is wrong. A table that is lacking as a whole is told of once.
    fn note(&mut self, place: Place, path: &str, set: Result<(), Problem>) {
        let Err(problem) = set else {
            self.places.insert(path.to_owned(), place);
            return;
        };
        self.unread.insert(path.to_owned());
        match lacking_table(path) {
            Some(table) if self.told.contains(&table) => {}
            Some(table) => {
                self.told.insert(table.clone());
                self.fault(place, table, problem);
            }
            None => self.fault(place, path.to_owned(), problem),
        }
    }

    fn namespaces(&mut self, place: &Place, value: &Value) {
        match namespaces::listed(value) {
            Ok(listed) => {
                for table in listed {
                    let name = table.get("name").and_then(|name| name.text().ok()).unwrap_or_default();
                    let scope = Scope::Element(namespaces::named(&mut self.settings, name));
                    self.places.insert(scope.path("name"), place.clone());
                    for (option, value) in table {
                        self.entry(place.clone(), &scope.path(&option), &value);
                    }
                }
            }
            Err(problem) => self.fault(place.clone(), namespaces::LIST.to_owned(), problem),
        }
    }

    fn certificates(&mut self, place: &Place, value: &Value) {
        match tls::listed(value) {
            Ok(listed) => {
                self.forget_certificates();
                for (index, table) in listed.into_iter().enumerate() {
                    for (option, value) in table {
                        self.entry(
                            place.clone(),
                            &format!("{}[{index}].{option}", tls::CERTIFICATES),
                            &value,
                        );
                    }
                }
            }
            Err(problem) => self.fault(place.clone(), tls::CERTIFICATES.to_owned(), problem),
        }
    }

    fn fault(&mut self, place: Place, key: String, problem: Problem) {
        self.faults.push(Fault { place, key, problem });
    }

    fn finish(mut self) -> Result<Loaded, Faults> {
        // Without pings there is nothing to answer, unless a source asks for an answer all the same.
        if self.settings.client.ping_interval.is_none() && !self.places.contains_key("client.pong_timeout") {
            self.settings.client.pong_timeout = None;
        }
        for broken in rules::between(&self.settings) {
            let keys = || std::iter::once(&broken.key).chain(&broken.others);
            if keys().any(|key| self.unread.contains(key)) {
                continue;
            }
            let place = keys().find_map(|key| self.places.get(key)).cloned();
            self.fault(place.unwrap_or(Place::Default), broken.key, broken.problem);
        }
        Faults::unless_empty(self.faults)?;
        Ok(Loaded { settings: self.settings, places: self.places })
    }
}

/// Whether a key that is served, or an option that is lacking, lies below a path.
fn is_table(path: &str) -> bool {
    // What is lacking in a namespace is listed once, for channels without one.
    let general = Scope::of(path).map(|(_, option)| Scope::Without.path(option));
    let path = general.as_deref().unwrap_or(path);
    let below = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    KEYS.iter().any(|key| below(key.path))
        || path == namespaces::WITHOUT
        || upstream::LACKING.iter().any(|option| below(option.path))
        || upstream::lacking(path).is_some_and(|option| option.table().is_some())
}

/// The table that a path lies in, if it is lacking as a whole.
fn lacking_table(path: &str) -> Option<String> {
    match Scope::of(path) {
        Some((scope, option)) => {
            let table = upstream::lacking(&Scope::Without.path(option))?.table()?;
            Some(scope.path(table.strip_prefix(namespaces::WITHOUT)?.strip_prefix('.')?))
        }
        None => upstream::lacking(path)?.table().map(str::to_owned),
    }
}
