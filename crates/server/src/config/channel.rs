//! Options of channels: tables `[channel]`, `[channel.without_namespace]` and `[[channel.namespaces]]`.

use std::time::Duration;

/// Channels and their options: table `[channel]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Channel {
    /// Bytes a channel name may have. Default 255.
    pub max_length: usize,
    /// How long a stream's epoch and offset are kept after its last use. Default 720 h.
    pub history_meta_ttl: Duration,
    /// What may be published where a namespace does not say. Default JSON.
    pub publication_data_format: DataFormat,
    /// Options of channels without a namespace; `None` if nothing was set.
    pub without_namespace: Option<ChannelOptions>,
    /// The namespaces.
    pub namespaces: Vec<Namespace>,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            max_length: 255,
            history_meta_ttl: Duration::from_hours(720),
            publication_data_format: DataFormat::default(),
            without_namespace: None,
            namespaces: Vec::new(),
        }
    }
}

/// The channels whose names begin with a name and a colon: one of `[[channel.namespaces]]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// At least two of letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What its channels have, and who may do what in them.
    pub options: ChannelOptions,
}

/// What channels have, and who may do what in them. Everything is off by default, as in Centrifugo.
///
/// "Client" is anybody who is connected with a user, "subscriber" one who is subscribed; "anonymous" lets those without a user
/// do what either allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelOptions {
    /// Who is in a channel is known.
    pub presence: bool,
    /// Joins and leaves are pushed to those who ask.
    pub join_leave: bool,
    /// Joins and leaves are pushed to all subscribers.
    pub force_push_join_leave: bool,
    /// Publications kept for each channel; 0 keeps none.
    pub history_size: usize,
    /// How long they are kept after the last one.
    pub history_ttl: Duration,
    /// How long a stream's epoch and offset are kept after its last use; `None` as [`Channel::history_meta_ttl`] says.
    pub history_meta_ttl: Option<Duration>,
    /// All subscribers are told when they lose a publication.
    pub force_positioning: bool,
    /// Those who ask are told when they lose a publication.
    pub allow_positioning: bool,
    /// All subscribers can recover what they missed.
    pub force_recovery: bool,
    /// Those who ask can recover what they missed.
    pub allow_recovery: bool,
    /// What is recovered.
    pub force_recovery_mode: RecoveryMode,
    /// In cache mode, new subscribers get the newest publication without asking.
    pub auto_cache_recover: bool,
    /// Kinds of delta compression that clients may ask for.
    pub allowed_delta_types: Vec<DeltaType>,
    /// Publications are sent as patches to those who asked for delta compression.
    pub delta_publish: bool,
    /// Subscribers may have publications filtered by tags.
    pub allow_tags_filter: bool,
    /// Clients may subscribe.
    pub allow_subscribe_for_client: bool,
    /// So may anonymous ones.
    pub allow_subscribe_for_anonymous: bool,
    /// Clients may publish.
    pub allow_publish_for_client: bool,
    /// Subscribers may publish.
    pub allow_publish_for_subscriber: bool,
    /// So may anonymous ones.
    pub allow_publish_for_anonymous: bool,
    /// Clients may see presence.
    pub allow_presence_for_client: bool,
    /// Subscribers may see presence.
    pub allow_presence_for_subscriber: bool,
    /// So may anonymous ones.
    pub allow_presence_for_anonymous: bool,
    /// Clients may read history.
    pub allow_history_for_client: bool,
    /// Subscribers may read history.
    pub allow_history_for_subscriber: bool,
    /// So may anonymous ones.
    pub allow_history_for_anonymous: bool,
    /// A name that ends in `#` and a list of users is open to those users.
    pub allow_user_limited_channels: bool,
    /// What the name behind the namespace must match.
    pub channel_regex: Option<ChannelRegex>,
    /// What may be published; `None` as [`Channel::publication_data_format`] says.
    pub publication_data_format: Option<DataFormat>,
    /// What becomes of publications for a client that does not keep up.
    pub slow_consumer: SlowConsumer,
}

impl ChannelOptions {
    /// What a first try needs: anybody may subscribe, publish and look, with presence, joins and leaves on request, and a history of
    /// 100 publications for 300 s from which everybody recovers.
    #[must_use]
    pub fn open() -> Self {
        Self {
            presence: true,
            join_leave: true,
            history_size: 100,
            history_ttl: Duration::from_secs(300),
            allow_positioning: true,
            force_recovery: true,
            allow_recovery: true,
            allowed_delta_types: vec![DeltaType::Fossil],
            allow_tags_filter: true,
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            allow_publish_for_client: true,
            allow_publish_for_anonymous: true,
            allow_presence_for_client: true,
            allow_presence_for_anonymous: true,
            allow_history_for_client: true,
            allow_history_for_anonymous: true,
            ..Self::default()
        }
    }

    /// Whether clients may ask for fossil patches.
    #[must_use]
    pub fn allows_fossil(&self) -> bool {
        self.allowed_delta_types.contains(&DeltaType::Fossil)
    }
}

/// What may be published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DataFormat {
    /// Any JSON value: `""` and `"json"`.
    #[default]
    Json,
    /// A JSON object: `"json_object"`.
    JsonObject,
    /// Any bytes, also none: `"binary"`. JSON clients that get something else than JSON are disconnected (3506).
    Binary,
}

/// What a returning client recovers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RecoveryMode {
    /// Everything that it has missed, or nothing: `"stream"`.
    #[default]
    Stream,
    /// The newest publication: `"cache"`.
    Cache,
}

/// A kind of delta compression.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DeltaType {
    /// Patches of the Fossil version control system: `"fossil"`.
    Fossil,
}

/// What becomes of publications for a client that does not keep up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SlowConsumer {
    /// It is disconnected: `"disconnect"`.
    #[default]
    Disconnect,
    /// It loses those that have waited longest: `"drop_oldest"`.
    DropOldest,
    /// It loses those that come last: `"drop_newest"`.
    DropNewest,
    /// It has at most one waiting for each channel, or for each key: `"keep_latest"`.
    KeepLatest,
}

/// A pattern for names of channels, equal to another one of the same text.
///
/// Its syntax is that of RE2, where `\w`, `\d` and `\s` are ASCII; classes such as `\pL` are refused, and `(?i)` folds ASCII only.
#[derive(Clone, Debug)]
pub struct ChannelRegex(regex_lite::Regex);

/// Why a text is no pattern for names of channels.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ChannelRegexError(String);

impl ChannelRegex {
    /// Takes a pattern.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, ChannelRegexError> {
        regex_lite::Regex::new(pattern).map(Self).map_err(|error| ChannelRegexError(error.to_string()))
    }

    /// Whether a name has a part that matches.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for ChannelRegex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_what_it_means_in_re2_or_is_refused() {
        let digits = ChannelRegex::new(r"^\d+$").unwrap();
        assert!(digits.is_match("42") && !digits.is_match("٤٢"), "digits are ASCII");
        assert!(ChannelRegex::new("^.$").unwrap().is_match("ä"), "a dot is a character");
        assert!(!ChannelRegex::new("^a$").unwrap().is_match("a\n"), "the end is the end of the name");
        assert!(ChannelRegex::new(r"^\pL+$").is_err(), "a class that is not known is no surprise later");
    }

    #[test]
    fn patterns_of_the_same_text_are_equal() {
        assert_eq!(ChannelRegex::new("a+").unwrap(), ChannelRegex::new("a+").unwrap());
        assert_ne!(ChannelRegex::new("a+").unwrap(), ChannelRegex::new("aa*").unwrap());
    }
}
