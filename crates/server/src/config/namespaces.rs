//! Where the options of channels stand in the sources, and what is wrong with them.

use std::collections::BTreeMap;

use super::{
    channel::{ChannelOptions, Namespace},
    environment,
    fault::{Fault, Name, Place, Problem},
    options::{NAMES, OPTIONS, contradictions},
    rules::Broken,
    settings::Settings,
    suggest,
    upstream::{self, LACKING},
    value::Value,
};

pub(super) const WITHOUT: &str = "channel.without_namespace";
pub(super) const LIST: &str = "channel.namespaces";

/// The namespace of the relay's rooms.
const RESERVED: &str = "relay";

/// Namespaces that there may be: each shard counts for each of them.
const MAX_COUNT: usize = 10_000;

/// Which channels an option is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    /// Those without a namespace.
    Without,
    /// Those of the namespace at this place in the list.
    Element(usize),
}

impl Scope {
    /// The scope and the option that a path names, such as `channel.namespaces[0].presence`.
    pub(super) fn of(path: &str) -> Option<(Self, &str)> {
        if let Some(option) = path.strip_prefix(WITHOUT).and_then(|rest| rest.strip_prefix('.')) {
            return Some((Self::Without, option));
        }
        let (index, rest) = path.strip_prefix(LIST)?.strip_prefix('[')?.split_once(']')?;
        Some((Self::Element(index.parse().ok()?), rest.strip_prefix('.')?))
    }

    pub(super) fn path(self, option: &str) -> String {
        match self {
            Self::Without => format!("{WITHOUT}.{option}"),
            Self::Element(index) => format!("{LIST}[{index}].{option}"),
        }
    }

    /// Sets an option, or the name of the namespace.
    pub(super) fn set(self, settings: &mut Settings, option: &str, value: &Value) -> Result<(), Problem> {
        if let (Self::Element(index), "name") = (self, option) {
            element(settings, index).name = value.text()?.to_owned();
            return Ok(());
        }
        // That anything at all is said of channels without a namespace closes them, so they get options in any case.
        let options = self.options(settings);
        if let Some(key) = OPTIONS.iter().find(|key| key.path == option) {
            key.set(options, value)
        } else if let Some(lacking) = upstream::lacking(&Self::Without.path(option)) {
            lacking.accept(value)
        } else {
            let near = suggest::near(option, NAMES.iter().copied()).map(|near| self.path(near));
            Err(Problem::Unknown { what: Name::Key, near })
        }
    }

    /// The options, which are made if there are none.
    fn options(self, settings: &mut Settings) -> &mut ChannelOptions {
        match self {
            Self::Without => settings.channel.without_namespace.get_or_insert_default(),
            Self::Element(index) => &mut element(settings, index).options,
        }
    }
}

/// A namespace of the list, which is made longer if need be.
fn element(settings: &mut Settings, index: usize) -> &mut Namespace {
    let namespaces = &mut settings.channel.namespaces;
    if namespaces.len() <= index {
        namespaces.resize_with(index + 1, Namespace::default);
    }
    &mut namespaces[index]
}

/// The place in the list of the namespace of this name, which is added if it is not there.
pub(super) fn named(settings: &mut Settings, name: &str) -> usize {
    let namespaces = &mut settings.channel.namespaces;
    namespaces.iter().position(|space| space.name == name).unwrap_or_else(|| {
        namespaces.push(Namespace { name: name.to_owned(), options: ChannelOptions::default() });
        namespaces.len() - 1
    })
}

/// The namespaces that a variable lists, by names separated by spaces or as JSON: the options of each, with its name. In a file they
/// are tables.
pub(super) fn listed(value: &Value) -> Result<Vec<BTreeMap<String, Value>>, Problem> {
    match value {
        Value::Untyped(text) if text.trim_start().starts_with('[') => {
            let tables: Vec<BTreeMap<String, serde_json::Value>> =
                serde_json::from_str(text).map_err(|_| {
                    value.is_not("names separated by spaces, or JSON such as [{\"name\": \"news\"}]")
                })?;
            let typed = |(option, value)| (option, Value::from_json(value));
            Ok(tables.into_iter().map(|table| table.into_iter().map(typed).collect()).collect())
        }
        Value::Untyped(_) => {
            let named = |name| BTreeMap::from([("name".to_owned(), Value::Text(name))]);
            Ok(value.texts()?.into_iter().map(named).collect())
        }
        Value::List(none) if none.is_empty() => Ok(Vec::new()),
        _ => Err(value.is_not("tables, each under [[channel.namespaces]]")),
    }
}

/// The option that a variable sets, as a path: `rest` follows `THRONG_CHANNEL_NAMESPACES_` in its name, for example
/// `NEWS_PRESENCE` for the namespace `news`.
pub(super) fn variable(settings: &Settings, rest: &str) -> Result<String, Problem> {
    let mut paths = Vec::new();
    let mut near = None;
    for (index, space) in settings.channel.namespaces.iter().enumerate() {
        let capitals = space.name.replace(['-', '.'], "_").to_ascii_uppercase();
        let Some(wanted) = rest.strip_prefix(&capitals).and_then(|rest| rest.strip_prefix('_')) else {
            continue;
        };
        if let Some(option) = option_of(wanted) {
            paths.push(Scope::Element(index).path(&option));
        } else if let Some(option) = suggest::near(wanted, NAMES.iter().copied()) {
            near = Some(environment::variable(&format!("{LIST}.{capitals}.{option}")));
        }
    }
    match (paths.pop(), near) {
        (Some(path), _) if paths.is_empty() => Ok(path),
        (Some(_), _) => Err(Problem::Ambiguous),
        (None, Some(near)) => Err(Problem::Unknown { what: Name::Variable, near: Some(near) }),
        (None, None) => Err(Problem::NoNamespace),
    }
}

/// The option whose name in capitals this is, served or lacking.
fn option_of(capitals: &str) -> Option<String> {
    let is_it = |name: &&str| name.replace('.', "_").eq_ignore_ascii_case(capitals);
    if let Some(name) = NAMES.iter().find(|name| is_it(name)) {
        return Some((*name).to_owned());
    }
    LACKING.iter().find_map(|option| {
        let path = option.path.strip_prefix(WITHOUT)?.strip_prefix('.')?;
        match path.strip_suffix(".*") {
            None => is_it(&path).then(|| path.to_owned()),
            Some(table) => {
                let rest = capitals.strip_prefix(&format!("{}_", table.to_ascii_uppercase()))?;
                Some(format!("{table}.{}", rest.to_ascii_lowercase()))
            }
        }
    })
}

/// What is wrong with single options, for settings that no source was read for.
pub(super) fn out_of_range(settings: &Settings) -> impl Iterator<Item = Fault> {
    scopes(settings).flat_map(|(scope, options)| {
        OPTIONS.iter().filter_map(move |option| {
            let problem = option.check(options).err()?;
            Some(Fault { place: Place::Program, key: scope.path(option.path), problem })
        })
    })
}

/// The rules for namespaces and between their options that the settings break.
pub(super) fn broken(settings: &Settings) -> Vec<Broken> {
    let spaces = &settings.channel.namespaces;
    let mut broken: Vec<Broken> = spaces
        .iter()
        .enumerate()
        .filter_map(|(index, space)| {
            let problem = wrong_name(&space.name, &spaces[..index])?;
            Some(Broken { key: Scope::Element(index).path("name"), others: Vec::new(), problem })
        })
        .collect();
    if spaces.len() > MAX_COUNT {
        let (found, min, max) = (format!("a list of {}", spaces.len()), "0".into(), MAX_COUNT.to_string());
        let others = vec![Scope::Element(MAX_COUNT).path("name")];
        broken.push(Broken { key: LIST.into(), others, problem: Problem::OutOfRange { found, min, max } });
    }
    for (scope, options) in scopes(settings) {
        let found = contradictions(options, settings.channel.history_meta_ttl).into_iter();
        broken.extend(found.map(|found| {
            Broken {
                key: scope.path(found.option),
                others: found
                    .others
                    .iter()
                    .flat_map(|other| [scope.path(other), format!("channel.{other}")])
                    .collect(),
                problem: Problem::Contradiction { rule: found.rule, remedy: found.remedy },
            }
        }));
    }
    broken.extend(personal(settings));
    broken
}

/// The options of channels without a namespace, where they were set, and those of each namespace.
fn scopes(settings: &Settings) -> impl Iterator<Item = (Scope, &ChannelOptions)> {
    let without = settings.channel.without_namespace.iter().map(|options| (Scope::Without, options));
    let elements = settings.channel.namespaces.iter().enumerate();
    without.chain(elements.map(|(index, space)| (Scope::Element(index), &space.options)))
}

fn wrong_name(name: &str, earlier: &[Namespace]) -> Option<Problem> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let rule = if name.len() < 2 || !name.bytes().all(plain) {
        "is not the name of a namespace"
    } else if name == RESERVED {
        "is the namespace of the relay's rooms"
    } else if earlier.iter().any(|space| space.name == name) {
        "is there already"
    } else {
        return None;
    };
    let good = "another name, of 2 or more letters, digits, and - _ .";
    Some(Problem::Malformed { found: format!("{name:?}"), rule, good })
}

/// Personal channels in a namespace that does not exist.
fn personal(settings: &Settings) -> Option<Broken> {
    let personal = &settings.client.subscribe_to_user_personal_channel;
    let name = &personal.personal_channel_namespace;
    if !personal.enabled
        || name.is_empty()
        || settings.channel.namespaces.iter().any(|space| space.name == *name)
    {
        return None;
    }
    Some(Broken {
        key: "client.subscribe_to_user_personal_channel.personal_channel_namespace".into(),
        others: Vec::new(),
        problem: Problem::Malformed {
            found: format!("{name:?}"),
            rule: "is no namespace",
            good: "the name of one of channel.namespaces, or \"\"",
        },
    })
}
