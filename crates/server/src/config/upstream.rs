//! The options of Centrifugo v6 that throng lacks. At upstream's default they are accepted, so that a file written for
//! Centrifugo starts throng as long as it asks for nothing that is lacking.

use super::{duration::Span, fault::Problem, value::Value};

/// An option that throng lacks.
#[derive(Debug)]
pub(super) struct Lacking {
    /// Its path; one that ends in `.*` stands for everything below a table.
    pub(super) path: &'static str,
    off: Off,
    feature: &'static str,
}

/// The values of an option that turn nothing on.
#[derive(Debug)]
enum Off {
    /// Both `true` and `false`, because the option only restricts what does not exist.
    AnySwitch,
    False,
    Zero,
    /// `""`, or an empty list.
    Empty,
    /// `""`, or the name of what it stands for.
    EmptyOr(&'static str),
    Text(&'static str),
    Integer(i128),
    Duration(&'static str),
    /// Any of `false`, 0, `""` and an empty list: for tables whose options are not listed one by one.
    Nothing,
}

/// The row that says what an option lacks, if it is one of upstream's that throng does not serve.
pub(super) fn lacking(path: &str) -> Option<&'static Lacking> {
    LACKING.iter().find(|option| option.covers(path))
}

impl Lacking {
    /// The table below which this row stands for everything.
    pub(super) fn table(&self) -> Option<&'static str> {
        self.path.strip_suffix(".*")
    }

    /// Whether the value leaves off what is lacking.
    pub(super) fn accept(&self, value: &Value) -> Result<(), Problem> {
        if self.off.is(value) {
            Ok(())
        } else {
            Err(Problem::Lacking { feature: self.feature, off: self.off.show() })
        }
    }

    fn covers(&self, path: &str) -> bool {
        match self.table() {
            Some(table) => {
                path.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
            None => self.path == path,
        }
    }
}

impl Off {
    fn is(&self, value: &Value) -> bool {
        let text_is = |text: &str| value.text().is_ok_and(|found| found == text);
        let integer_is = |integer: i128| value.integer().is_ok_and(|found| found == integer);
        let span_is = |text: &str| value.span().is_ok_and(|found| Some(found) == Span::parse(text));
        let is_false = || value.boolean().is_ok_and(|found| !found);
        let is_empty = || text_is("") || matches!(value, Value::List(values) if values.is_empty());
        match self {
            Self::AnySwitch => value.boolean().is_ok(),
            Self::False => is_false(),
            Self::Zero => integer_is(0) || span_is("0s"),
            Self::Empty => is_empty(),
            Self::EmptyOr(text) => is_empty() || text_is(text),
            Self::Text(text) => text_is(text),
            Self::Integer(integer) => integer_is(*integer),
            Self::Duration(text) => span_is(text),
            Self::Nothing => {
                is_false() || integer_is(0) || span_is("0s") || is_empty() || matches!(value, Value::Table(0))
            }
        }
    }

    const fn show(&self) -> Option<&'static str> {
        match self {
            Self::AnySwitch | Self::False => Some("false"),
            Self::Zero => Some("0"),
            Self::EmptyOr(text) | Self::Text(text) | Self::Duration(text) => Some(text),
            Self::Integer(_) => Some("its default"),
            Self::Empty | Self::Nothing => None,
        }
    }
}

const MAPS: &str = "map and shared poll subscriptions";
const PROXIES: &str = "event proxies";
const COMPRESSION: &str = "compression";
const SSE: &str = "the SSE transport";
const HTTP_STREAM: &str = "the HTTP streaming transport";
const SWAGGER: &str = "the pages of Swagger";
const TLS: &str = "TLS other than [http_server.tls]";
const TLS_OF_CLIENTS: &str = "a use for this option, which is one of clients";
const ADMIN: &str = "an admin interface";
const CHANNEL_SIGNS: &str = "other signs in the names of channels";
const BUFFERS: &str = "buffer sizes to set; shards share their buffers";
const FIXED_PATH: &str = "another path for this endpoint";

const fn row(path: &'static str, off: Off, feature: &'static str) -> Lacking {
    Lacking { path, off, feature }
}

/// Every option of Centrifugo v6 that [`super::keys::KEYS`] does not hold. The first row that covers a path counts.
pub(super) static LACKING: &[Lacking] = &[
    row("http_server.tls_external", Off::False, TLS),
    row("http_server.h2c_external", Off::False, "HTTP/2"),
    row("http_server.tls.server_ca_pem", Off::Empty, TLS_OF_CLIENTS),
    row("http_server.tls.server_name", Off::Empty, TLS_OF_CLIENTS),
    row("http_server.tls.insecure_skip_verify", Off::False, TLS_OF_CLIENTS),
    row("http_server.tls_autocert.*", Off::Nothing, TLS),
    row("http_server.internal_tls.*", Off::Nothing, TLS),
    row("http_server.http3.*", Off::Nothing, "HTTP/3"),
    row("log.file", Off::Empty, "a log file; it logs to the standard error stream"),
    row("engine.type", Off::Text("memory"), "another engine than memory"),
    row("engine.redis.presence_ttl", Off::Duration("60s"), "another engine than memory"),
    row("engine.redis.idempotent_result_ttl", Off::Duration("300s"), "another engine than memory"),
    row("engine.redis.*", Off::Nothing, "another engine than memory"),
    row("broker.type", Off::Text("memory"), "another broker than memory"),
    row("broker.*", Off::Nothing, "another broker than memory"),
    row("presence_manager.type", Off::Text("memory"), "another presence manager than memory"),
    row("presence_manager.*", Off::Nothing, "another presence manager than memory"),
    row("map_broker.type", Off::Text("memory"), "map subscriptions"),
    row("map_broker.*", Off::Nothing, "map subscriptions"),
    row("client.presence_update_interval", Off::Duration("27s"), "presence that must be refreshed"),
    row("client.channel_position_max_time_lag", Off::Zero, "a limit for the lag of publications"),
    row("client.concurrency", Off::Zero, "concurrent commands of one client"),
    row("client.insecure", Off::False, "an insecure mode"),
    row(
        "client.allowed_delta_types",
        Off::Empty,
        "delta types for all channels; they are options of channels",
    ),
    row("client.connect_code_to_unidirectional_disconnect.*", Off::Nothing, "unidirectional transports"),
    row("client.proxy.*", Off::Nothing, PROXIES),
    row("channel.private_prefix", Off::Text("$"), CHANNEL_SIGNS),
    row("channel.namespace_boundary", Off::Text(":"), CHANNEL_SIGNS),
    row("channel.user_boundary", Off::Text("#"), CHANNEL_SIGNS),
    row("channel.user_separator", Off::Text(","), CHANNEL_SIGNS),
    row("channel.without_namespace.subscribe_proxy_enabled", Off::False, PROXIES),
    row("channel.without_namespace.subscribe_proxy_name", Off::Text("default"), PROXIES),
    row("channel.without_namespace.publish_proxy_enabled", Off::False, PROXIES),
    row("channel.without_namespace.publish_proxy_name", Off::Text("default"), PROXIES),
    row("channel.without_namespace.sub_refresh_proxy_enabled", Off::False, PROXIES),
    row("channel.without_namespace.sub_refresh_proxy_name", Off::Text("default"), PROXIES),
    row("channel.without_namespace.subscribe_stream_proxy_enabled", Off::False, PROXIES),
    row("channel.without_namespace.subscribe_stream_proxy_name", Off::Text("default"), PROXIES),
    row("channel.without_namespace.subscription_type", Off::EmptyOr("stream"), MAPS),
    row("channel.without_namespace.subscribe_stream_proxy_bidirectional", Off::False, PROXIES),
    row("channel.without_namespace.map_clients_presence_channel_prefix", Off::Empty, MAPS),
    row("channel.without_namespace.map_users_presence_channel_prefix", Off::Empty, MAPS),
    row("channel.without_namespace.map.*", Off::Nothing, MAPS),
    row("channel.without_namespace.shared_poll.*", Off::Nothing, MAPS),
    row("channel.proxy.*", Off::Nothing, PROXIES),
    row("rpc.namespace_boundary", Off::Text(":"), "another sign in the names of methods"),
    row("rpc.without_namespace.proxy_name", Off::Text("default"), PROXIES),
    row("rpc.without_namespace.*", Off::Nothing, PROXIES),
    row("rpc.namespaces.*", Off::Nothing, PROXIES),
    row("rpc.proxy.*", Off::Nothing, PROXIES),
    row("proxies.*", Off::Nothing, PROXIES),
    row("consumers.*", Off::Nothing, "consumers of message queues"),
    row("websocket.disabled", Off::False, "a way to switch the WebSocket endpoint off"),
    row("websocket.compression", Off::False, COMPRESSION),
    row("websocket.compression_level", Off::Integer(1), COMPRESSION),
    row("websocket.compression_min_size", Off::Zero, COMPRESSION),
    row("websocket.decompressed_message_size_limit", Off::Zero, COMPRESSION),
    row("websocket.read_buffer_size", Off::Zero, BUFFERS),
    row("websocket.write_buffer_size", Off::Zero, BUFFERS),
    row("websocket.use_write_buffer_pool", Off::False, BUFFERS),
    row(
        "websocket.write_timeout",
        Off::Duration("1s"),
        "a limit for single writes, beside client.queue_max_size",
    ),
    row("sse.enabled", Off::False, SSE),
    row("sse.handler_prefix", Off::Text("/connection/sse"), SSE),
    row("sse.max_request_body_size", Off::Integer(65_536), SSE),
    row("http_stream.enabled", Off::False, HTTP_STREAM),
    row("http_stream.handler_prefix", Off::Text("/connection/http_stream"), HTTP_STREAM),
    row("http_stream.max_request_body_size", Off::Integer(65_536), HTTP_STREAM),
    row("emulation.handler_prefix", Off::Text("/emulation"), "the emulation endpoint"),
    row("emulation.max_request_body_size", Off::Integer(65_536), "the emulation endpoint"),
    row("webtransport.handler_prefix", Off::Text("/connection/webtransport"), "WebTransport"),
    row("webtransport.message_size_limit", Off::Integer(65_536), "WebTransport"),
    row("webtransport.*", Off::Nothing, "WebTransport"),
    row("uni_websocket.handler_prefix", Off::Text("/connection/uni_websocket"), "unidirectional transports"),
    row("uni_websocket.compression_level", Off::Integer(1), "unidirectional transports"),
    row("uni_websocket.write_timeout", Off::Duration("1s"), "unidirectional transports"),
    row("uni_websocket.message_size_limit", Off::Integer(65_536), "unidirectional transports"),
    row("uni_websocket.*", Off::Nothing, "unidirectional transports"),
    row("uni_sse.handler_prefix", Off::Text("/connection/uni_sse"), "unidirectional transports"),
    row("uni_sse.max_request_body_size", Off::Integer(65_536), "unidirectional transports"),
    row("uni_sse.*", Off::Nothing, "unidirectional transports"),
    row(
        "uni_http_stream.handler_prefix",
        Off::Text("/connection/uni_http_stream"),
        "unidirectional transports",
    ),
    row("uni_http_stream.max_request_body_size", Off::Integer(65_536), "unidirectional transports"),
    row("uni_http_stream.*", Off::Nothing, "unidirectional transports"),
    row("uni_grpc.port", Off::Integer(11_000), "unidirectional transports"),
    row("uni_grpc.*", Off::Nothing, "unidirectional transports"),
    row("init.handler_prefix", Off::Text("/connection/init"), "the init endpoint"),
    row("init.*", Off::Nothing, "the init endpoint"),
    row("grpc_api.port", Off::Integer(10_000), "a gRPC API"),
    row("grpc_api.*", Off::Nothing, "a gRPC API"),
    row("health.handler_prefix", Off::Text("/health"), FIXED_PATH),
    row("prometheus.handler_prefix", Off::Text("/metrics"), FIXED_PATH),
    row("prometheus.instrument_http_handlers", Off::False, "metrics for each HTTP handler"),
    row("prometheus.recovered_publications_histogram", Off::False, "a histogram of recovered publications"),
    row("prometheus.native_histograms", Off::False, "native histograms"),
    row("swagger.handler_prefix", Off::Text("/swagger"), SWAGGER),
    row("swagger.enabled", Off::False, SWAGGER),
    row("debug.handler_prefix", Off::Text("/debug/pprof"), "profiling endpoints"),
    row("debug.enabled", Off::False, "profiling endpoints"),
    row("dev.*", Off::Nothing, "a development page to switch on; the page at / is always there"),
    row("admin.*", Off::Nothing, ADMIN),
    row("opentelemetry.*", Off::Nothing, "OpenTelemetry"),
    row("graphite.host", Off::Text("localhost"), "metrics for Graphite"),
    row("graphite.port", Off::Integer(2003), "metrics for Graphite"),
    row("graphite.prefix", Off::Text("centrifugo"), "metrics for Graphite"),
    row("graphite.interval", Off::Duration("10s"), "metrics for Graphite"),
    row("graphite.*", Off::Nothing, "metrics for Graphite"),
    row("node.name", Off::Empty, "names of nodes"),
    row("node.info_metrics_aggregate_interval", Off::Duration("60s"), "a view of all nodes"),
    // Nothing is sent to anybody in any case.
    row("usage_stats.disabled", Off::AnySwitch, "usage statistics"),
    row("pid_file", Off::Empty, "a file for its process id"),
    row("enable_unreleased_features", Off::False, "unreleased features to enable"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(path: &str, value: &Value) -> bool {
        lacking(path).unwrap().accept(value).is_ok()
    }

    #[test]
    fn upstreams_default_is_accepted_and_anything_else_names_what_is_lacking() {
        assert!(accepts("websocket.write_timeout", &Value::Text("1000ms".into())));
        assert!(!accepts("websocket.write_timeout", &Value::Text("1h".into())));
        let error = lacking("engine.type").unwrap().accept(&Value::Text("redis".into())).unwrap_err();
        assert_eq!(error.to_string(), "throng does not have another engine than memory yet");
        assert_eq!(error.remedy(), "remove it, or leave it at memory");
    }

    #[test]
    fn options_of_a_table_that_is_lacking_as_a_whole_are_accepted_when_they_say_nothing() {
        for nothing in [
            Value::Boolean(false),
            Value::Integer(0),
            Value::Text(String::new()),
            Value::Text("0s".into()),
            Value::List(vec![]),
        ] {
            assert!(accepts("engine.redis.address", &nothing), "{nothing}");
        }
        assert!(!accepts("engine.redis.address", &Value::Text("redis://cache".into())));
        assert!(!accepts("proxies", &Value::List(vec![Value::Table(1)])));
    }

    #[test]
    fn the_refusal_of_a_secret_does_not_repeat_it() {
        let error = lacking("engine.redis.password").unwrap().accept(&Value::Text("hush".into()));
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn a_row_for_a_table_covers_only_what_is_below_it() {
        assert!(lacking("engine.redis.address").is_some());
        assert!(lacking("engines").is_none());
        assert!(lacking("websocket.colour").is_none());
    }

    #[test]
    fn values_of_the_environment_are_read_like_the_defaults_type() {
        assert!(accepts("client.concurrency", &Value::Untyped("0".into())));
        assert!(accepts("sse.enabled", &Value::Untyped("false".into())));
        assert!(!accepts("sse.enabled", &Value::Untyped("true".into())));
    }

    #[test]
    fn no_row_comes_after_one_that_covers_it() {
        for (index, option) in LACKING.iter().enumerate() {
            let path = option.table().unwrap_or(option.path);
            assert!(LACKING[..index].iter().all(|earlier| !earlier.covers(path)), "{}", option.path);
        }
    }

    #[test]
    fn no_row_covers_a_key_that_is_served() {
        for key in super::super::keys::KEYS {
            let exact = LACKING.iter().find(|option| option.path == key.path);
            assert!(exact.is_none(), "{}", key.path);
        }
    }
}
