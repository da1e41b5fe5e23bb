use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::codec::field::Value;

/// Writes an object; which members are left out is the caller's affair.
pub(crate) struct Object<'a> {
    out: &'a mut BytesMut,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn open(out: &'a mut BytesMut) -> Self {
        out.extend_from_slice(b"{");
        Self { out, empty: true }
    }

    /// Writes a member, given its key as `"key":`.
    pub(crate) fn member(&mut self, key: &str, value: impl FnOnce(&mut BytesMut)) {
        if !self.empty {
            self.out.extend_from_slice(b",");
        }
        self.empty = false;
        self.out.extend_from_slice(key.as_bytes());
        value(self.out);
    }

    pub(crate) fn close(self) {
        self.out.extend_from_slice(b"}");
    }
}

pub(crate) fn write_array<V: Value>(values: &[V], out: &mut BytesMut) {
    out.extend_from_slice(b"[");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        value.write_json(out);
    }
    out.extend_from_slice(b"]");
}

pub(crate) fn write_map<V: Value>(map: &BTreeMap<String, V>, out: &mut BytesMut) {
    out.extend_from_slice(b"{");
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        write_string(key, out);
        out.extend_from_slice(b":");
        value.write_json(out);
    }
    out.extend_from_slice(b"}");
}

pub(crate) fn write_signed(number: i64, out: &mut BytesMut) {
    if number < 0 {
        out.extend_from_slice(b"-");
    }
    write_unsigned(number.unsigned_abs(), out);
}

pub(crate) fn write_unsigned(mut number: u64, out: &mut BytesMut) {
    // The longest number, 2^64 - 1, has 20 digits.
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// JSON has no word for what is not finite: it becomes 0.
pub(crate) fn write_double(number: f64, out: &mut BytesMut) {
    let number = if number.is_finite() { number } else { 0.0 };
    // The debug form has an exponent where the other would have hundreds of digits.
    let text = format!("{number:?}");
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(&text).as_bytes());
}

pub(crate) fn write_string(text: &str, out: &mut BytesMut) {
    out.extend_from_slice(b"\"");
    let mut rest = text.as_bytes();
    while let Some(index) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.extend_from_slice(&rest[..index]);
        write_escape(rest[index], out);
        rest = &rest[index + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\"");
}

fn write_escape(byte: u8, out: &mut BytesMut) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Embeds JSON text without its raw line breaks, which would end the message and mean nothing between tokens.
pub(crate) fn write_raw(text: &[u8], out: &mut BytesMut) {
    let mut start = 0;
    for index in memchr::memchr2_iter(b'\r', b'\n', text) {
        out.extend_from_slice(&text[start..index]);
        start = index + 1;
    }
    out.extend_from_slice(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn integers_are_written_as_digits() {
        for number in [0, 1, -1, 10, -123, i64::MIN, i64::MAX] {
            assert_eq!(written(|out| write_signed(number, out)), number.to_string());
        }
        assert_eq!(written(|out| write_unsigned(u64::MAX, out)), u64::MAX.to_string());
    }

    #[test]
    fn doubles_are_written_as_json_and_exactly() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (60.0, "60"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-7, "1e-7"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::from_bits(1), "5e-324"),
            (f64::NAN, "0"),
            (f64::NEG_INFINITY, "0"),
        ] {
            let json = written(|out| write_double(number, out));
            assert_eq!(json, text);
            assert!(serde_json::from_str::<f64>(&json).is_ok(), "{json}");
            assert!(!number.is_finite() || json.parse() == Ok(number), "{json}");
        }
    }

    #[test]
    fn every_character_survives_in_a_string() {
        let all: String = ('\0'..='\u{ff}').chain(['\u{2028}', '😀']).collect();
        let json = written(|out| write_string(&all, out));
        assert!(!json.contains('\n') && !json.contains('\r'));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), all);
    }

    #[test]
    fn payloads_lose_raw_line_breaks_and_nothing_else() {
        assert_eq!(written(|out| write_raw(b"\n{\r\n \"a\\n\": 1\n}\r", out)), "{ \"a\\n\": 1}");
        assert_eq!(written(|out| write_raw(b"{}", out)), "{}");
    }
}
