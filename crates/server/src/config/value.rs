//! Values as a source gives them, and how each type is read from them.

use std::fmt;

use toml::de::DeValue;

use super::{duration::Span, fault::Problem};

/// A value, with as much type as its source knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Text that may mean any type, from the environment or a flag.
    Untyped(String),
    Text(String),
    Integer(i128),
    Float(String),
    Boolean(bool),
    Datetime(String),
    List(Vec<Self>),
    /// A table with so many keys, inside a list.
    Table(usize),
}

impl Value {
    pub(super) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.clone().into_owned()),
            DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
                .map_or_else(|_| Self::Float(integer.to_string()), Self::Integer),
            DeValue::Float(float) => Self::Float(float.to_string()),
            DeValue::Boolean(boolean) => Self::Boolean(*boolean),
            DeValue::Datetime(datetime) => Self::Datetime(datetime.to_string()),
            DeValue::Array(values) => {
                Self::List(values.iter().map(|value| Self::from_toml(value.get_ref())).collect())
            }
            DeValue::Table(table) => Self::Table(table.len()),
        }
    }

    pub(super) fn from_json(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Bool(boolean) => Self::Boolean(boolean),
            serde_json::Value::Number(number) => {
                number.as_i128().map_or_else(|| Self::Float(number.to_string()), Self::Integer)
            }
            serde_json::Value::Array(values) => Self::List(values.into_iter().map(Self::from_json).collect()),
            serde_json::Value::Object(table) => Self::Table(table.len()),
            serde_json::Value::Null => Self::Text(String::new()),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, Problem> {
        match self {
            Self::Boolean(boolean) => Ok(*boolean),
            Self::Untyped(text) if text == "true" || text == "1" => Ok(true),
            Self::Untyped(text) if text == "false" || text == "0" => Ok(false),
            _ => Err(self.is_not("true or false")),
        }
    }

    pub(super) fn integer(&self) -> Result<i128, Problem> {
        const EXPECTED: &str = "a whole number";
        match self {
            Self::Integer(integer) => Ok(*integer),
            Self::Untyped(text) => text.parse().map_err(|_| self.is_not(EXPECTED)),
            _ => Err(self.is_not(EXPECTED)),
        }
    }

    pub(super) fn text(&self) -> Result<&str, Problem> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Ok(text),
            _ => Err(self.is_not("text in quotes")),
        }
    }

    /// A list of texts; outside a file its members are separated by spaces.
    pub(super) fn texts(&self) -> Result<Vec<String>, Problem> {
        const EXPECTED: &str = "a list of texts such as [\"https://app.example\"]";
        match self {
            Self::Untyped(text) => Ok(text.split_ascii_whitespace().map(str::to_owned).collect()),
            Self::List(values) => values
                .iter()
                .map(|value| match value {
                    Self::Text(text) => Ok(text.clone()),
                    _ => Err(value.is_not("text in quotes")),
                })
                .collect(),
            _ => Err(self.is_not(EXPECTED)),
        }
    }

    pub(super) fn span(&self) -> Result<Span, Problem> {
        const EXPECTED: &str = "a duration such as \"25s\"";
        match self {
            Self::Text(text) | Self::Untyped(text) => Span::parse(text).ok_or_else(|| self.is_not(EXPECTED)),
            // Upstream's documentation switches durations off with a bare -1.
            Self::Integer(integer) if *integer < 0 => Ok(Span::Negative),
            _ => Err(self.is_not(EXPECTED)),
        }
    }

    pub(super) fn is_not(&self, expected: &'static str) -> Problem {
        Problem::WrongType { expected, found: self.to_string() }
    }
}

/// As it would stand in a TOML file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Untyped(text) => toml::Value::from(text.as_str()).fmt(f),
            Self::Integer(integer) => integer.fmt(f),
            Self::Float(text) | Self::Datetime(text) => f.write_str(text),
            Self::Boolean(boolean) => boolean.fmt(f),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untyped(text: &str) -> Value {
        Value::Untyped(text.to_owned())
    }

    #[test]
    fn untyped_text_is_read_as_the_type_that_is_asked_for() {
        assert_eq!(untyped("true").boolean(), Ok(true));
        assert_eq!(untyped("0").boolean(), Ok(false));
        assert_eq!(untyped("-7").integer(), Ok(-7));
        assert_eq!(untyped("a  b").texts(), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(untyped("").texts(), Ok(vec![]));
    }

    #[test]
    fn typed_values_are_not_converted() {
        assert!(Value::Text("true".into()).boolean().is_err());
        assert!(Value::Text("8080".into()).integer().is_err());
        assert!(Value::Integer(1).text().is_err());
        assert!(Value::Integer(25).span().is_err());
    }

    #[test]
    fn a_value_of_another_type_is_named_as_it_was_written() {
        let problem =
            Value::List(vec![Value::Text("a\"b".into()), Value::Boolean(true)]).integer().unwrap_err();
        assert_eq!(problem.to_string(), r#"['a"b', true] does not belong here"#);
    }
}
