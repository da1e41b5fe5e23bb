//! What the message tables know about themselves, for descriptions that are made from them.

/// A message.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Name of the struct.
    pub(crate) name: &'static str,
    /// Its doc comment, line by line.
    pub(crate) doc: &'static [&'static str],
    /// Its fields, in the order in which they are written.
    pub(crate) members: &'static [Member],
}

/// A field of a message.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its key in JSON.
    pub(crate) key: &'static str,
    /// Its doc comment, line by line.
    pub(crate) doc: &'static [&'static str],
    /// True if it is written even when it is zero.
    pub(crate) always: bool,
    /// What it holds. A function, because messages may hold themselves.
    pub(crate) kind: fn() -> Kind,
}

/// One of the bodies of a choice.
#[derive(Debug)]
pub(crate) struct Alternative {
    /// Its key in JSON.
    pub(crate) key: &'static str,
    /// Its doc comment, line by line.
    pub(crate) doc: &'static [&'static str],
    /// The message behind the key.
    pub(crate) shape: &'static Shape,
}

/// What a field can hold.
#[derive(Debug)]
pub(crate) enum Kind {
    Boolean,
    Integer {
        min: i128,
        max: i128,
    },
    Number,
    Text,
    /// Any JSON value.
    Json,
    Message(&'static Shape),
    /// An object with one of these as its member; the name is that of the choice.
    OneOf(&'static str, &'static [Alternative]),
    List(Box<Self>),
    /// By a text.
    Map(Box<Self>),
}
