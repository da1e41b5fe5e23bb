//! From the sources to the settings: defaults, then the file, then the environment, then the flags.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    environment::{self, Meaning},
    fault::{Fault, Faults, Name, Place, Problem},
    field::Key,
    file,
    keys::KEYS,
    namespaces::{self, Scope},
    options::{OPTIONS, option},
    rules,
    settings::Settings,
    suggest, upstream,
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
#[derive(Clone, Debug, Default)]
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

/// Settings that are checked, and where each of them comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    settings: Settings,
    places: BTreeMap<&'static str, Place>,
    /// The same for options of channels.
    option_places: BTreeMap<String, Place>,
}

impl Loaded {
    /// The settings.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where options of channels were set.
    pub(super) const fn option_places(&self) -> &BTreeMap<String, Place> {
        &self.option_places
    }

    /// The settings, on their own.
    pub fn into_settings(self) -> Settings {
        self.settings
    }

    /// Where the key at a path, such as `client.channel_limit`, was set; [`Place::Default`] for one that no source
    /// mentions.
    pub fn place(&self, path: &str) -> Place {
        self.places.get(path).or_else(|| self.option_places.get(path)).cloned().unwrap_or(Place::Default)
    }
}

impl Settings {
    /// Checks settings that a program made itself: each value, and the rules between them.
    ///
    /// # Errors
    ///
    /// Lists everything that is wrong.
    pub fn check(&self) -> Result<(), Faults> {
        let values = KEYS.iter().filter_map(|key| {
            let problem = key.check(self).err()?;
            Some(Fault { place: Place::Program, key: key.path.to_owned(), problem })
        });
        let between = rules::between(self).into_iter().map(|broken| Fault {
            place: Place::Program,
            key: broken.key.to_owned(),
            problem: broken.problem,
        });
        let channels = namespaces::check(self).into_iter().map(|(key, problem)| Fault {
            place: Place::Program,
            key,
            problem,
        });
        Faults::unless_empty(values.chain(between).chain(channels).collect())
    }
}

/// The settings while sources are read into them.
#[derive(Default)]
struct Reading {
    settings: Settings,
    places: BTreeMap<&'static str, Place>,
    option_places: BTreeMap<String, Place>,
    faults: Vec<Fault>,
    /// Keys whose value could not be read, which rules between keys pass over.
    unread: BTreeSet<&'static str>,
    /// Tables that are lacking as a whole and that the present source was told of.
    told: BTreeSet<&'static str>,
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
                for entry in entries {
                    let place = Place::File { path: path.to_owned(), line: Some(entry.line) };
                    self.entry(place, &entry.path, &entry.value);
                }
            }
            Err(faults) => self.faults.extend(faults),
        }
    }

    fn variable(&mut self, name: &str, value: Option<&str>) {
        let place = || Place::Environment(name.to_owned());
        let no_key = String::new();
        if let (Some(path), Some(value)) = (namespaces::variable(&self.settings, name), value) {
            return self.entry(place(), &path, &Value::Untyped(value.to_owned()));
        }
        match (environment::meaning(name, value.unwrap_or_default()), value) {
            (Meaning::Other, _) => {}
            (Meaning::Unknown { near }, _) => {
                self.fault(place(), no_key, Problem::Unknown { what: Name::Variable, near });
            }
            (Meaning::Key(path), None) => self.fault(place(), path.to_owned(), Problem::NotText),
            (Meaning::Key(path), Some(value)) => {
                self.entry(place(), path, &Value::Untyped(value.to_owned()));
            }
        }
    }

    fn entry(&mut self, place: Place, path: &str, value: &Value) {
        if let Some((scope, option)) = Scope::of(path) {
            return self.option(place, scope, option, value);
        }
        if path == namespaces::LIST {
            return match namespaces::names(value) {
                Ok(names) => self.name_namespaces(&place, &names),
                Err(problem) => self.fault(place, path.to_owned(), problem),
            };
        }
        if let Some(key) = Key::at(path) {
            match key.set(&mut self.settings, value) {
                Ok(()) => {
                    self.places.insert(key.path, place);
                }
                Err(problem) => {
                    self.unread.insert(key.path);
                    self.fault(place, path.to_owned(), problem);
                }
            }
        } else if let Some(option) = upstream::lacking(path) {
            if let Err(problem) = option.accept(value)
                && self.told.insert(option.path)
            {
                let path = option.table().unwrap_or(path).to_owned();
                self.fault(place, path, problem);
            }
        } else {
            let known =
                KEYS.iter().map(|key| key.path).chain(upstream::LACKING.iter().map(|option| option.path));
            let near = suggest::near(path, known).map(str::to_owned);
            self.fault(place, path.to_owned(), Problem::Unknown { what: Name::Key, near });
        }
    }

    fn name_namespaces(&mut self, place: &Place, names: &[String]) {
        for name in names {
            let index = namespaces::named(&mut self.settings, name);
            self.option_places.insert(Scope::Element(index).path("name"), place.clone());
        }
    }

    fn option(&mut self, place: Place, scope: Scope, name: &str, value: &Value) {
        let path = scope.path(name);
        let set = match (scope, name, option(name)) {
            (Scope::Element(index), "name", _) => value.text().map(|name| {
                namespaces::element(&mut self.settings, index).name = name.to_owned();
            }),
            (_, _, Some(option)) => option.set(scope.options(&mut self.settings), value),
            (_, _, None) => match upstream::lacking(&Scope::Without.path(name)) {
                Some(option) => option.accept(value),
                None => {
                    let near = suggest::near(name, OPTIONS.iter().map(|option| option.path));
                    let near = near.map(|near| scope.path(near));
                    Err(Problem::Unknown { what: Name::Key, near })
                }
            },
        };
        match set {
            Ok(()) => {
                self.option_places.insert(path, place);
            }
            Err(problem) => self.fault(place, path, problem),
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
            let keys = [Some(broken.key), broken.other];
            if keys.into_iter().flatten().any(|key| self.unread.contains(key)) {
                continue;
            }
            let place = keys.into_iter().flatten().find_map(|key| self.places.get(key)).cloned();
            self.fault(place.unwrap_or(Place::Default), broken.key.to_owned(), broken.problem);
        }
        for (path, problem) in namespaces::check(&self.settings) {
            let nowhere = || self.places.get(path.as_str()).cloned().unwrap_or(Place::Default);
            let place = self.option_places.get(&path).cloned().unwrap_or_else(nowhere);
            self.fault(place, path, problem);
        }
        Faults::unless_empty(self.faults)?;
        Ok(Loaded { settings: self.settings, places: self.places, option_places: self.option_places })
    }
}

/// Whether a key that is served, or an option that is lacking, lies below a path.
fn is_table(path: &str) -> bool {
    // Options of channels are known by their names alone.
    if path == "channel.without_namespace" {
        return true;
    }
    let below = |known: &str| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    KEYS.iter().any(|key| below(key.path))
        || upstream::LACKING.iter().any(|option| below(option.path))
        || upstream::lacking(path).is_some_and(|option| option.table().is_some())
}
