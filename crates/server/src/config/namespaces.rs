//! Where the options of channels stand in the sources.

use std::collections::BTreeMap;

use super::{
    channel::{ChannelOptions, Namespace},
    environment,
    fault::{Place, Problem},
    options::{OPTIONS, contradictions},
    settings::Settings,
    value::Value,
};

const WITHOUT: &str = "channel.without_namespace";
pub(super) const LIST: &str = "channel.namespaces";

/// The namespace of the relay's rooms.
const RESERVED: &str = "relay";

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

    /// The options, which are made if there are none.
    pub(super) fn options(self, settings: &mut Settings) -> &mut ChannelOptions {
        match self {
            Self::Without => settings.channel.without_namespace.get_or_insert_default(),
            Self::Element(index) => &mut element(settings, index).options,
        }
    }
}

/// A namespace of the list, which is made longer if need be.
pub(super) fn element(settings: &mut Settings, index: usize) -> &mut Namespace {
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

/// The namespaces that a variable names, separated by spaces. In a file they are tables.
pub(super) fn names(value: &Value) -> Result<Vec<String>, Problem> {
    match value {
        Value::Untyped(text) if text.trim() == "[]" => Ok(Vec::new()),
        Value::Untyped(_) => value.texts(),
        Value::List(none) if none.is_empty() => Ok(Vec::new()),
        _ => Err(value.is_not("tables, each under [[channel.namespaces]]")),
    }
}

/// The option that an environment variable sets, as a path: `THRONG_CHANNEL_NAMESPACES_NEWS_PRESENCE` for the namespace `news`.
pub(super) fn variable(settings: &Settings, name: &str) -> Option<String> {
    let scopes = (0..settings.channel.namespaces.len()).map(Scope::Element);
    let found = |scope: Scope| {
        let table = match scope {
            Scope::Without => WITHOUT.to_owned(),
            Scope::Element(index) => {
                let name = &settings.channel.namespaces[index].name;
                format!("{LIST}.{}", name.replace(['-', '.'], "_"))
            }
        };
        let is_it = |option: &&str| environment::variable(&format!("{table}.{option}")) == name;
        OPTIONS.iter().map(|option| option.path).find(is_it).map(|option| scope.path(option))
    };
    std::iter::once(Scope::Without).chain(scopes).find_map(found)
}

/// What is wrong with namespaces and their options: the path of the key, and the problem.
pub(super) fn check(settings: &Settings) -> Vec<(String, Problem)> {
    let mut problems = Vec::new();
    let spaces = &settings.channel.namespaces;
    for (index, space) in spaces.iter().enumerate() {
        let scope = Scope::Element(index);
        let earlier = &spaces[..index];
        if let Some(problem) = wrong_name(&space.name, earlier) {
            problems.push((scope.path("name"), problem));
        }
        problems.extend(contradicting(scope, &space.options, settings));
    }
    if let Some(options) = &settings.channel.without_namespace {
        problems.extend(contradicting(Scope::Without, options, settings));
    }
    let personal = &settings.client.subscribe_to_user_personal_channel;
    let name = &personal.personal_channel_namespace;
    if !name.is_empty() && spaces.iter().all(|space| space.name != *name) {
        let key = "client.subscribe_to_user_personal_channel.personal_channel_namespace".to_owned();
        let problem = Problem::Malformed {
            found: format!("{name:?}"),
            rule: "is no namespace",
            good: "the name of one of channel.namespaces, or \"\"",
        };
        problems.push((key, problem));
    }
    problems
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

fn contradicting<'o>(
    scope: Scope,
    options: &'o ChannelOptions,
    settings: &Settings,
) -> impl Iterator<Item = (String, Problem)> + use<'o> {
    contradictions(options, settings.channel.history_meta_ttl).into_iter().map(move |found| {
        (scope.path(found.option), Problem::Contradiction { rule: found.rule, remedy: found.remedy })
    })
}

/// The namespaces and their options as TOML.
pub(super) fn print(settings: &Settings, places: &BTreeMap<String, Place>, toml: &mut String) {
    use std::fmt::Write;

    let without = settings.channel.without_namespace.as_ref();
    let tables = without.map(|options| (Scope::Without, "", options));
    let elements = settings.channel.namespaces.iter().enumerate();
    let elements =
        elements.map(|(index, space)| (Scope::Element(index), space.name.as_str(), &space.options));
    for (scope, name, options) in tables.into_iter().chain(elements) {
        let _ = match scope {
            Scope::Without => write!(toml, "\n[{WITHOUT}]\n"),
            Scope::Element(_) => write!(toml, "\n[[{LIST}]]\nname = {name:?}\n"),
        };
        for option in OPTIONS {
            if let Some(value) = option.get(options) {
                let place = places.get(&scope.path(option.path));
                let place = place.map_or_else(String::new, |place| format!("  # {place}"));
                let _ = writeln!(toml, "{} = {value}{place}", option.path);
            }
        }
    }
}
