//! The namespaces of the checked server: what is set for each, and what its subscribers may therefore rely on.

use super::log::Promise;

/// One namespace.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) name: &'static str,
    pub(super) promise: Promise,
    /// Lines of its table in the configuration.
    options: &'static str,
}

/// Key of the checked server's HTTP API.
pub(super) const API_KEY: &str = "check-delivery";
/// The namespace in which there are filters, and the tag that they look for.
pub(super) const TAGGED: &str = "tagged";
pub(super) const TAG: (&str, &str) = ("half", "one");
/// Most publications that a recovery brings, by `client.recovery_max_publication_limit`.
const RECOVERED: u64 = 300;

/// Channel number n is in namespace n, and so on from the first.
pub(super) const NAMESPACES: &[Namespace] = &[
    Namespace {
        name: "recovery",
        promise: Promise::Announced { kept: RECOVERED },
        options: "history_size = 1000\nforce_recovery = true",
    },
    Namespace { name: "plain", promise: Promise::Lossless, options: "" },
    Namespace {
        name: "delta",
        promise: Promise::Announced { kept: 200 },
        options: "history_size = 200\nforce_recovery = true\nallowed_delta_types = [\"fossil\"]\ndelta_publish = true",
    },
    // So little history that a subscriber that is away for a moment has missed too much.
    Namespace {
        name: "small",
        promise: Promise::Announced { kept: 8 },
        options: "history_size = 8\nforce_recovery = true",
    },
    Namespace {
        name: "dropping",
        promise: Promise::Announced { kept: 100 },
        options: "history_size = 100\nforce_recovery = true\nslow_consumer = \"drop_oldest\"",
    },
    Namespace { name: "oldest", promise: Promise::Ordered, options: "slow_consumer = \"drop_oldest\"" },
    // Gaps are announced, but there is no recovery.
    Namespace {
        name: "positioned",
        promise: Promise::Announced { kept: 0 },
        options: "history_size = 50\nforce_positioning = true",
    },
    Namespace {
        name: "ticker",
        promise: Promise::Announced { kept: 100 },
        options: "history_size = 100\nforce_recovery = true\nslow_consumer = \"keep_latest\"",
    },
    // Half of its subscribers ask for what has the tag, and for nothing else.
    Namespace {
        name: TAGGED,
        promise: Promise::Announced { kept: 100 },
        options: "history_size = 100\nforce_recovery = true\nallow_tags_filter = true",
    },
    Namespace { name: "newest", promise: Promise::Ordered, options: "slow_consumer = \"drop_newest\"" },
    Namespace { name: "latest", promise: Promise::Ordered, options: "slow_consumer = \"keep_latest\"" },
];

/// Where every user has a channel that the server subscribes it to: gaps there end the connection.
pub(super) const PERSONAL: &Namespace = &Namespace {
    name: "personal",
    promise: Promise::Announced { kept: 100 },
    options: "history_size = 100\nforce_recovery = true",
};
/// Header that tells the server which user a subscriber is.
pub(super) const USER_HEADER: &str = "X-User-ID";

/// The server's configuration. Outboxes are short and pings frequent, so that slow readers are noticed within the time
/// of a run.
pub(super) fn config() -> String {
    let mut config = format!(
        "[client]\nallow_anonymous_connect_without_token = true\nqueue_max_messages = 48\n\
         ping_interval = \"3s\"\npong_timeout = \"2s\"\nuser_id_http_header = \"{USER_HEADER}\"\n\n\
         [client.subscribe_to_user_personal_channel]\nenabled = true\n\
         personal_channel_namespace = \"{}\"\n\n[http_api]\nkey = \"{API_KEY}\"\n",
        PERSONAL.name
    );
    for Namespace { name, options, .. } in NAMESPACES.iter().chain([PERSONAL]) {
        config += &format!(
            "\n[[channel.namespaces]]\nname = \"{name}\"\nallow_subscribe_for_client = true\n\
             allow_subscribe_for_anonymous = true\nallow_publish_for_client = true\n\
             allow_publish_for_anonymous = true\n{options}\n"
        );
        if options.contains("history_size") {
            config += "history_ttl = \"300s\"\n";
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_fit_the_options() {
        for Namespace { name, promise, options } in NAMESPACES.iter().chain([PERSONAL]) {
            let announced = options.contains("force_recovery") || options.contains("force_positioning");
            assert_eq!(matches!(promise, Promise::Announced { .. }), announced, "{name}");
            let drops = options.contains("slow_consumer");
            assert_eq!(*promise == Promise::Ordered, drops && !announced, "{name}");
            if let Promise::Announced { kept } = promise {
                let size = options.lines().find_map(|line| line.strip_prefix("history_size = ")).unwrap();
                let recovers = options.contains("force_recovery");
                let most = if recovers { size.parse::<u64>().unwrap().min(RECOVERED) } else { 0 };
                assert_eq!(*kept, most, "{name}");
            }
        }
    }
}
