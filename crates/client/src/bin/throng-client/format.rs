//! Lines as their reader wants them: `--format`.

use std::str::FromStr;

use throng_client::{Publication, StreamPosition};

use crate::text::Shown;

/// What `--format` names, in the order in which messages list it.
const FIELDS: &[(&str, Field)] = &[
    ("channel", Field::Channel),
    ("data", Field::Data),
    ("offset", Field::Offset),
    ("epoch", Field::Epoch),
    ("time", Field::Time),
    ("user", Field::User),
    ("client", Field::Client),
    ("tags", Field::Tags),
];

/// A line with fields in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Channel,
    Data,
    Offset,
    Epoch,
    Time,
    User,
    Client,
    Tags,
}

impl Template {
    /// The line for a publication, which stands at this place.
    pub(crate) fn line(
        &self,
        channel: &str,
        publication: &Publication,
        position: Option<&StreamPosition>,
    ) -> String {
        let mut line = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => line.push_str(text),
                Part::Field(field) => line.push_str(&field.of(channel, publication, position)),
            }
        }
        line
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '{' if rest.next_if_eq(&'{').is_some() => literal.push('{'),
                '}' if rest.next_if_eq(&'}').is_some() => literal.push('}'),
                '\\' if rest.next_if_eq(&'t').is_some() => literal.push('\t'),
                '\\' if rest.next_if_eq(&'\\').is_some() => literal.push('\\'),
                '{' => {
                    let name: String = std::iter::from_fn(|| rest.next_if(|next| *next != '}')).collect();
                    let field = field(&name)?;
                    if rest.next().is_none() {
                        return Err("a { without a }; write {{ for a brace".to_owned());
                    }
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Field(field));
                }
                '}' => return Err("a } without a {; write }} for a brace".to_owned()),
                '\n' | '\r' => return Err("a publication is one line; \\t is a tab".to_owned()),
                character => literal.push(character),
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }
}

impl Field {
    fn of(self, channel: &str, publication: &Publication, position: Option<&StreamPosition>) -> String {
        let number = |number: Option<i128>| number.map(|number| number.to_string()).unwrap_or_default();
        let info = publication.info.as_ref();
        match self {
            Self::Channel => channel.to_owned(),
            Self::Data => Shown::new(&publication.data).as_str().to_owned(),
            Self::Offset => number((publication.offset > 0).then_some(publication.offset.into())),
            Self::Epoch => position.map(|position| position.epoch.clone()).unwrap_or_default(),
            Self::Time => number((publication.time > 0).then_some(publication.time.into())),
            Self::User => info.map(|info| info.user.clone()).unwrap_or_default(),
            Self::Client => info.map(|info| info.client.clone()).unwrap_or_default(),
            Self::Tags if publication.tags.is_empty() => String::new(),
            Self::Tags => serde_json::json!(publication.tags).to_string(),
        }
    }
}

fn field(name: &str) -> Result<Field, String> {
    FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field).ok_or_else(|| {
        let known: Vec<String> = FIELDS.iter().map(|(name, _)| format!("{{{name}}}")).collect();
        format!("there is no field {{{name}}}; there are {}; {{{{ is a brace", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use throng_client::ClientInfo;

    use super::*;

    fn line(template: &str, publication: &Publication) -> String {
        let position = StreamPosition { offset: publication.offset, epoch: "abc".to_owned() };
        template.parse::<Template>().unwrap().line("news", publication, Some(&position))
    }

    #[test]
    fn every_field_is_filled_in() {
        let info = ClientInfo { user: "ann".into(), client: "c1".into(), ..ClientInfo::default() };
        let publication = Publication {
            data: "{\"n\":1}".to_owned().into(),
            info: Some(info),
            offset: 7,
            time: 1_700_000_000_000,
            tags: [("side".to_owned(), "buy".to_owned())].into(),
            ..Publication::default()
        };
        let all = "{channel} {data} {offset} {epoch} {time} {user} {client} {tags}";
        assert_eq!(line(all, &publication), "news {\"n\":1} 7 abc 1700000000000 ann c1 {\"side\":\"buy\"}");
        let nothing = Publication::default();
        assert_eq!(line("[{offset}{time}{user}{client}{tags}]", &nothing), "[]");
    }

    #[test]
    fn braces_tabs_and_backslashes_can_be_written() {
        let publication = Publication { data: "1".to_owned().into(), ..Publication::default() };
        assert_eq!(line("{{{data}}}\\t\\\\t\\x", &publication), "{1}\t\\t\\x");
    }

    #[test]
    fn what_is_no_field_is_an_error_that_lists_the_fields() {
        let told = "{frist}".parse::<Template>().unwrap_err();
        assert_eq!(
            told,
            "there is no field {frist}; there are {channel}, {data}, {offset}, {epoch}, {time}, {user}, {client}, \
             {tags}; {{ is a brace"
        );
        for bad in ["{", "{}", "{data", "data}", "a\nb"] {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
    }
}
