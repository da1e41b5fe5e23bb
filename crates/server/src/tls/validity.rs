use rustls::pki_types::CertificateDer;

/// From when to when a certificate is valid, in Unix seconds; `None` if it cannot be read.
///
/// Of the certificate (RFC 5280 section 4.1) only the way to this field is looked at: version, serial number, signature
/// algorithm, issuer, validity.
pub(super) fn validity(certificate: &CertificateDer<'_>) -> Option<(i64, i64)> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (mut signed, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(signed, VERSION) {
        signed = rest;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, signed) = element(signed, tag)?;
    }
    let (validity, _) = element(signed, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some((from, until))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of the element that the input begins with, if it has this tag, and what follows it.
fn element(input: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = input.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    // Above 127 it says how many bytes of length follow.
    let count = usize::from(length & 0x7f);
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(count)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        0x80 | 0x85.. => return None,
    };
    rest.split_at_checked(length)
}

/// The time that the input begins with, in Unix seconds, and what follows it.
fn time(input: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, rest) = match element(input, UTC_TIME) {
        Some((text, rest)) => {
            // RFC 5280 section 4.1.2.5.1: two digits are years from 1950 to 2049.
            let century = if text.first()? < &b'5' { "20" } else { "19" };
            ([century.as_bytes(), text].concat(), rest)
        }
        None => element(input, GENERALIZED_TIME).map(|(text, rest)| (text.to_vec(), rest))?,
    };
    let digits = digits.strip_suffix(b"Z").filter(|digits| digits.len() == 14)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        digits[range].iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'))
    };
    let days = days_since_1970(number(0..4), number(4..6), number(6..8));
    Some((days * 86_400 + number(8..10) * 3_600 + number(10..12) * 60 + number(12..14), rest))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are taken to begin in March, so that the leap day is the last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const DAYS_TO_1970: i64 = 719_468;

    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_known_dates_are_right() {
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 24), 20_781),
        ] {
            assert_eq!(days_since_1970(date.0, date.1, date.2), days, "{date:?}");
        }
    }

    #[test]
    fn the_validity_of_a_certificate_is_found() {
        for (year, days) in [(2030, 21_915), (2055, 31_046)] {
            let mut parameters = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(1999, 12, 31);
            parameters.not_after = rcgen::date_time_ymd(year, 1, 1);
            let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(validity(certificate.der()), Some((10_956 * 86_400, days * 86_400)), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_validity() {
        let mut parameters = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let der = certificate.der().to_vec();
        for length in 0..der.len() {
            assert_eq!(validity(&CertificateDer::from(&der[..length])), None, "{length}");
        }
        assert_eq!(validity(&CertificateDer::from(vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff])), None);
    }
}
