//! The little of Markdown that the check needs: code spans, code blocks, links, headings.

use std::collections::BTreeSet;

/// A part of a document that may name something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Piece<'a> {
    /// The text between backticks.
    Span(&'a str),
    /// One line of a fenced code block.
    Block(&'a str),
    /// The target of a link or picture.
    Link(&'a str),
}

/// All pieces with their line numbers, in order.
pub(super) fn pieces(text: &str) -> Vec<(usize, Piece<'_>)> {
    let mut found = Vec::new();
    for (number, line, fenced) in lines(text) {
        if fenced {
            found.push((number, Piece::Block(line)));
            continue;
        }
        for (at, part) in line.split('`').enumerate() {
            if at % 2 == 1 {
                found.push((number, Piece::Span(part)));
            } else {
                let targets = part.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
                found.extend(targets.map(|(target, _)| (number, Piece::Link(target.trim()))));
            }
        }
    }
    found
}

/// The anchors of all headings, as the usual renderers make them.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).filter(|(_, line, fenced)| !fenced && line.starts_with('#'));
    headings.map(|(_, line, _)| anchor(line.trim_start_matches('#').trim())).collect()
}

/// Lower case, spaces to hyphens, and nothing but letters, digits, hyphens and underscores.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines with their numbers and whether they stand in a fenced block; the fences themselves are left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str, bool)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        Some((index + 1, line, fenced))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_links_and_blocks_are_told_apart() {
        let text = "A `span`, a [link](to.md) and [`both`](code.md).\n```sh\n[not](a.md) `link`\n```\n";
        let expected = [
            (1, Piece::Span("span")),
            (1, Piece::Link("to.md")),
            (1, Piece::Span("both")),
            (1, Piece::Link("code.md")),
            (3, Piece::Block("[not](a.md) `link`")),
        ];
        assert_eq!(pieces(text), expected);
    }

    #[test]
    fn headings_become_anchors_and_comments_in_code_do_not() {
        let text = "# How fast?\n## What `throng-server` does\n```sh\n# no heading\n```\n";
        let expected = ["how-fast", "what-throng-server-does"];
        assert_eq!(anchors(text), expected.map(str::to_owned).into());
    }
}
