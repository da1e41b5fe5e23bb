use std::cmp::Ordering;

/// A decimal number as it stands in text, of any length: a sign or none, digits, and perhaps a point and more digits.
/// Compared digit by digit, so nothing is rounded, allocated or too large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Decimal<'a> {
    /// False for every zero, also for `-0`.
    negative: bool,
    /// Without leading zeros; empty below one.
    whole: &'a str,
    /// Without trailing zeros; empty for an integer.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    /// None for what is not a number in this notation: exponents, `.5` and `5.` are not.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (digits, ""),
        };
        if !is_digits(whole) {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: text.starts_with('-') && !zero, whole, fraction })
    }

    fn magnitude(self, other: Self) -> Ordering {
        // Digits compare like text once both sides have the same number of them before the point.
        (self.whole.len().cmp(&other.whole.len()))
            .then_with(|| self.whole.cmp(other.whole))
            .then_with(|| self.fraction.cmp(other.fraction))
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(*other),
            (true, true) => other.magnitude(*self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decimal places of the numbers that are made from integers.
    const PLACES: u32 = 12;

    /// `units / 10^PLACES` as text, with superfluous zeros, and a plus where asked for.
    fn text(units: i64, before: usize, after: usize, plus: bool) -> String {
        let (magnitude, one) = (units.unsigned_abs(), 10_u64.pow(PLACES));
        let sign = if units < 0 { "-" } else { ["", "+"][usize::from(plus)] };
        let (whole, places) = (magnitude / one, PLACES as usize);
        let fraction = magnitude % one;
        format!("{sign}{:0<before$}{whole}.{fraction:0places$}{:0<after$}", "", "")
    }

    #[test]
    fn what_is_not_a_number_in_this_notation_is_refused() {
        for text in [
            "", "-", "+", ".", "1.", ".5", "-.5", "1e3", "0x10", "1,5", " 1", "1 ", "--1", "+-1", "1.2.3",
            "٣", "NaN",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_of_any_length_are_told_apart_by_their_last_digit() {
        let (nines, zeros) = ("9".repeat(10_000), "0".repeat(10_000));
        let larger = format!("{nines}.{zeros}1");
        assert!(Decimal::parse(&larger) > Decimal::parse(&nines));
        assert!(Decimal::parse(&format!("1{zeros}")) > Decimal::parse(&larger));
        assert!(Decimal::parse(&format!("-{larger}")) < Decimal::parse(&format!("-{nines}")));
    }

    #[test]
    fn all_zeros_are_equal() {
        for zero in ["0", "-0", "+0", "000", "-0.00", "0.0"] {
            assert_eq!(Decimal::parse(zero), Decimal::parse("0"), "{zero}");
        }
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_numbers(
            (left, right) in prop_oneof![
                any::<(i64, i64)>(),
                // Near each other, where digits and not lengths decide.
                (-1_000_i64..1_000, -1_000_i64..1_000),
                any::<i32>().prop_map(|number| (i64::from(number), i64::from(number) + 1)),
                any::<i64>().prop_map(|number| (number, number)),
            ],
            (before, after) in (0_usize..4, 0_usize..4),
            plus in any::<bool>(),
        ) {
            let (one, other) = (text(left, before, after, plus), text(right, after, before, !plus));
            let order = Decimal::parse(&one).unwrap().cmp(&Decimal::parse(&other).unwrap());
            prop_assert_eq!(order, left.cmp(&right), "{} and {}", one, other);
        }

        #[test]
        fn integers_and_decimals_without_fraction_are_the_same_numbers(number in any::<i128>()) {
            let (plain, point) = (number.to_string(), format!("{number}.000"));
            prop_assert_eq!(Decimal::parse(&plain), Decimal::parse(&point));
            prop_assert!(Decimal::parse(&plain).is_some());
        }

        #[test]
        fn any_text_is_read_without_harm(text in any::<String>()) {
            let number = Decimal::parse(&text);
            prop_assert!(number.is_none() || text.bytes().all(|byte| b"+-.0123456789".contains(&byte)));
        }
    }
}
