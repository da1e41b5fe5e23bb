//! Where log lines go and which ones are written.

use std::{
    env,
    io::{self, IsTerminal},
};

use throng_server::config::{Log, LogFormat};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Libraries whose debug lines tell of every frame and every byte; they speak up to `info` unless they are asked for by
/// name.
const CHATTY: [&str; 4] = ["hyper", "hyper_util", "tungstenite", "tokio_tungstenite"];

/// Sends log lines to the standard error stream from now on, so that the standard output stream has the banner only. What is
/// returned must be kept: dropping it writes the last lines.
///
/// A thread of its own writes. When nobody reads the stream, lines beyond a bound are dropped and the server goes on.
pub(crate) fn install(log: &Log) -> WorkerGuard {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(16_384).finish(io::stderr());
    let lines = fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
        LogFormat::Text | _ => lines.with_ansi(colours()).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter(&log.level))).init();
    guard
}

/// Which lines are written. The text is one that the settings' check let pass.
fn filter(directives: &str) -> Targets {
    let (named, general): (Vec<_>, Vec<_>) = directives
        .split(',')
        .map(|directive| directive.split_once('=').ok_or(directive))
        .partition(Result::is_ok);
    // As with named parts, the last one counts.
    let general = general.into_iter().filter_map(Result::err).next_back().map_or(LevelFilter::OFF, level);
    Targets::new()
        .with_default(general)
        .with_targets(CHATTY.map(|target| (target, general.min(LevelFilter::INFO))))
        .with_targets(named.into_iter().flatten().map(|(target, name)| (target, level(name))))
}

fn level(name: &str) -> LevelFilter {
    match name {
        "trace" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" => LevelFilter::INFO,
        "warn" => LevelFilter::WARN,
        "error" => LevelFilter::ERROR,
        _ => LevelFilter::OFF,
    }
}

/// People at a terminal get colours, unless `NO_COLOR` is set to something.
fn colours() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_holds_for_everything_but_chatty_libraries() {
        let filter = filter("debug");
        assert!(filter.would_enable("throng_server::shard", &Level::DEBUG));
        assert!(!filter.would_enable("throng_server::shard", &Level::TRACE));
        assert!(filter.would_enable("hyper::proto", &Level::INFO));
        assert!(!filter.would_enable("hyper::proto", &Level::DEBUG));
    }

    #[test]
    fn chatty_libraries_are_never_louder_than_the_rest() {
        assert!(!filter("error").would_enable("tungstenite", &Level::INFO));
    }

    #[test]
    fn a_part_can_be_asked_for_by_name() {
        let filter = filter("warn,hyper=trace,throng_server=debug");
        assert!(filter.would_enable("hyper::proto", &Level::TRACE));
        assert!(filter.would_enable("throng_server", &Level::DEBUG));
        assert!(!filter.would_enable("throng_registry", &Level::INFO));
    }

    #[test]
    fn parts_alone_leave_the_rest_silent_and_none_silences_everything() {
        assert!(!filter("throng_server=info").would_enable("throng_registry", &Level::ERROR));
        assert!(!filter("none").would_enable("throng_server", &Level::ERROR));
    }
}
