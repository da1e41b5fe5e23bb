//! Numbers as people read them.

/// `1234567.8` as `1,234,568`.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
    let mut out = sign.to_owned();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count, grouped.
pub(crate) fn count(value: u64) -> String {
    grouped(value as f64)
}

/// A time in microseconds with the unit that suits it.
pub(crate) fn time(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{} µs", significant(us)),
        us if us < 1_000_000.0 => format!("{} ms", significant(us / 1e3)),
        us => format!("{} s", significant(us / 1e6)),
    }
}

/// Bytes with the unit that suits them.
pub(crate) fn bytes(value: f64) -> String {
    match value.abs() {
        small if small < 1024.0 => format!("{value:.0} B"),
        medium if medium < 1024.0 * 1024.0 => format!("{} KiB", significant(value / 1024.0)),
        _ => format!("{} MiB", significant(value / 1024.0 / 1024.0)),
    }
}

/// A share of one core in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three significant digits, but never an exponent.
pub(crate) fn significant(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => grouped(value),
        medium if medium >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0.0, 999.0, 1_000.0, 1_234_567.0, -1_000.0].map(grouped),
            ["0", "999", "1,000", "1,234,567", "-1,000"]
        );
    }

    #[test]
    fn units_suit_the_value() {
        assert_eq!(
            [0.5, 85.0, 1_500.0, 12_345.0, 2.5e6].map(time),
            ["0.50 µs", "85.0 µs", "1.50 ms", "12.3 ms", "2.50 s"]
        );
        assert_eq!([12.0, 1_151.0, 3.0 * 1024.0 * 1024.0].map(bytes), ["12 B", "1.12 KiB", "3.00 MiB"]);
        assert_eq!([0.954, 1.5].map(percent), ["95 %", "150 %"]);
    }
}
