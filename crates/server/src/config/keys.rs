//! The keys that throng serves: where each one lives in [`Settings`], and which values it takes.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    time::Duration,
};

use super::{
    duration::{self, Span},
    fault::Problem,
    rules,
    settings::{LogFormat, Settings, Shards},
    value::Value,
};

/// A key of the configuration, and what it sets.
#[derive(Debug)]
pub(super) struct Key {
    /// Table and name, for example `client.ping_interval`.
    pub(super) path: &'static str,
    field: Field,
}

/// Finds a field in the settings.
type At<T> = fn(&mut Settings) -> &mut T;

/// The type of a key, the values it takes, and the field it sets.
#[derive(Debug)]
enum Field {
    Address(At<IpAddr>),
    Port(At<u16>),
    Switch(At<bool>),
    /// On, off, or as the address suggests.
    Toggle(At<Option<bool>>),
    Count(RangeInclusive<usize>, At<usize>),
    SmallCount(RangeInclusive<u32>, At<u32>),
    /// 0 is no limit of its own.
    Limit(At<Option<usize>>),
    /// 0 is one for each core.
    Cores(At<usize>),
    Duration(RangeInclusive<Duration>, At<Duration>),
    /// A negative duration is off.
    Clock(RangeInclusive<Duration>, At<Option<Duration>>),
    Text(rules::TextRule, At<String>),
    Origins(At<Option<Vec<String>>>),
    Format(At<LogFormat>),
}

const fn key(path: &'static str, field: Field) -> Key {
    Key { path, field }
}

/// Sizes and counts have an upper end, too, so that a slip of the finger does not switch a limit off.
const COUNT: RangeInclusive<usize> = 1..=1_000_000;
const BYTES: RangeInclusive<usize> = 1..=GIB;
const GIB: usize = 1 << 30;
const SHORT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);
/// The connect reply tells clients the ping interval in whole seconds, where 0 means "no pings".
const PING: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Every key that throng serves, table by table, in the order in which they are printed.
pub(super) static KEYS: &[Key] = &[
    key("http_server.address", Field::Address(|s| &mut s.http_server.address)),
    key("http_server.port", Field::Port(|s| &mut s.http_server.port)),
    key(
        "client.allow_anonymous_connect_without_token",
        Field::Switch(|s| &mut s.client.allow_anonymous_connect_without_token),
    ),
    key("client.allowed_origins", Field::Origins(|s| &mut s.client.allowed_origins)),
    key("client.ping_interval", Field::Clock(PING, |s| &mut s.client.ping_interval)),
    key("client.pong_timeout", Field::Clock(SHORT, |s| &mut s.client.pong_timeout)),
    key("client.stale_close_delay", Field::Duration(SHORT, |s| &mut s.client.stale_close_delay)),
    key("client.channel_limit", Field::Count(COUNT, |s| &mut s.client.channel_limit)),
    key("client.queue_max_size", Field::Count(BYTES, |s| &mut s.client.queue_max_size)),
    key("client.queue_max_messages", Field::Count(COUNT, |s| &mut s.client.queue_max_messages)),
    key("client.frame_command_limit", Field::Count(COUNT, |s| &mut s.client.frame_command_limit)),
    key("client.connection_limit", Field::Limit(|s| &mut s.client.connection_limit)),
    key("client.address_connection_limit", Field::Count(COUNT, |s| &mut s.client.address_connection_limit)),
    key(
        "client.address_limit_includes_loopback",
        Field::Switch(|s| &mut s.client.address_limit_includes_loopback),
    ),
    key("websocket.handler_prefix", Field::Text(rules::endpoint, |s| &mut s.websocket.handler_prefix)),
    key("websocket.message_size_limit", Field::Count(BYTES, |s| &mut s.websocket.message_size_limit)),
    key("websocket.handshake_timeout", Field::Duration(SHORT, |s| &mut s.websocket.handshake_timeout)),
    key(
        "websocket.header_max_size",
        Field::Count(8 * 1024..=1024 * 1024, |s| &mut s.websocket.header_max_size),
    ),
    key("channel.max_length", Field::Count(1..=255, |s| &mut s.channel.max_length)),
    key("relay.enabled", Field::Toggle(|s| &mut s.relay.enabled)),
    key("relay.default_room", Field::Text(rules::room, |s| &mut s.relay.default_room)),
    key("relay.message_size_limit", Field::Count(BYTES, |s| &mut s.relay.message_size_limit)),
    key("echo.enabled", Field::Toggle(|s| &mut s.echo.enabled)),
    key("echo.message_size_limit", Field::Count(BYTES, |s| &mut s.echo.message_size_limit)),
    key("echo.max_fragments", Field::SmallCount(1..=1_000_000, |s| &mut s.echo.max_fragments)),
    key("shards.count", Field::Cores(|s| &mut s.shards.count)),
    key("shards.queue_capacity", Field::Count(COUNT, |s| &mut s.shards.queue_capacity)),
    key("shards.publish_wait", Field::Duration(SHORT, |s| &mut s.shards.publish_wait)),
    key("shards.backlog_max_size", Field::Count(1..=64 * GIB, |s| &mut s.shards.backlog_max_size)),
    key("shutdown.timeout", Field::Duration(SHORT, |s| &mut s.shutdown.timeout)),
    key("shutdown.close_timeout", Field::Duration(SHORT, |s| &mut s.shutdown.close_timeout)),
    key("log.level", Field::Text(rules::log_level, |s| &mut s.log.level)),
    key("log.format", Field::Format(|s| &mut s.log.format)),
    key("health.enabled", Field::Switch(|s| &mut s.health.enabled)),
    key("prometheus.enabled", Field::Toggle(|s| &mut s.prometheus.enabled)),
];

impl Key {
    /// The key at a path, if throng serves it.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// Sets the field, if the value is one that the key takes.
    pub(super) fn set(&self, settings: &mut Settings, value: &Value) -> Result<(), Problem> {
        match &self.field {
            Field::Address(at) => *at(settings) = address(value)?,
            Field::Port(at) => *at(settings) = whole(value, &(0..=u16::MAX))?,
            Field::Switch(at) => *at(settings) = value.boolean()?,
            Field::Toggle(at) => *at(settings) = Some(value.boolean()?),
            Field::Count(range, at) => *at(settings) = whole(value, range)?,
            Field::SmallCount(range, at) => *at(settings) = whole(value, range)?,
            Field::Limit(at) => {
                let limit = whole(value, &(0..=*COUNT.end()))?;
                *at(settings) = (limit > 0).then_some(limit);
            }
            Field::Cores(at) => {
                let count = whole(value, &(0..=Shards::MAX_COUNT))?;
                *at(settings) = if count == 0 { Shards::default().count } else { count };
            }
            Field::Duration(range, at) => *at(settings) = within(value, range)?,
            Field::Clock(range, at) => *at(settings) = clock(value, range)?,
            Field::Text(rule, at) => *at(settings) = rule(value.text()?)?.to_owned(),
            Field::Origins(at) => *at(settings) = Some(origins(value)?),
            Field::Format(at) => *at(settings) = format(value)?,
        }
        Ok(())
    }

    /// The value that the key has; `None` when it is unset and so follows from something else.
    pub(super) fn get(&self, settings: &Settings) -> Option<Value> {
        let settings = &mut settings.clone();
        Some(match &self.field {
            Field::Address(at) => Value::Text(at(settings).to_string()),
            Field::Port(at) => Value::Integer((*at(settings)).into()),
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
            Field::Format(at) => Value::Text(match at(settings) {
                LogFormat::Text => "text".into(),
                LogFormat::Json => "json".into(),
            }),
        })
    }

    /// What is wrong with the value that the key has, for settings that no source was read for.
    pub(super) fn check(&self, settings: &Settings) -> Result<(), Problem> {
        let Some(value) = self.get(settings) else { return Ok(()) };
        // 0 shards stand for "one for each core" in a source, but are none in the settings.
        if let (Field::Cores(_), Value::Integer(0)) = (&self.field, &value) {
            return Err(out_of_range(&value, 1, Shards::MAX_COUNT));
        }
        self.set(&mut settings.clone(), &value)
    }
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

fn origins(value: &Value) -> Result<Vec<String>, Problem> {
    let patterns = value.texts()?;
    patterns.iter().try_for_each(|pattern| rules::origin_pattern(pattern))?;
    Ok(patterns)
}

fn format(value: &Value) -> Result<LogFormat, Problem> {
    match value.text()? {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(value.is_not("\"text\" or \"json\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str, value: &Value) -> Result<Settings, String> {
        let mut settings = Settings::default();
        Key::at(path).unwrap().set(&mut settings, value).map_err(|problem| problem.to_string())?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_values_that_their_keys_take() {
        for key in KEYS {
            assert_eq!(key.check(&Settings::default()), Ok(()), "{}", key.path);
        }
    }

    #[test]
    fn what_a_key_gives_it_takes_back_unchanged() {
        let mut settings = Settings::default();
        settings.client.ping_interval = None;
        settings.client.connection_limit = Some(7);
        settings.client.allowed_origins = Some(vec!["https://*.example".into()]);
        settings.relay.enabled = Some(false);
        settings.log.format = LogFormat::Json;
        let mut copy = Settings::default();
        for key in KEYS {
            if let Some(value) = key.get(&settings) {
                key.set(&mut copy, &value).unwrap();
            }
        }
        assert_eq!(copy, settings);
    }

    #[test]
    fn paths_are_unique() {
        for (index, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..index].iter().all(|other| other.path != key.path), "{}", key.path);
        }
    }

    #[test]
    fn a_limit_of_zero_is_no_limit_and_zero_shards_are_one_for_each_core() {
        let settings = set("client.connection_limit", &Value::Integer(0)).unwrap();
        assert_eq!(settings.client.connection_limit, None);
        let settings = set("shards.count", &Value::Integer(0)).unwrap();
        assert!(settings.shards.count >= 1);
    }

    #[test]
    fn a_program_cannot_ask_for_no_shards() {
        let mut settings = Settings::default();
        settings.shards.count = 0;
        assert!(Key::at("shards.count").unwrap().check(&settings).is_err());
    }

    #[test]
    fn negative_clocks_are_off_and_zero_is_refused() {
        let settings = set("client.ping_interval", &Value::Text("-1s".into())).unwrap();
        assert_eq!(settings.client.ping_interval, None);
        let settings = set("client.pong_timeout", &Value::Integer(-1)).unwrap();
        assert_eq!(settings.client.pong_timeout, None);
        assert!(set("client.ping_interval", &Value::Text("0s".into())).is_err());
        assert!(set("client.stale_close_delay", &Value::Text("-1s".into())).is_err());
    }

    #[test]
    fn a_ping_interval_below_a_second_is_refused_because_clients_would_read_it_as_none() {
        let error = set("client.ping_interval", &Value::Text("500ms".into())).unwrap_err();
        assert_eq!(error, r#""500ms" is out of range"#);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let error = set("http_server.port", &Value::Integer(65_536)).unwrap_err();
        assert_eq!(error, "65536 is out of range");
        let error = set("client.channel_limit", &Value::Integer(-1)).unwrap_err();
        assert_eq!(error, "-1 is out of range");
    }

    #[test]
    fn the_empty_address_is_every_address_as_upstream_has_it() {
        let settings = set("http_server.address", &Value::Text(String::new())).unwrap();
        assert_eq!(settings.http_server.address, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        assert!(set("http_server.address", &Value::Text("example.org".into())).is_err());
    }

    #[test]
    fn the_document_lists_every_key_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
        for key in KEYS {
            let default = match (&key.field, key.get(&Settings::default())) {
                // It differs from machine to machine.
                (Field::Cores(_), _) => "`0`".to_owned(),
                (_, Some(value)) => format!("`{value}`"),
                (_, None) => "not set".to_owned(),
            };
            let row = format!("| `{}` | {default} | ", key.path);
            assert!(
                rows.iter().any(|line| line.starts_with(&row)),
                "docs/configuration.md lacks the row {row}"
            );
        }
        assert_eq!(rows.len(), KEYS.len(), "docs/configuration.md has a row for a key that does not exist");
    }
}
