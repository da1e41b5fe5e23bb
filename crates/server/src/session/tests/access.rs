use super::*;

fn ask(user: &str, subscriptions: &Channels, settings: &Settings, command: Command) -> Told {
    told(&open_as(user, Format::Json, settings).handle(command, subscriptions))
}

const DENIED: Told = Told::Refused(ErrorCode::PermissionDenied);

#[test]
fn clients_subscribers_and_anonymous_ones_are_told_apart() {
    let subscribed = Channels(vec!["a"]);
    let for_clients = options(|options| options.allow_publish_for_client = true);
    assert_eq!(ask("ann", &NONE, &for_clients, publish("a", "1")), Told::Granted("publish"));
    assert_eq!(ask("", &NONE, &for_clients, publish("a", "1")), DENIED);
    let for_subscribers = options(|options| options.allow_publish_for_subscriber = true);
    assert_eq!(ask("ann", &NONE, &for_subscribers, publish("a", "1")), DENIED);
    assert_eq!(ask("ann", &subscribed, &for_subscribers, publish("a", "1")), Told::Granted("publish"));
    assert_eq!(ask("", &subscribed, &for_subscribers, publish("a", "1")), DENIED);
    let for_anonymous = options(|options| {
        options.allow_publish_for_subscriber = true;
        options.allow_publish_for_anonymous = true;
    });
    assert_eq!(ask("", &subscribed, &for_anonymous, publish("a", "1")), Told::Granted("publish"));
}

#[test]
fn presence_and_history_have_permissions_of_their_own() {
    let settings = options(|options| {
        options.presence = true;
        options.allow_presence_for_client = true;
        options.history_size = 1;
        options.history_ttl = std::time::Duration::from_secs(1);
    });
    assert_eq!(ask("ann", &NONE, &settings, presence("a")), Told::Granted("presence"));
    assert_eq!(ask("ann", &NONE, &settings, request(history("a"))), DENIED);
    assert_eq!(ask("", &NONE, &settings, presence("a")), DENIED);
}

#[test]
fn subscribing_is_off_unless_the_namespace_allows_it() {
    assert_eq!(ask("ann", &NONE, &options(|_| ()), subscribe("a")), DENIED);
    let users = options(|options| options.allow_subscribe_for_client = true);
    assert_eq!(ask("ann", &NONE, &users, subscribe("a")), Told::Granted("subscribe"));
    assert_eq!(ask("", &NONE, &users, subscribe("a")), DENIED);
    assert_eq!(ask("ann", &NONE, &users, subscribe("$a")), DENIED);
}

#[test]
fn a_channel_that_lists_users_is_closed_to_all_others() {
    let open = options(|options| {
        options.allow_subscribe_for_client = true;
        options.presence = true;
        options.allow_presence_for_client = true;
    });
    assert_eq!(ask("42", &NONE, &open, subscribe("dm#42,43")), DENIED, "where lists mean nothing");
    assert_eq!(ask("44", &NONE, &open, presence("dm#42,43")), DENIED);
    let limited = options(|options| options.allow_user_limited_channels = true);
    for (user, expected) in [
        ("42", Told::Granted("subscribe")),
        ("43", Told::Granted("subscribe")),
        ("4", DENIED),
        ("44", DENIED),
        ("", DENIED),
    ] {
        assert_eq!(ask(user, &NONE, &limited, subscribe("dm#42,43")), expected, "{user:?}");
    }
    assert_eq!(ask("", &NONE, &limited, subscribe("dm#")), DENIED);
}
