//! The claims of a token, by name, and strict about their types.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use throng_protocol::{Limits, Payload};

use super::TokenError;
use super::parts::invalid;

/// Levels of objects and lists that claims may have; what clients get of them is to be readable for every parser.
const MAX_NESTING: usize = 32;

/// Claims by their names, each as JSON that is not read yet.
#[derive(Debug)]
pub(super) struct Claims<'t>(Object<&'t RawValue>);

/// An object in which no name stands twice: which of two values counts, two readers may see in two ways.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) BTreeMap<String, T>);

impl<'t> Claims<'t> {
    /// Reads the payload of a token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] when it is no object, too deep, or names a claim twice.
    pub(super) fn read(payload: &'t Payload) -> Result<Self, TokenError> {
        if !payload.is_json_within(MAX_NESTING) {
            return Err(invalid("its claims are no JSON, or nested too deeply"));
        }
        serde_json::from_slice(payload.as_bytes())
            .map(Self)
            .map_err(|_| invalid("its claims are not an object in which each name stands once"))
    }

    /// Whether there is a claim of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.0.contains_key(name)
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, TokenError> {
        self.typed(name, "a text")
    }

    /// A number of seconds since 1970; what a fraction adds is left out.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<i64>, TokenError> {
        /// Beyond it a floating-point number is no longer exact, and no calendar goes there.
        const LAST: f64 = 9_007_199_254_740_992.0;

        let Some(number) = self.typed::<serde_json::Number>(name, "a number of seconds")? else {
            return Ok(None);
        };
        #[expect(clippy::cast_possible_truncation, reason = "it is in range, and fractions go")]
        let whole = |number: f64| (0.0..=LAST).contains(&number).then_some(number as i64);
        let seconds = number.as_i64().or_else(|| number.as_f64().and_then(whole));
        seconds.filter(|seconds| *seconds >= 0).map(Some).ok_or_else(|| wrong(name, "a number of seconds"))
    }

    /// A claim of this type, whose name for people is given.
    pub(super) fn typed<T: DeserializeOwned>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, TokenError> {
        let Some(raw) = self.0.0.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| wrong(name, expected))
    }

    /// A claim as it stands there.
    pub(super) fn json(&self, name: &str) -> Option<Payload> {
        self.0.0.get(name).map(|raw| Payload::from(raw.get().to_owned()))
    }

    /// What stands in the base64 of one claim, else the JSON of another; empty if there is neither. `null` is nothing.
    pub(super) fn payload(&self, name: &str, base64_name: &str) -> Result<Payload, TokenError> {
        let encoded = self.text(base64_name)?;
        payload(self.0.0.get(name).map(|raw| raw.get()), encoded.as_deref())
            .ok_or_else(|| wrong(base64_name, "JSON in base64"))
    }
}

/// What stands in base64, else the JSON; empty if there is neither. `None` if the base64 is none, or holds no JSON.
pub(super) fn payload(json: Option<&str>, encoded: Option<&str>) -> Option<Payload> {
    match (encoded, json) {
        (Some(encoded), _) => {
            let decoded = STANDARD.decode(encoded).ok().map(Payload::from)?;
            // It becomes a part of what JSON clients read.
            (decoded.is_empty() || decoded.is_json_within(Limits::default().nesting)).then_some(decoded)
        }
        (None, None | Some("null")) => Some(Payload::default()),
        (None, Some(json)) => Some(Payload::from(json.to_owned())),
    }
}

/// A claim is not what it should be.
pub(super) fn wrong(name: &str, expected: &str) -> TokenError {
    TokenError::Invalid(format!("claim {name} is not {expected}").into())
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Names<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Object(object))
            }
        }

        deserializer.deserialize_map(Names(PhantomData))
    }
}
