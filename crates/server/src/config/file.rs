//! The TOML file: its keys as paths, with their values and lines.

use std::{fs, io, path::Path};

use toml::de::{DeTable, DeValue};

use super::{
    fault::{Fault, Place, Problem},
    namespaces, tls,
    value::Value,
};

/// A key with its value, as the file has them.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    /// Names of tables and key, joined by dots.
    pub(super) path: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<String, Problem> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => Problem::NotText,
        kind => Problem::Unreadable(kind),
    })
}

/// Takes a file apart into its keys, in the order of their lines.
///
/// `is_table` tells whether a path is that of a known table; the keys of an unknown one are not listed, the table
/// itself is, so that it gives one fault and not one for each of its keys.
pub(super) fn parse(
    path: &Path,
    text: &str,
    is_table: impl Fn(&str) -> bool,
) -> Result<Vec<Entry>, Vec<Fault>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let fault = |error: toml::de::Error| {
            let line = error.span().map(|span| line_at(text, span.start));
            let place = Place::File { path: path.to_owned(), line };
            let problem = Problem::Syntax(error.message().trim_end().to_owned());
            Fault { place, key: String::new(), problem }
        };
        return Err(errors.into_iter().map(fault).collect());
    }
    let mut entries = Vec::new();
    collect(text, "", table.get_ref(), &is_table, &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn collect(
    text: &str,
    prefix: &str,
    table: &DeTable<'_>,
    is_table: &impl Fn(&str) -> bool,
    entries: &mut Vec<Entry>,
) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        match value.get_ref() {
            // An empty table is kept, because that it is there can have a meaning.
            DeValue::Table(table) if is_table(&path) && !table.is_empty() => {
                collect(text, &path, table, is_table, entries)
            }
            DeValue::Array(list) if is_list(&path) && list.iter().all(|one| one.get_ref().is_table()) => {
                for (index, one) in list.iter().enumerate() {
                    let DeValue::Table(table) = one.get_ref() else { continue };
                    collect(text, &format!("{path}[{index}]"), table, is_table, entries);
                    // A namespace is there also where nothing but its name is said, or not even that.
                    if path == namespaces::LIST && !table.contains_key("name") {
                        let (path, line) = (format!("{path}[{index}].name"), line_at(text, one.span().start));
                        entries.push(Entry { path, line, value: Value::Text(String::new()) });
                    }
                }
            }
            value => entries.push(Entry {
                path,
                line: line_at(text, key.span().start),
                value: Value::from_toml(value),
            }),
        }
    }
}

/// Whether the tables of a list are taken apart.
fn is_list(path: &str) -> bool {
    [namespaces::LIST, tls::CERTIFICATES].contains(&path)
}

/// A quoted key that has a dot in its name stays quoted, so that it is not taken for a table and a key.
fn join(prefix: &str, key: &str) -> String {
    let key = if key.contains('.') { format!("{key:?}") } else { key.to_owned() };
    if prefix.is_empty() { key } else { format!("{prefix}.{key}") }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, usize)> {
        let is_table = |path: &str| path != "unknown";
        let entries = parse(Path::new("throng.toml"), text, is_table).unwrap();
        entries.into_iter().map(|entry| (entry.path, entry.line)).collect()
    }

    fn entry(path: &str, line: usize) -> (String, usize) {
        (path.to_owned(), line)
    }

    #[test]
    fn keys_have_their_paths_and_lines_in_the_order_of_the_file() {
        let text = "b = 1\n\n[z]\nk = 2\n[a]\nk = [\n  1,\n]\nt.u = 3\n";
        assert_eq!(entries(text), [entry("b", 1), entry("z.k", 4), entry("a.k", 6), entry("a.t.u", 9)]);
    }

    #[test]
    fn an_unknown_table_is_one_entry() {
        assert_eq!(entries("[unknown]\na = 1\nb = 2\n"), [entry("unknown", 1)]);
    }

    #[test]
    fn a_key_with_a_dot_in_its_name_is_not_a_path() {
        assert_eq!(entries("\"client.port\" = 1\n"), [entry("\"client.port\"", 1)]);
    }

    #[test]
    fn a_list_of_tables_is_one_entry() {
        assert_eq!(entries("[[n]]\na = 1\n[[n]]\na = 2\n"), [entry("n", 1)]);
    }

    #[test]
    fn every_syntax_error_has_its_line() {
        let faults = parse(Path::new("throng.toml"), "a = \nb = 1\nc = 'x\n", |_| true).unwrap_err();
        let lines: Vec<_> = faults.iter().map(|fault| fault.place.to_string()).collect();
        assert_eq!(lines, ["throng.toml:1", "throng.toml:3"]);
    }

    #[test]
    fn a_missing_file_is_a_problem() {
        let problem = read(Path::new("no/such/throng.toml")).unwrap_err();
        assert_eq!(problem, Problem::Unreadable(io::ErrorKind::NotFound));
    }
}
