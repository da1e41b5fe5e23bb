//! Durations as the protocol's reference server writes them: `25s`, `250ms`, `1h30m`.

use std::time::Duration;

/// A duration that was read; some keys give the negative ones the meaning "off".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Span {
    Negative,
    Length(Duration),
}

/// Units and their nanoseconds. A unit that another one begins with stands after it.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("µs", 1_000),
    ("μs", 1_000),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration as the configuration has it, for example `90s`, `1h30m` or `0`; `None` for any other text.
pub fn parse(text: &str) -> Option<Duration> {
    match Span::parse(text)? {
        Span::Length(length) => Some(length),
        Span::Negative => None,
    }
}

impl Span {
    /// Reads numbers with units, `1h30m` or `1.5h`, with an optional sign; a bare `0` needs no unit, and a bare `-1`
    /// is accepted for "off".
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let length = match (negative, unsigned) {
            (true, "1") | (_, "0") => Duration::from_nanos(u64::from(unsigned == "1")),
            _ => sum(unsigned)?,
        };
        Some(if negative && !length.is_zero() { Self::Negative } else { Self::Length(length) })
    }
}

/// Writes a duration in the largest unit that needs no fraction, for example `2m`, `90s` or `250ms`.
pub(super) fn show(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let largest = UNITS
        .into_iter()
        .filter(|(_, size)| nanoseconds.is_multiple_of(u128::from(*size)))
        .max_by_key(|(_, size)| *size);
    match largest {
        Some((unit, size)) if nanoseconds > 0 => format!("{}{unit}", nanoseconds / u128::from(size)),
        Some(_) | None => "0s".into(),
    }
}

fn sum(mut text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    if text.is_empty() {
        return None;
    }
    while !text.is_empty() {
        let (whole, rest) = digits(text);
        let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
        let (unit, size) = UNITS.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total = total.checked_add(part(whole, fraction, size)?)?;
        text = &rest[unit.len()..];
    }
    Some(total)
}

/// `whole.fraction` times `size` nanoseconds, cut to whole nanoseconds.
fn part(whole: &str, fraction: &str, size: u64) -> Option<Duration> {
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanoseconds = whole.checked_mul(size)?;
    let mut place = size;
    for digit in fraction.bytes() {
        // Beyond the nanosecond a digit adds nothing.
        place /= 10;
        nanoseconds = nanoseconds.checked_add(u64::from(digit - b'0') * place)?;
    }
    Some(Duration::from_nanos(nanoseconds))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_numbers_with_units() {
        for (text, milliseconds) in [
            ("25s", 25_000),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("720h", 2_592_000_000),
            (".5s", 500),
            ("+1s", 1_000),
            ("1000000us", 1_000),
            ("1000000µs", 1_000),
            ("0", 0),
            ("0s", 0),
            ("-0s", 0),
        ] {
            assert_eq!(Span::parse(text), Some(Span::Length(Duration::from_millis(milliseconds))), "{text}");
        }
    }

    #[test]
    fn negative_durations_are_told_apart() {
        for text in ["-1", "-1s", "-1ns", "-5m"] {
            assert_eq!(Span::parse(text), Some(Span::Negative), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "-", "25", "s", ".s", "25 s", "25sec", "1h-30m", "--1s", "1e3s", "99999999999h", "1d", "٣s"]
        {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_so_that_they_read_back() {
        for duration in [
            Duration::ZERO,
            Duration::from_secs(90),
            Duration::from_millis(1_500),
            Duration::from_micros(7),
            Duration::from_nanos(1),
        ] {
            assert_eq!(Span::parse(&show(duration)), Some(Span::Length(duration)), "{duration:?}");
        }
        assert_eq!(show(Duration::from_secs(90)), "90s");
        assert_eq!(show(Duration::from_hours(24)), "24h");
        assert_eq!(show(Duration::from_mins(2)), "2m");
        assert_eq!(show(Duration::from_millis(250)), "250ms");
        assert_eq!(show(Duration::from_micros(7)), "7us");
        assert_eq!(show(Duration::ZERO), "0s");
    }
}
