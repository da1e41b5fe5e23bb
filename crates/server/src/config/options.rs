//! The options of channels, the same for each namespace and for the channels without one.

use std::{ops::RangeInclusive, sync::LazyLock, time::Duration};

use super::{
    channel::{ChannelOptions, RecoveryMode},
    field::{Field, Key, key},
    keys::TTL,
    namespaces::Scope,
};

const SIZE: RangeInclusive<usize> = 0..=1_000_000;

/// Every option, in the order in which they are printed. Its path is its name in the table.
pub(super) static OPTIONS: &[Key<ChannelOptions>] = &[
    key("presence", Field::Switch(|o| &mut o.presence)),
    key("join_leave", Field::Switch(|o| &mut o.join_leave)),
    key("force_push_join_leave", Field::Switch(|o| &mut o.force_push_join_leave)),
    key("history_size", Field::Count(SIZE, |o| &mut o.history_size)),
    key("history_ttl", Field::Ttl(TTL, |o| &mut o.history_ttl)),
    key("history_meta_ttl", Field::OptionalDuration(TTL, |o| &mut o.history_meta_ttl)),
    key("force_positioning", Field::Switch(|o| &mut o.force_positioning)),
    key("allow_positioning", Field::Switch(|o| &mut o.allow_positioning)),
    key("force_recovery", Field::Switch(|o| &mut o.force_recovery)),
    key("allow_recovery", Field::Switch(|o| &mut o.allow_recovery)),
    key("force_recovery_mode", Field::Recovery(|o| &mut o.force_recovery_mode)),
    key("auto_cache_recover", Field::Switch(|o| &mut o.auto_cache_recover)),
    key("allowed_delta_types", Field::Deltas(|o| &mut o.allowed_delta_types)),
    key("delta_publish", Field::Switch(|o| &mut o.delta_publish)),
    key("allow_tags_filter", Field::Switch(|o| &mut o.allow_tags_filter)),
    key("allow_subscribe_for_client", Field::Switch(|o| &mut o.allow_subscribe_for_client)),
    key("allow_subscribe_for_anonymous", Field::Switch(|o| &mut o.allow_subscribe_for_anonymous)),
    key("allow_publish_for_client", Field::Switch(|o| &mut o.allow_publish_for_client)),
    key("allow_publish_for_subscriber", Field::Switch(|o| &mut o.allow_publish_for_subscriber)),
    key("allow_publish_for_anonymous", Field::Switch(|o| &mut o.allow_publish_for_anonymous)),
    key("allow_presence_for_client", Field::Switch(|o| &mut o.allow_presence_for_client)),
    key("allow_presence_for_subscriber", Field::Switch(|o| &mut o.allow_presence_for_subscriber)),
    key("allow_presence_for_anonymous", Field::Switch(|o| &mut o.allow_presence_for_anonymous)),
    key("allow_history_for_client", Field::Switch(|o| &mut o.allow_history_for_client)),
    key("allow_history_for_subscriber", Field::Switch(|o| &mut o.allow_history_for_subscriber)),
    key("allow_history_for_anonymous", Field::Switch(|o| &mut o.allow_history_for_anonymous)),
    key("allow_user_limited_channels", Field::Switch(|o| &mut o.allow_user_limited_channels)),
    key("channel_regex", Field::Regex(|o| &mut o.channel_regex)),
    key("publication_data_format", Field::OptionalData(|o| &mut o.publication_data_format)),
    key("slow_consumer", Field::Slow(|o| &mut o.slow_consumer)),
];

/// The names of all options.
pub(super) static NAMES: LazyLock<Vec<&str>> =
    LazyLock::new(|| OPTIONS.iter().map(|option| option.path).collect());

/// Their paths for channels without a namespace.
pub(super) static PATHS: LazyLock<Vec<String>> =
    LazyLock::new(|| NAMES.iter().map(|name| Scope::Without.path(name)).collect());

/// An option that needs another one, or excludes it.
#[derive(Debug, PartialEq)]
pub(super) struct Contradiction {
    pub(super) option: &'static str,
    /// The options that it needs or excludes.
    pub(super) others: &'static [&'static str],
    pub(super) rule: &'static str,
    pub(super) remedy: &'static str,
}

/// What the options of one namespace contradict in each other.
pub(super) fn contradictions(options: &ChannelOptions, meta_ttl: Duration) -> Vec<Contradiction> {
    const RECOVERY: &[&str] = &["force_recovery", "allow_recovery"];

    let mut found = Vec::new();
    let mut refuse = |is_wrong: bool, option, others, rule, remedy| {
        if is_wrong {
            found.push(Contradiction { option, others, rule, remedy });
        }
    };
    history(options, meta_ttl, &mut refuse);
    let cache = options.force_recovery_mode == RecoveryMode::Cache;
    let recovery = options.force_recovery || options.allow_recovery;
    let remedy = "set force_recovery or allow_recovery";
    refuse(cache && !recovery, "force_recovery_mode", RECOVERY, "means nothing without recovery", remedy);
    refuse(
        options.auto_cache_recover && !cache,
        "auto_cache_recover",
        &["force_recovery_mode"],
        "needs the cache mode",
        "set force_recovery_mode to \"cache\"",
    );
    refuse(
        options.delta_publish && options.allowed_delta_types.is_empty(),
        "delta_publish",
        &["allowed_delta_types"],
        "makes patches that nobody may ask for",
        "set allowed_delta_types to [\"fossil\"]",
    );
    refuse(
        options.force_push_join_leave && !options.join_leave,
        "force_push_join_leave",
        &["join_leave"],
        "has nothing to push without join_leave",
        "set join_leave",
    );
    found
}

/// What contradicts the history, or needs one: refused with the option, the others, the rule and the remedy.
fn history(
    options: &ChannelOptions,
    meta_ttl: Duration,
    refuse: &mut impl FnMut(bool, &'static str, &'static [&'static str], &'static str, &'static str),
) {
    const NEEDS: &str = "needs a history";
    const REMEDY: &str = "set history_size and history_ttl, or leave it off";

    let (has_size, has_ttl) = (options.history_size > 0, !options.history_ttl.is_zero());
    refuse(
        has_size && !has_ttl,
        "history_size",
        &["history_ttl"],
        "keeps nothing without history_ttl",
        "set history_ttl, for example to \"300s\"",
    );
    refuse(
        has_ttl && !has_size,
        "history_ttl",
        &["history_size"],
        "keeps nothing without history_size",
        "set history_size, for example to 100",
    );
    refuse(
        options.history_ttl > options.history_meta_ttl.unwrap_or(meta_ttl),
        "history_ttl",
        &["history_meta_ttl"],
        "is longer than the stream itself is kept",
        "make it shorter, or history_meta_ttl longer",
    );
    for (is_on, option) in [
        (options.force_recovery, "force_recovery"),
        (options.allow_recovery, "allow_recovery"),
        (options.force_positioning, "force_positioning"),
        (options.allow_positioning, "allow_positioning"),
        (!options.allowed_delta_types.is_empty(), "allowed_delta_types"),
        (options.delta_publish, "delta_publish"),
    ] {
        refuse(is_on && !(has_size && has_ttl), option, &["history_size", "history_ttl"], NEEDS, REMEDY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(change: impl FnOnce(&mut ChannelOptions)) -> Vec<&'static str> {
        let mut options = ChannelOptions::default();
        change(&mut options);
        contradictions(&options, Duration::from_hours(720)).into_iter().map(|found| found.option).collect()
    }

    #[test]
    fn neither_the_defaults_nor_the_open_options_contradict_themselves() {
        assert_eq!(broken(|_| ()), [""; 0]);
        assert_eq!(broken(|options| *options = ChannelOptions::open()), [""; 0]);
    }

    #[test]
    fn what_needs_something_else_is_refused_without_it() {
        assert_eq!(broken(|options| options.force_recovery = true), ["force_recovery"]);
        assert_eq!(broken(|options| options.history_size = 5), ["history_size"]);
        assert_eq!(broken(|options| options.history_ttl = Duration::from_secs(5)), ["history_ttl"]);
        assert_eq!(broken(|options| options.delta_publish = true), ["delta_publish", "delta_publish"]);
        assert_eq!(broken(|options| options.force_push_join_leave = true), ["force_push_join_leave"]);
        assert_eq!(broken(|options| options.auto_cache_recover = true), ["auto_cache_recover"]);
        let cache = |options: &mut ChannelOptions| options.force_recovery_mode = RecoveryMode::Cache;
        assert_eq!(broken(cache), ["force_recovery_mode"]);
        let long = |options: &mut ChannelOptions| {
            *options = ChannelOptions::open();
            options.history_meta_ttl = Some(Duration::from_secs(10));
        };
        assert_eq!(broken(long), ["history_ttl"]);
    }

    #[test]
    fn what_an_option_gives_it_takes_back_unchanged() {
        let mut options = ChannelOptions::open();
        options.channel_regex = super::super::channel::ChannelRegex::new("^[a-z]+$").ok();
        options.history_meta_ttl = Some(Duration::from_secs(400));
        let mut copy = ChannelOptions::default();
        for option in OPTIONS {
            option.set(&mut copy, &option.get(&options).unwrap()).unwrap();
        }
        assert_eq!(copy, options);
    }
}
