//! Conditions on the tags of publications.

mod decimal;

use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::collections::BTreeMap;

use self::decimal::Decimal;
use crate::FilterNode;

/// A subscriber's condition on the tags of publications, checked once and then evaluated for each publication.
///
/// A leaf compares one tag (`cmp` of [`FilterNode`]), a branch (`op`) joins conditions by `and`, `or` or `not`:
///
/// | `cmp` | true if the tag | without the tag | needs |
/// |---|---|---|---|
/// | `eq`, `neq` | equals, differs from `val` | false, true | `val` |
/// | `in`, `nin` | is, is not one of `vals` | as if it were empty, true | `vals` |
/// | `ex`, `nex` | is there, is not there | false, true | neither |
/// | `sw`, `ew`, `ct` | starts with, ends with, contains `val` | false | `val` |
/// | `lt`, `lte`, `gt`, `gte` | is a number below, at most, above, at least `val` | false | `val` |
///
/// Numbers are decimals of any length without exponent, such as `-12.50`. A tag or a `val` that is no number makes
/// the comparison false. Evaluating costs at most [`MAX_NODES`](Self::MAX_NODES) comparisons and allocates nothing.
///
/// ```
/// use std::collections::BTreeMap;
/// use throng_protocol::{FilterNode, TagsFilter};
///
/// let node = FilterNode { key: "price".into(), cmp: "gte".into(), val: "9.99".into(), ..Default::default() };
/// let filter = TagsFilter::compile(&node)?;
/// assert!(filter.matches(&BTreeMap::from([("price".into(), "10".into())])));
/// assert!(!filter.matches(&BTreeMap::new()));
/// # Ok::<(), throng_protocol::FilterError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TagsFilter(Condition);

/// Why a filter was refused; the client gets error 107.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// A node's `op` is neither empty nor `and`, `or` or `not`.
    #[error("unknown operation")]
    UnknownOperation,
    /// A leaf's `cmp` is none of those in the table of [`TagsFilter`].
    #[error("unknown comparison")]
    UnknownComparison,
    /// A leaf names no tag.
    #[error("the comparison {0} needs a key")]
    NoKey(&'static str),
    /// A leaf compares with `val`, which is empty.
    #[error("the comparison {0} needs a value")]
    NoValue(&'static str),
    /// A leaf compares with `vals`, which is empty.
    #[error("the comparison {0} needs a list of values")]
    NoValues(&'static str),
    /// A leaf has a `val` or `vals` that its comparison does not use.
    #[error("the comparison {0} has a value or a list of values too many")]
    UnusedValue(&'static str),
    /// A branch has no nodes, or `not` has more than one.
    #[error("the operation {operation} cannot have {nodes} nodes")]
    WrongNodes {
        /// The branch's `op`.
        operation: &'static str,
        /// How many nodes it has.
        nodes: usize,
    },
    /// Branches are nested more than [`TagsFilter::MAX_DEPTH`] levels deep.
    #[error("nested more than {} levels deep", TagsFilter::MAX_DEPTH)]
    TooDeep,
    /// There are more than [`TagsFilter::MAX_NODES`] nodes.
    #[error("more than {} nodes", TagsFilter::MAX_NODES)]
    TooManyNodes,
    /// There are more than [`TagsFilter::MAX_VALUES`] entries in lists of values.
    #[error("more than {} values in lists", TagsFilter::MAX_VALUES)]
    TooManyValues,
}

impl TagsFilter {
    /// Most levels, the leaf's own included.
    pub const MAX_DEPTH: usize = 32;
    /// Most nodes, leaves and branches together.
    pub const MAX_NODES: usize = 256;
    /// Most entries of `vals`, all leaves together.
    pub const MAX_VALUES: usize = 1_024;

    /// Checks what a client sent.
    ///
    /// # Errors
    ///
    /// Refuses a tree that breaks the table above or one of the limits. The fault that comes first, top down and in
    /// the order of the nodes, is told.
    pub fn compile(node: &FilterNode) -> Result<Self, FilterError> {
        Compiler::default().condition(node).map(Self)
    }

    /// True if a publication with these tags is wanted.
    pub fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        self.0.holds(tags)
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Condition {
    Tag { key: Box<str>, test: Test },
    All(Box<[Self]>),
    Any(Box<[Self]>),
    Not(Box<Self>),
}

/// What is asked of one tag.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Test {
    Equals(Box<str>),
    Differs(Box<str>),
    /// Sorted.
    In(Box<[Box<str>]>),
    /// Sorted.
    NotIn(Box<[Box<str>]>),
    Exists,
    Missing,
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    Number {
        /// How the tag may stand to the value.
        accepts: &'static [Ordering],
        than: Box<str>,
    },
}

impl Condition {
    fn holds(&self, tags: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Tag { key, test } => test.holds(tags.get(&**key).map(String::as_str)),
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(tags)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(tags)),
            Self::Not(condition) => !condition.holds(tags),
        }
    }
}

impl Test {
    fn holds(&self, tag: Option<&str>) -> bool {
        match self {
            Self::Equals(value) => tag == Some(&**value),
            Self::Differs(value) => tag != Some(&**value),
            // As upstream does it, a tag that is missing is as good as an empty one here, and only here.
            Self::In(values) => contains(values, tag.unwrap_or_default()),
            Self::NotIn(values) => tag.is_none_or(|tag| !contains(values, tag)),
            Self::Exists => tag.is_some(),
            Self::Missing => tag.is_none(),
            Self::StartsWith(value) => tag.is_some_and(|tag| tag.starts_with(&**value)),
            Self::EndsWith(value) => tag.is_some_and(|tag| tag.ends_with(&**value)),
            Self::Contains(value) => tag.is_some_and(|tag| tag.contains(&**value)),
            Self::Number { accepts, than } => tag
                .and_then(Decimal::parse)
                .zip(Decimal::parse(than))
                .is_some_and(|(tag, than)| accepts.contains(&tag.cmp(&than))),
        }
    }
}

fn contains(sorted: &[Box<str>], tag: &str) -> bool {
    sorted.binary_search_by(|value| (**value).cmp(tag)).is_ok()
}

/// Counts what the limits count while it walks down the tree.
#[derive(Default)]
struct Compiler {
    depth: usize,
    nodes: usize,
    values: usize,
}

impl Compiler {
    fn condition(&mut self, node: &FilterNode) -> Result<Condition, FilterError> {
        if self.depth == TagsFilter::MAX_DEPTH {
            return Err(FilterError::TooDeep);
        }
        if self.nodes == TagsFilter::MAX_NODES {
            return Err(FilterError::TooManyNodes);
        }
        self.nodes += 1;
        match node.op.as_str() {
            "" => Ok(Condition::Tag { test: self.test(node)?, key: node.key.as_str().into() }),
            "and" => Ok(Condition::All(self.branch("and", &node.nodes)?.into())),
            "or" => Ok(Condition::Any(self.branch("or", &node.nodes)?.into())),
            "not" => match <[Condition; 1]>::try_from(self.branch("not", &node.nodes)?) {
                Ok([condition]) => Ok(Condition::Not(Box::new(condition))),
                Err(nodes) => Err(FilterError::WrongNodes { operation: "not", nodes: nodes.len() }),
            },
            _ => Err(FilterError::UnknownOperation),
        }
    }

    fn branch(
        &mut self,
        operation: &'static str,
        nodes: &[FilterNode],
    ) -> Result<Vec<Condition>, FilterError> {
        if nodes.is_empty() {
            return Err(FilterError::WrongNodes { operation, nodes: 0 });
        }
        self.depth += 1;
        let conditions = nodes.iter().map(|node| self.condition(node)).collect();
        self.depth -= 1;
        conditions
    }

    fn test(&mut self, leaf: &FilterNode) -> Result<Test, FilterError> {
        let number = |name, accepts| Ok(Test::Number { accepts, than: value(leaf, name)? });
        match leaf.cmp.as_str() {
            "eq" => value(leaf, "eq").map(Test::Equals),
            "neq" => value(leaf, "neq").map(Test::Differs),
            "in" => self.values(leaf, "in").map(Test::In),
            "nin" => self.values(leaf, "nin").map(Test::NotIn),
            "ex" => no_value(leaf, "ex").map(|()| Test::Exists),
            "nex" => no_value(leaf, "nex").map(|()| Test::Missing),
            "sw" => value(leaf, "sw").map(Test::StartsWith),
            "ew" => value(leaf, "ew").map(Test::EndsWith),
            "ct" => value(leaf, "ct").map(Test::Contains),
            "lt" => number("lt", &[Less]),
            "lte" => number("lte", &[Less, Equal]),
            "gt" => number("gt", &[Greater]),
            "gte" => number("gte", &[Greater, Equal]),
            _ => Err(FilterError::UnknownComparison),
        }
    }

    fn values(&mut self, leaf: &FilterNode, name: &'static str) -> Result<Box<[Box<str>]>, FilterError> {
        if leaf.key.is_empty() {
            return Err(FilterError::NoKey(name));
        }
        if leaf.vals.is_empty() {
            return Err(FilterError::NoValues(name));
        }
        if !leaf.val.is_empty() {
            return Err(FilterError::UnusedValue(name));
        }
        self.values += leaf.vals.len();
        if self.values > TagsFilter::MAX_VALUES {
            return Err(FilterError::TooManyValues);
        }
        let mut values: Vec<Box<str>> = leaf.vals.iter().map(|value| value.as_str().into()).collect();
        values.sort_unstable();
        values.dedup();
        Ok(values.into())
    }
}

fn value(leaf: &FilterNode, name: &'static str) -> Result<Box<str>, FilterError> {
    if leaf.key.is_empty() {
        return Err(FilterError::NoKey(name));
    }
    if leaf.val.is_empty() {
        return Err(FilterError::NoValue(name));
    }
    if !leaf.vals.is_empty() {
        return Err(FilterError::UnusedValue(name));
    }
    Ok(leaf.val.as_str().into())
}

/// The empty key is let through here: whether there is a tag without a name can be asked.
fn no_value(leaf: &FilterNode, name: &'static str) -> Result<(), FilterError> {
    if leaf.val.is_empty() && leaf.vals.is_empty() { Ok(()) } else { Err(FilterError::UnusedValue(name)) }
}

#[cfg(test)]
mod tests;
