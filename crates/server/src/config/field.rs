//! What a key sets, and which values it takes.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    channel::{ChannelRegex, DataFormat, DeltaType, RecoveryMode, SlowConsumer},
    door::ProxyProtocol,
    duration::{self, Span},
    fault::Problem,
    network::{Network, NetworkError},
    rules,
    secret::{self, Secret},
    settings::{LogFormat, Settings, Shards},
    tls::{ClientAuth, Pem, TlsVersion},
    value::Value,
};

/// A key of the configuration, and what it sets.
#[derive(Debug)]
pub(super) struct Key<S: 'static = Settings> {
    /// Table and name, for example `client.ping_interval`.
    pub(super) path: &'static str,
    pub(super) field: Field<S>,
}

/// Finds a field in what is set.
type At<S, T> = fn(&mut S) -> &mut T;

/// The type of a key, the values it takes, and the field it sets.
#[derive(Debug)]
pub(super) enum Field<S: 'static> {
    Address(At<S, IpAddr>),
    Port(At<S, u16>),
    /// An empty text is unset.
    OptionalAddress(At<S, Option<IpAddr>>),
    /// An empty text is unset.
    OptionalPort(At<S, Option<u16>>),
    Proxy(At<S, ProxyProtocol>),
    Networks(At<S, Vec<Network>>),
    Switch(At<S, bool>),
    /// On, off, or as the address suggests.
    Toggle(At<S, Option<bool>>),
    Count(RangeInclusive<usize>, At<S, usize>),
    SmallCount(RangeInclusive<u32>, At<S, u32>),
    /// 0 is no limit of its own.
    Limit(At<S, Option<usize>>),
    /// 0 is a share of what the machine has.
    Share(RangeInclusive<usize>, At<S, Option<usize>>),
    /// 0 is one for each core.
    Cores(At<S, usize>),
    Duration(RangeInclusive<Duration>, At<S, Duration>),
    /// 0 is off.
    Ttl(RangeInclusive<Duration>, At<S, Duration>),
    /// A negative duration is off.
    Clock(RangeInclusive<Duration>, At<S, Option<Duration>>),
    Text(rules::TextRule, At<S, String>),
    Origins(At<S, Option<Vec<String>>>),
    /// Text without rules.
    Free(At<S, String>),
    /// Text that is never shown, and the field for the path of a file that it was read from.
    Secret(secret::Rule, At<S, Secret>, At<S, String>),
    /// The path of a file that holds a secret, and the field for the secret.
    SecretFile(secret::Rule, At<S, String>, At<S, Secret>),
    /// A time in Unix seconds.
    Unix(At<S, i64>),
    /// An empty text or 0 is unset.
    OptionalDuration(RangeInclusive<Duration>, At<S, Option<Duration>>),
    /// `"transport"` or nothing.
    ErrorMode(At<S, bool>),
    Format(At<S, LogFormat>),
    Data(At<S, DataFormat>),
    /// As the options above say, if it is unset.
    OptionalData(At<S, Option<DataFormat>>),
    Recovery(At<S, RecoveryMode>),
    Deltas(At<S, Vec<DeltaType>>),
    Slow(At<S, SlowConsumer>),
    Regex(At<S, Option<ChannelRegex>>),
    /// Certificates in PEM, or the path of a file that holds them.
    Pem(At<S, Pem>),
    /// The same of a key, which is never shown.
    PemKey(At<S, Pem>),
    ClientAuth(At<S, ClientAuth>),
    TlsVersion(At<S, TlsVersion>),
}

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

pub(super) const fn key<S>(path: &'static str, field: Field<S>) -> Key<S> {
    Key { path, field }
}

impl<S: Clone + 'static> Key<S> {
    /// Sets the field, if the value is one that the key takes.
    pub(super) fn set(&self, settings: &mut S, value: &Value) -> Result<(), Problem> {
        match &self.field {
            Field::Address(at) => *at(settings) = address(value)?,
            Field::Port(at) => *at(settings) = whole(value, &(0..=u16::MAX))?,
            Field::OptionalAddress(at) => *at(settings) = optional(value, address)?,
            Field::OptionalPort(at) => *at(settings) = optional(value, port)?,
            Field::Proxy(at) => *at(settings) = choice(value, &PROXY_PROTOCOLS)?,
            Field::Networks(at) => *at(settings) = networks(value)?,
            Field::Share(range, at) => *at(settings) = whole_unless_0(value, range)?,
            Field::Switch(at) => *at(settings) = value.boolean()?,
            Field::Toggle(at) => *at(settings) = Some(value.boolean()?),
            Field::Count(range, at) => *at(settings) = whole(value, range)?,
            Field::SmallCount(range, at) => *at(settings) = whole(value, range)?,
            Field::Limit(at) => *at(settings) = whole_unless_0(value, &(1..=1_000_000))?,
            Field::Cores(at) => *at(settings) = cores(value)?,
            Field::Duration(range, at) => *at(settings) = within(value, range)?,
            Field::Clock(range, at) => *at(settings) = clock(value, range)?,
            Field::Text(rule, at) => *at(settings) = rule(value.text()?)?.to_owned(),
            Field::Origins(at) => *at(settings) = Some(origins(value)?),
            Field::Ttl(range, at) => *at(settings) = ttl(value, range)?.unwrap_or_default(),
            Field::Free(at) => *at(settings) = value.text()?.to_owned(),
            Field::Secret(rule, at, file) => {
                let text = secret::given(value, *rule)?;
                match (text.is_empty(), file(settings).is_empty()) {
                    // An empty text takes back what another source gave in the same way, and nothing else.
                    (_, true) => *at(settings) = text.into(),
                    (true, false) => {}
                    (false, false) => return Err(Problem::Twice),
                }
            }
            Field::SecretFile(rule, file, at) => {
                let path = value.text()?;
                match (path.is_empty(), file(settings).is_empty(), at(settings).is_empty()) {
                    (true, true, _) => {}
                    (false, true, false) => return Err(Problem::Twice),
                    (true, false, _) => (*file(settings), *at(settings)) = Default::default(),
                    (false, _, _) => {
                        *at(settings) = secret::read(path, *rule)?.into();
                        *file(settings) = path.to_owned();
                    }
                }
            }
            Field::Unix(at) => *at(settings) = whole(value, &(0..=LAST_SECOND))?,
            Field::OptionalDuration(range, at) => *at(settings) = ttl(value, range)?,
            Field::ErrorMode(at) => *at(settings) = choice(value, &ERROR_MODES)?,
            Field::Format(at) => *at(settings) = choice(value, &LOG_FORMATS)?,
            Field::Data(at) => *at(settings) = choice(value, &DATA_FORMATS)?,
            Field::OptionalData(at) => {
                let unset = value.text().is_ok_and(str::is_empty);
                *at(settings) = if unset { None } else { Some(choice(value, &DATA_FORMATS)?) };
            }
            Field::Recovery(at) => *at(settings) = choice(value, &RECOVERY_MODES)?,
            Field::Deltas(at) => *at(settings) = deltas(value)?,
            Field::Slow(at) => *at(settings) = choice(value, &SLOW_CONSUMERS)?,
            Field::Regex(at) => *at(settings) = regex(value)?,
            Field::Pem(at) | Field::PemKey(at) => *at(settings) = pem(value)?,
            Field::ClientAuth(at) => *at(settings) = choice(value, &CLIENT_AUTHS)?,
            Field::TlsVersion(at) => *at(settings) = choice(value, &TLS_VERSIONS)?,
        }
        Ok(())
    }

    /// The value that the key has; `None` when it is unset and so follows from something else.
    pub(super) fn get(&self, settings: &S) -> Option<Value> {
        let settings = &mut settings.clone();
        Some(match &self.field {
            Field::Address(at) => Value::Text(at(settings).to_string()),
            Field::Port(at) => Value::Integer((*at(settings)).into()),
            Field::OptionalAddress(at) => Value::Text(shown(at(settings).as_ref())),
            Field::OptionalPort(at) => Value::Text(shown(at(settings).as_ref())),
            Field::Proxy(at) => name_of(*at(settings), &PROXY_PROTOCOLS),
            Field::Networks(at) => {
                Value::List(at(settings).iter().map(|network| Value::Text(network.to_string())).collect())
            }
            Field::Share(_, at) => count(at(settings).unwrap_or(0)),
            Field::Switch(at) => Value::Boolean(*at(settings)),
            Field::Toggle(at) => Value::Boolean((*at(settings))?),
            Field::Count(_, at) | Field::Cores(at) => count(*at(settings)),
            Field::SmallCount(_, at) => Value::Integer((*at(settings)).into()),
            Field::Limit(at) => count(at(settings).unwrap_or(0)),
            Field::Duration(_, at) => Value::Text(duration::show(*at(settings))),
            Field::Clock(_, at) => Value::Text(at(settings).map_or_else(|| "-1s".into(), duration::show)),
            Field::Text(_, at) => Value::Text(at(settings).clone()),
            Field::Origins(at) => {
                Value::List(at(settings).as_ref()?.iter().cloned().map(Value::Text).collect())
            }
            Field::Ttl(_, at) => Value::Text(duration::show(*at(settings))),
            Field::Free(at) => Value::Text(at(settings).clone()),
            // Whoever reads the printed settings must not learn it.
            Field::Secret(_, at, file) => {
                let shown = at(settings).is_empty() || !file(settings).is_empty();
                return shown.then(|| Value::Text(String::new()));
            }
            Field::SecretFile(_, file, _) => Value::Text(file(settings).clone()),
            Field::Unix(at) => Value::Integer((*at(settings)).into()),
            Field::OptionalDuration(_, at) => {
                Value::Text(at(settings).map_or_else(|| "0s".into(), duration::show))
            }
            Field::ErrorMode(at) => name_of(*at(settings), &ERROR_MODES),
            Field::Format(at) => name_of(*at(settings), &LOG_FORMATS),
            Field::Data(at) => name_of(*at(settings), &DATA_FORMATS),
            Field::OptionalData(at) => {
                at(settings).map_or_else(|| Value::Text(String::new()), |data| name_of(data, &DATA_FORMATS))
            }
            Field::Recovery(at) => name_of(*at(settings), &RECOVERY_MODES),
            Field::Deltas(at) => {
                Value::List(at(settings).iter().map(|delta| name_of(*delta, &DELTA_TYPES)).collect())
            }
            Field::Slow(at) => name_of(*at(settings), &SLOW_CONSUMERS),
            Field::Regex(at) => {
                let text = at(settings).as_ref().map_or("", ChannelRegex::as_str);
                Value::Text(text.to_owned())
            }
            Field::Pem(at) => Value::Text(at(settings).as_str().to_owned()),
            Field::PemKey(at) => {
                let pem = at(settings);
                return (pem.is_empty() || pem.path().is_some())
                    .then(|| Value::Text(pem.as_str().to_owned()));
            }
            Field::ClientAuth(at) => name_of(*at(settings), &CLIENT_AUTHS),
            Field::TlsVersion(at) => name_of(*at(settings), &TLS_VERSIONS),
        })
    }

    /// What is wrong with the value that the key has, for settings that no source was read for.
    pub(super) fn check(&self, settings: &S) -> Result<(), Problem> {
        // A value that is not shown cannot be set again either, and a file is read only once.
        if let Field::Secret(rule, at, _) = &self.field {
            return rule(at(&mut settings.clone()).expose()).map(|_| ());
        } else if let Field::SecretFile(..) = &self.field {
            return Ok(());
        }
        let Some(value) = self.get(settings) else { return Ok(()) };
        // 0 shards stand for "one for each core" in a source, but are none in the settings.
        if let (Field::Cores(_), Value::Integer(0)) = (&self.field, &value) {
            return Err(out_of_range(&value, 1, Shards::MAX_COUNT));
        }
        self.set(&mut settings.clone(), &value)
    }
}

/// So many, or one for each core.
fn cores(value: &Value) -> Result<usize, Problem> {
    let count = whole(value, &(0..=Shards::MAX_COUNT))?;
    Ok(if count == 0 { Shards::default().count } else { count })
}

/// A count as a number of unlimited width, which a `usize` always fits.
fn count(count: usize) -> Value {
    Value::Integer(i128::try_from(count).unwrap_or(i128::MAX))
}

fn whole<T>(value: &Value, range: &RangeInclusive<T>) -> Result<T, Problem>
where
    T: TryFrom<i128> + PartialOrd + Display,
{
    let number = value.integer()?;
    T::try_from(number)
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| out_of_range(&Value::Integer(number), range.start(), range.end()))
}

/// A number that 0 leaves unset.
fn whole_unless_0(value: &Value, range: &RangeInclusive<usize>) -> Result<Option<usize>, Problem> {
    if value.integer()? == 0 { Ok(None) } else { whole(value, range).map(Some) }
}

fn out_of_range(found: &Value, min: impl ToString, max: impl ToString) -> Problem {
    Problem::OutOfRange { found: found.to_string(), min: min.to_string(), max: max.to_string() }
}

fn within(value: &Value, range: &RangeInclusive<Duration>) -> Result<Duration, Problem> {
    let show = |length: &Duration| Value::Text(duration::show(*length)).to_string();
    match value.span()? {
        Span::Length(length) if range.contains(&length) => Ok(length),
        Span::Length(_) | Span::Negative => Err(out_of_range(value, show(range.start()), show(range.end()))),
    }
}

fn clock(value: &Value, range: &RangeInclusive<Duration>) -> Result<Option<Duration>, Problem> {
    match value.span()? {
        Span::Negative => Ok(None),
        // Upstream takes 0 for its library's default, which is neither "off" nor what is written here.
        Span::Length(Duration::ZERO) => Err(Problem::Malformed {
            found: value.to_string(),
            rule: "says neither a time nor \"off\"",
            good: "a duration such as \"25s\", or \"-1s\" for off",
        }),
        Span::Length(_) => within(value, range).map(Some),
    }
}

/// An address; upstream's empty text means all of them.
fn address(value: &Value) -> Result<IpAddr, Problem> {
    match value.text()? {
        "" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| value.is_not("an address such as \"127.0.0.1\" or \"::1\"")),
    }
}

/// What an empty text leaves unset.
fn optional<T>(value: &Value, read: fn(&Value) -> Result<T, Problem>) -> Result<Option<T>, Problem> {
    if value.text().is_ok_and(str::is_empty) { Ok(None) } else { read(value).map(Some) }
}

fn shown(value: Option<&impl ToString>) -> String {
    value.map_or_else(String::new, ToString::to_string)
}

/// A port, which upstream writes as a text.
fn port(value: &Value) -> Result<u16, Problem> {
    match value {
        Value::Text(text) => whole(&Value::Untyped(text.clone()), &(0..=u16::MAX)),
        _ => whole(value, &(0..=u16::MAX)),
    }
}

fn networks(value: &Value) -> Result<Vec<Network>, Problem> {
    const MAX: usize = 1_000;
    const GOOD: &str = "networks such as \"10.0.0.0/8\" or \"2001:db8::1\"";

    let texts = value.texts()?;
    if texts.len() > MAX {
        return Err(out_of_range(&Value::Integer(texts.len() as i128), 0, MAX));
    }
    let network = |text: &String| {
        let malformed = |rule| Problem::Malformed { found: format!("{text:?}"), rule, good: GOOD };
        match text.parse::<Network>() {
            Ok(network) if network.prefix() == 0 => {
                Err(malformed("is everybody, so that anybody could forge an address"))
            }
            Ok(network) => Ok(network),
            Err(NetworkError::Malformed) => Err(malformed("is not a network")),
            Err(NetworkError::HostBits) => Err(malformed("has bits set behind its prefix")),
        }
    };
    texts.iter().map(network).collect()
}

fn origins(value: &Value) -> Result<Vec<String>, Problem> {
    let patterns = value.texts()?;
    patterns.iter().try_for_each(|pattern| rules::origin_pattern(pattern))?;
    Ok(patterns)
}

/// A duration that may be off.
fn ttl(value: &Value, range: &RangeInclusive<Duration>) -> Result<Option<Duration>, Problem> {
    match value.span() {
        Ok(Span::Length(Duration::ZERO)) => Ok(None),
        Ok(_) => within(value, range).map(Some),
        Err(_) if matches!(value.integer(), Ok(0)) || value.text().is_ok_and(str::is_empty) => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// The values of a type, by their names; the first is what an empty text means.
type Names<T, const N: usize> = [(&'static str, T); N];

const LOG_FORMATS: Names<LogFormat, 2> = [("text", LogFormat::Text), ("json", LogFormat::Json)];
const ERROR_MODES: Names<bool, 2> = [("", false), ("transport", true)];
const PROXY_PROTOCOLS: Names<ProxyProtocol, 4> = [
    ("none", ProxyProtocol::None),
    ("forwarded", ProxyProtocol::Forwarded),
    ("x-forwarded-for", ProxyProtocol::XForwardedFor),
    ("proxy", ProxyProtocol::Proxy),
];
const DATA_FORMATS: Names<DataFormat, 3> =
    [("json", DataFormat::Json), ("json_object", DataFormat::JsonObject), ("binary", DataFormat::Binary)];
const RECOVERY_MODES: Names<RecoveryMode, 2> =
    [("stream", RecoveryMode::Stream), ("cache", RecoveryMode::Cache)];
const DELTA_TYPES: Names<DeltaType, 1> = [("fossil", DeltaType::Fossil)];
const CLIENT_AUTHS: Names<ClientAuth, 2> =
    [("required", ClientAuth::Required), ("optional", ClientAuth::Optional)];
const TLS_VERSIONS: Names<TlsVersion, 2> = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
const SLOW_CONSUMERS: Names<SlowConsumer, 4> = [
    ("disconnect", SlowConsumer::Disconnect),
    ("drop_oldest", SlowConsumer::DropOldest),
    ("drop_newest", SlowConsumer::DropNewest),
    ("keep_latest", SlowConsumer::KeepLatest),
];

/// PEM, which is not repeated in a fault.
fn pem(value: &Value) -> Result<Pem, Problem> {
    let expected = "text in quotes";
    let text = value.text().map_err(|_| Problem::WrongType { expected, found: "the value".into() })?;
    Ok(Pem::from(text))
}

fn choice<T: Copy, const N: usize>(value: &Value, names: &Names<T, N>) -> Result<T, Problem> {
    let text = value.text()?;
    let named = |(name, _): &&(&str, T)| *name == text || text.is_empty() && *name == names[0].0;
    let known = || names.iter().map(|(name, _)| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    names
        .iter()
        .find(named)
        .map(|(_, value)| *value)
        .ok_or_else(|| Problem::NoneOf { found: value.to_string(), known: known() })
}

fn name_of<T: PartialEq, const N: usize>(value: T, names: &Names<T, N>) -> Value {
    let name = names.iter().find(|(_, named)| *named == value).map_or("", |(name, _)| name);
    Value::Text(name.to_owned())
}

fn deltas(value: &Value) -> Result<Vec<DeltaType>, Problem> {
    if value.text().is_ok_and(str::is_empty) {
        return Ok(Vec::new());
    }
    value.texts()?.into_iter().map(|name| choice(&Value::Text(name), &DELTA_TYPES)).collect()
}

fn regex(value: &Value) -> Result<Option<ChannelRegex>, Problem> {
    let text = value.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    ChannelRegex::new(text)
        .map(Some)
        .map_err(|error| Problem::BadRegex { found: value.to_string(), reason: error.to_string() })
}
