//! Which options hold for a channel. Reference sections 3.5 (step 3) and 3.18.

use std::collections::HashMap;
use std::sync::Arc;

use throng_engine::{HistoryOptions, PublishOptions};
use throng_protocol::{ChannelName, ChannelNameError, ErrorCode};
use throng_registry::{ChannelRules, SlowPolicy};

use crate::config::{ChannelOptions, DataFormat, Settings, SlowConsumer};

/// Separates a namespace from the rest of a name.
const NAMESPACE_BOUNDARY: char = ':';
/// First character of channels that need a subscription token.
pub(crate) const PRIVATE_PREFIX: char = '$';
/// Separates a name from the users it is limited to.
pub(crate) const USER_BOUNDARY: char = '#';

/// The namespace of the relay's rooms, which no configured namespace can take.
const RELAY: &str = "relay";

/// A set of channels with the same options.
#[derive(Debug)]
pub(crate) struct Namespace {
    /// Empty for the channels without one.
    pub(crate) name: String,
    pub(crate) options: ChannelOptions,
    /// How the fan-out treats its channels.
    pub(crate) rules: ChannelRules,
    /// The streams of its channels, if they have any.
    pub(crate) history: Option<HistoryOptions>,
    /// How clients publish to its channels.
    pub(crate) publish: PublishOptions,
    pub(crate) data_format: DataFormat,
}

/// All namespaces of a server.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// Channels without a namespace first, then the relay's, then the configured ones.
    all: Vec<Arc<Namespace>>,
    by_name: HashMap<String, Arc<Namespace>>,
    max_length: usize,
}

impl Namespaces {
    pub(crate) fn new(settings: &Settings) -> Self {
        let relay = ("relay", ChannelOptions::default());
        let without = ("", settings.without_namespace().into_owned());
        let configured =
            settings.channel.namespaces.iter().map(|space| (space.name.as_str(), space.options.clone()));
        let all: Vec<_> = [without, relay]
            .into_iter()
            .chain(configured)
            .enumerate()
            .map(|(index, (name, options))| Arc::new(Namespace::new(index, name, options, settings)))
            .collect();
        let by_name = all
            .iter()
            .filter(|space| !space.name.is_empty() && space.name != RELAY)
            .map(|space| (space.name.clone(), Arc::clone(space)))
            .collect();
        Self { all, by_name, max_length: settings.channel.max_length }
    }

    /// All of them; the place of each is the group that the fan-out counts it by.
    pub(crate) fn all(&self) -> &[Arc<Namespace>] {
        &self.all
    }

    /// What holds for the relay's rooms.
    pub(crate) fn relay(&self) -> &Arc<Namespace> {
        &self.all[1]
    }

    /// The namespace that a name belongs to.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownChannel`] if there is none of that name, as for rooms of the relay, which are out of reach here.
    pub(crate) fn of(&self, channel: &str) -> Result<&Arc<Namespace>, ErrorCode> {
        let name = channel.strip_prefix(PRIVATE_PREFIX).unwrap_or(channel);
        match name.split_once(NAMESPACE_BOUNDARY) {
            None => Ok(&self.all[0]),
            Some((space, _)) => self.by_name.get(space).ok_or(ErrorCode::UnknownChannel),
        }
    }

    /// A name as a client may use it, whatever its namespace.
    ///
    /// # Errors
    ///
    /// That of names, with the length that the configuration allows.
    pub(crate) fn parse(&self, channel: &str) -> Result<ChannelName, ChannelNameError> {
        ChannelName::parse(channel, self.max_length)
    }

    /// The channel that a client means, and its namespace.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::BadRequest`] for a name that is too long or breaks the namespace's rule for names,
    /// [`ErrorCode::UnknownChannel`] for a namespace that does not exist.
    pub(crate) fn resolve(&self, channel: &str) -> Result<(ChannelName, &Arc<Namespace>), ErrorCode> {
        let name = self.parse(channel);
        if let Err(ChannelNameError::TooLong { .. }) = name {
            return Err(ErrorCode::BadRequest);
        }
        let namespace = self.of(channel)?;
        let name = name.map_err(|_| ErrorCode::BadRequest)?;
        match &namespace.options.channel_regex {
            Some(regex) if !regex.is_match(rest_of(channel)) => Err(ErrorCode::BadRequest),
            Some(_) | None => Ok((name, namespace)),
        }
    }
}

/// The name without its namespace.
fn rest_of(channel: &str) -> &str {
    channel.split_once(NAMESPACE_BOUNDARY).map_or(channel, |(_, rest)| rest)
}

impl Namespace {
    fn new(index: usize, name: &str, options: ChannelOptions, settings: &Settings) -> Self {
        let history = (options.history_size > 0 && !options.history_ttl.is_zero()).then(|| HistoryOptions {
            size: options.history_size,
            ttl: options.history_ttl,
            meta_ttl: options.history_meta_ttl.unwrap_or(settings.channel.history_meta_ttl),
        });
        let slow = match options.slow_consumer {
            SlowConsumer::Disconnect => SlowPolicy::Disconnect,
            SlowConsumer::DropOldest => SlowPolicy::DropOldest,
            SlowConsumer::DropNewest => SlowPolicy::DropNewest,
            SlowConsumer::KeepLatest => SlowPolicy::KeepLatest,
        };
        Self {
            name: name.to_owned(),
            rules: ChannelRules { slow, group: u16::try_from(index).unwrap_or(u16::MAX) },
            history,
            publish: PublishOptions { history, delta: options.delta_publish, ..PublishOptions::default() },
            data_format: options.publication_data_format.unwrap_or(settings.channel.publication_data_format),
            options,
        }
    }
}
