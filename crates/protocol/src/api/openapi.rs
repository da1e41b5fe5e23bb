use std::collections::BTreeMap;
use std::fmt;

use bytes::BytesMut;

use super::{ApiCommand, ApiError, ApiReply, BATCH, BatchRequest, BatchResult};
use crate::ErrorCode;
use crate::codec::field::{Choice, Message};
use crate::codec::json::write_string;
use crate::codec::shape::{Alternative, Kind, Member, Shape};

/// A description of the API in OpenAPI 3.1, as JSON: every method with its request and its result.
///
/// Made from the tables that the codec is made from, so it cannot differ from what is read and written. `prefix` is
/// the path under which the methods are, for example `/api`.
pub fn openapi(prefix: &str) -> String {
    let mut schemas = Schemas::default();
    let mut paths: Vec<(String, Json)> = ApiCommand::SHAPES
        .iter()
        .map(|command| (format!("/{}", command.key), command_path(command, &mut schemas)))
        .collect();
    paths.push((format!("/{BATCH}"), batch_path(&mut schemas)));
    let document = object([
        ("openapi", text("3.1.0")),
        ("info", info()),
        ("servers", Json::List(vec![object([("url", text(prefix))])])),
        ("security", Json::List(KEYS.map(|(name, _, _)| object([(name, Json::List(Vec::new()))])).into())),
        ("paths", Json::Object(paths)),
        (
            "components",
            object([
                ("schemas", schemas.finish()),
                (
                    "responses",
                    owned(STATUSES.map(|(code, words)| (code, object([("description", text(words))])))),
                ),
                (
                    "securitySchemes",
                    owned(KEYS.map(|(name, place, words)| (name, key_scheme(name, place, words)))),
                ),
            ]),
        ),
    ]);
    document.to_string()
}

const ABOUT: &str = "Publish to the clients of a throng server, manage them, and ask what it knows. Every method is a \
    POST with a JSON object; unknown members are ignored, and what is not given is empty, false or 0. Results and \
    errors both come with status 200; where the server is set to `http_api.error_mode = \"transport\"`, an error comes as \
    `{\"code\", \"message\"}` with a status of its own: 404, 400, 429, 416, 409 or 500.";

/// Ways to send the key: name, where it is, and how.
const KEYS: [(&str, &str, &str); 3] = [
    (
        "X-API-Key",
        "header",
        "The key, as it is. If it is sent in this way, `Authorization` is not looked at.",
    ),
    ("Authorization", "header", "The word `apikey`, a space, and the key."),
    (
        "api_key",
        "query",
        "The key, percent-encoded. Addresses end up in the logs of proxies: prefer a header.",
    ),
];

/// What is not answered with status 200.
const STATUSES: [(&str, &str); 7] = [
    ("400", "The body is not JSON, or not what the method takes."),
    ("401", "The key is wrong or missing, or the server has none. The body is empty."),
    ("404", "There is no such method."),
    ("405", "Methods are called with POST."),
    ("408", "The body did not come in time."),
    ("413", "The body is too long."),
    ("503", "There are too many requests at once."),
];

/// The codes that the methods answer with.
const CODES: [ErrorCode; 9] = [
    ErrorCode::Internal,
    ErrorCode::UnknownChannel,
    ErrorCode::MethodNotFound,
    ErrorCode::LimitExceeded,
    ErrorCode::BadRequest,
    ErrorCode::NotAvailable,
    ErrorCode::Expired,
    ErrorCode::TooManyRequests,
    ErrorCode::UnrecoverablePosition,
];

fn info() -> Json {
    object([
        ("title", text("throng HTTP server API")),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("description", text(ABOUT)),
        (
            "license",
            object([
                ("name", text(env!("CARGO_PKG_LICENSE"))),
                ("identifier", text(env!("CARGO_PKG_LICENSE"))),
            ]),
        ),
    ])
}

fn key_scheme(name: &str, place: &str, words: &str) -> Json {
    object([
        ("type", text("apiKey")),
        ("in", text(place)),
        ("name", text(name)),
        ("description", text(words)),
    ])
}

fn command_path(command: &'static Alternative, schemas: &mut Schemas) -> Json {
    let reply = ApiReply::SHAPES.iter().find(|reply| reply.key == command.key);
    let reply = reply.expect("every command has a reply of its name");
    let result = envelope("result", schemas.of_message(reply.shape));
    let answer = object([("oneOf", Json::List(vec![result, schemas.of_error()]))]);
    path(command.key, command.doc, schemas.of_message(command.shape), &prose(reply.doc), answer)
}

fn batch_path(schemas: &mut Schemas) -> Json {
    let (request, result) = (BatchRequest::SHAPE, BatchResult::SHAPE);
    path(BATCH, request.doc, schemas.of_message(request), &prose(result.doc), schemas.of_message(result))
}

fn path(method: &str, doc: &[&str], request: Json, result: &str, answer: Json) -> Json {
    let mut responses =
        vec![("200".into(), object([("description", text(result)), ("content", content(answer))]))];
    responses.extend(STATUSES.map(|(code, _)| (code.into(), reference("responses", code))));
    let post = object([
        ("operationId", text(method)),
        ("summary", text(&prose(doc))),
        ("requestBody", object([("required", Json::Raw("true".into())), ("content", content(request))])),
        ("responses", Json::Object(responses)),
    ]);
    object([("post", post)])
}

fn content(schema: Json) -> Json {
    object([("application/json", object([("schema", schema)]))])
}

/// An object that has this one member.
fn envelope(key: &str, schema: Json) -> Json {
    object([
        ("type", text("object")),
        ("required", Json::List(vec![text(key)])),
        ("properties", owned([(key, schema)])),
    ])
}

/// The schemas that are referred to, by name.
#[derive(Default)]
struct Schemas(BTreeMap<&'static str, Json>);

impl Schemas {
    /// A reference to the schema of a message, which is added with all that it needs.
    fn of_message(&mut self, shape: &'static Shape) -> Json {
        self.named(shape.name, |schemas| {
            let required = shape.members.iter().filter(|member| member.always);
            let mut schema = vec![
                ("type".into(), text("object")),
                ("description".into(), text(&prose(shape.doc))),
                ("properties".into(), schemas.of_members(shape.members)),
            ];
            let required: Vec<Json> = required.map(|member| text(member.key)).collect();
            if !required.is_empty() {
                schema.push(("required".into(), Json::List(required)));
            }
            Json::Object(schema)
        })
    }

    fn of_members(&mut self, members: &[Member]) -> Json {
        let properties = members.iter().map(|member| {
            let schema = self.of_kind(&(member.kind)());
            (member.key.into(), described(schema, member.doc))
        });
        Json::Object(properties.collect())
    }

    /// A reference to an object with one of these members.
    fn of_alternatives(&mut self, name: &'static str, alternatives: &'static [Alternative]) -> Json {
        self.named(name, |schemas| {
            let properties = alternatives.iter().map(|alternative| {
                let schema = schemas.of_message(alternative.shape);
                (alternative.key.into(), described(schema, alternative.doc))
            });
            let properties = Json::Object(properties.collect());
            object([
                ("type", text("object")),
                ("description", text("One of these members.")),
                ("properties", properties),
                ("minProperties", Json::Raw("1".into())),
                ("maxProperties", Json::Raw("1".into())),
            ])
        })
    }

    fn of_error(&mut self) -> Json {
        self.named("ErrorResponse", |schemas| {
            let codes = CODES.map(|code| format!("{} {}", code.code(), code.api_message())).join(", ");
            let mut schema = envelope("error", schemas.of_message(ApiError::SHAPE));
            schema.push("description", text(&format!("Why there is no result: {codes}.")));
            schema
        })
    }

    fn of_kind(&mut self, kind: &Kind) -> Json {
        match kind {
            Kind::Boolean => object([("type", text("boolean"))]),
            Kind::Integer { min, max } => object([
                ("type", text("integer")),
                ("minimum", Json::Raw(min.to_string())),
                ("maximum", Json::Raw(max.to_string())),
            ]),
            Kind::Number => object([("type", text("number"))]),
            Kind::Text => object([("type", text("string"))]),
            Kind::Json => object([]),
            Kind::Message(shape) => self.of_message(shape),
            Kind::OneOf(name, alternatives) => self.of_alternatives(name, alternatives),
            Kind::List(kind) => object([("type", text("array")), ("items", self.of_kind(kind))]),
            Kind::Map(kind) => {
                object([("type", text("object")), ("additionalProperties", self.of_kind(kind))])
            }
        }
    }

    fn named(&mut self, name: &'static str, schema: impl FnOnce(&mut Self) -> Json) -> Json {
        if !self.0.contains_key(name) {
            // Taken before it is made, because it may refer to itself.
            self.0.insert(name, object([]));
            let schema = schema(self);
            self.0.insert(name, schema);
        }
        reference("schemas", name)
    }

    fn finish(self) -> Json {
        owned(self.0)
    }
}

fn described(mut schema: Json, doc: &[&str]) -> Json {
    schema.push("description", text(&prose(doc)));
    schema
}

fn reference(section: &str, name: &str) -> Json {
    object([("$ref", text(&format!("#/components/{section}/{name}")))])
}

/// The lines of a doc comment as one.
fn prose(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// JSON that is put together piece by piece.
enum Json {
    Text(String),
    /// A number or a literal.
    Raw(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    owned(members)
}

fn owned<'a>(members: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

impl Json {
    /// Adds a member to an object.
    fn push(&mut self, key: &str, value: Self) {
        match self {
            Self::Object(members) => members.push((key.to_owned(), value)),
            Self::Text(_) | Self::Raw(_) | Self::List(_) => unreachable!("schemas are objects"),
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => out.write_str(&literal(text)),
            Self::Raw(token) => out.write_str(token),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::to_string).collect();
                write!(out, "[{}]", items.join(","))
            }
            Self::Object(members) => {
                let members: Vec<String> =
                    members.iter().map(|(key, value)| format!("{}:{value}", literal(key))).collect();
                write!(out, "{{{}}}", members.join(","))
            }
        }
    }
}

fn literal(text: &str) -> String {
    let mut out = BytesMut::new();
    write_string(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
