use super::*;

fn leaf(key: &str, cmp: &str, val: &str, vals: &[&str]) -> FilterNode {
    let vals = vals.iter().map(|&value| value.to_owned()).collect();
    FilterNode { key: key.into(), cmp: cmp.into(), val: val.into(), vals, ..Default::default() }
}

fn branch(op: &str, nodes: Vec<FilterNode>) -> FilterNode {
    FilterNode { op: op.into(), nodes, ..Default::default() }
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// How a leaf on the tag `k` judges a publication that has it with this value, or does not have it.
fn judged(cmp: &str, val: &str, vals: &[&str], tag: Option<&str>) -> bool {
    let filter = TagsFilter::compile(&leaf("k", cmp, val, vals)).unwrap();
    let tag = tag.map(|tag| ("k", tag));
    filter.matches(&tags(tag.as_slice()))
}

#[test]
fn comparisons_with_one_value_judge_as_the_table_says() {
    type Tags<'a> = &'a [Option<&'a str>];
    // Comparison, value, tags that are wanted, tags that are not.
    let cases: [(&str, &str, Tags<'_>, Tags<'_>); 9] = [
        ("eq", "b", &[Some("b")], &[Some("a"), Some(""), Some("bb"), None]),
        ("neq", "b", &[Some("a"), Some(""), None], &[Some("b")]),
        ("sw", "ab", &[Some("ab"), Some("abc")], &[Some("a"), Some("cab"), Some(""), None]),
        ("ew", "ab", &[Some("ab"), Some("cab")], &[Some("b"), Some("abc"), Some(""), None]),
        ("ct", "ab", &[Some("ab"), Some("cabd")], &[Some("a-b"), Some(""), None]),
        ("lt", "2.5", &[Some("2.49"), Some("-3"), Some("0")], &[Some("2.50"), Some("10"), Some("x"), None]),
        ("lte", "2.5", &[Some("2.50"), Some("1")], &[Some("2.51"), Some("10"), Some(""), None]),
        ("gt", "2.5", &[Some("2.51"), Some("10")], &[Some("2.5"), Some("-10"), Some("10x"), None]),
        ("gte", "-2.5", &[Some("-2.50"), Some("+0")], &[Some("-2.6"), Some("-10"), Some("1e9"), None]),
    ];
    for (cmp, val, wanted, unwanted) in cases {
        for tag in wanted {
            assert!(judged(cmp, val, &[], *tag), "{tag:?} {cmp} {val}");
        }
        for tag in unwanted {
            assert!(!judged(cmp, val, &[], *tag), "not {tag:?} {cmp} {val}");
        }
    }
}

#[test]
fn lists_of_values_judge_as_the_table_says() {
    for (vals, tag, member) in [
        (&["c", "a", "b", "a"][..], Some("a"), true),
        (&["c", "a", "b"], Some("d"), false),
        (&["a"], Some(""), false),
        (&["", "a"], Some(""), true),
        (&["e", "d", "c", "b", "a"], Some("a"), true),
        (&["e", "d", "c", "b", "a"], Some("e"), true),
    ] {
        assert_eq!(judged("in", "", vals, tag), member, "{tag:?} in {vals:?}");
        assert_eq!(judged("nin", "", vals, tag), !member, "{tag:?} nin {vals:?}");
    }
}

#[test]
fn a_missing_tag_is_in_a_list_with_the_empty_value_and_is_never_kept_out_by_one() {
    assert!(judged("in", "", &["", "a"], None));
    assert!(!judged("in", "", &["a"], None));
    assert!(judged("nin", "", &["", "a"], None));
    assert!(judged("nin", "", &["a"], None));
}

#[test]
fn existence_is_that_of_the_tag_and_not_of_its_value() {
    for tag in [None, Some(""), Some("a")] {
        assert_eq!(judged("ex", "", &[], tag), tag.is_some());
        assert_eq!(judged("nex", "", &[], tag), tag.is_none());
    }
    let unnamed = TagsFilter::compile(&leaf("", "ex", "", &[])).unwrap();
    assert!(unnamed.matches(&tags(&[("", "a")])) && !unnamed.matches(&tags(&[("k", "a")])));
}

#[test]
fn a_value_that_is_no_number_wants_nothing() {
    for cmp in ["lt", "lte", "gt", "gte"] {
        assert!(!judged(cmp, "many", &[], Some("1")) && !judged(cmp, "many", &[], Some("many")));
    }
}

#[test]
fn branches_join_conditions() {
    let (yes, no) = (|| leaf("k", "ex", "", &[]), || leaf("k", "nex", "", &[]));
    let there = tags(&[("k", "v")]);
    for (node, wanted) in [
        (branch("and", vec![yes(), yes()]), true),
        (branch("and", vec![yes(), no()]), false),
        (branch("and", vec![yes()]), true),
        (branch("or", vec![no(), yes()]), true),
        (branch("or", vec![no(), no()]), false),
        (branch("not", vec![no()]), true),
        (branch("not", vec![yes()]), false),
        (branch("and", vec![branch("or", vec![no(), yes()]), branch("not", vec![no()])]), true),
        (branch("or", vec![branch("and", vec![no(), yes()]), branch("not", vec![yes()])]), false),
    ] {
        assert_eq!(TagsFilter::compile(&node).unwrap().matches(&there), wanted, "{node:?}");
    }
}

#[test]
fn what_the_table_does_not_allow_is_refused() {
    for cmp in ["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"] {
        let error = |node| TagsFilter::compile(&node).unwrap_err();
        assert!(matches!(error(leaf("", cmp, "v", &[])), FilterError::NoKey(name) if name == cmp));
        assert!(matches!(error(leaf("k", cmp, "", &[])), FilterError::NoValue(name) if name == cmp));
        assert!(matches!(error(leaf("k", cmp, "v", &["w"])), FilterError::UnusedValue(name) if name == cmp));
    }
    let refused = [
        (leaf("", "in", "", &["v"]), FilterError::NoKey("in")),
        (leaf("k", "in", "", &[]), FilterError::NoValues("in")),
        (leaf("k", "nin", "v", &["v"]), FilterError::UnusedValue("nin")),
        (leaf("k", "ex", "v", &[]), FilterError::UnusedValue("ex")),
        (leaf("k", "nex", "", &["v"]), FilterError::UnusedValue("nex")),
        (FilterNode::default(), FilterError::UnknownComparison),
        (leaf("k", "EQ", "v", &[]), FilterError::UnknownComparison),
        (branch("xor", vec![leaf("k", "ex", "", &[])]), FilterError::UnknownOperation),
        (branch("and", vec![]), FilterError::WrongNodes { operation: "and", nodes: 0 }),
        (branch("or", vec![]), FilterError::WrongNodes { operation: "or", nodes: 0 }),
        (branch("not", vec![]), FilterError::WrongNodes { operation: "not", nodes: 0 }),
        (
            branch("not", vec![leaf("k", "ex", "", &[]), leaf("k", "ex", "", &[])]),
            FilterError::WrongNodes { operation: "not", nodes: 2 },
        ),
        // A fault anywhere in the tree counts.
        (
            branch("or", vec![leaf("k", "ex", "", &[]), branch("and", vec![leaf("k", "", "", &[])])]),
            FilterError::UnknownComparison,
        ),
    ];
    for (node, error) in refused {
        assert_eq!(TagsFilter::compile(&node), Err(error), "{node:?}");
    }
}

#[test]
fn size_is_limited_in_every_direction() {
    let deep =
        |levels: usize| (1..levels).fold(leaf("k", "ex", "", &[]), |node, _| branch("not", vec![node]));
    assert!(TagsFilter::compile(&deep(TagsFilter::MAX_DEPTH)).is_ok());
    assert_eq!(TagsFilter::compile(&deep(TagsFilter::MAX_DEPTH + 1)), Err(FilterError::TooDeep));

    let side_by_side = branch("and", vec![deep(3); TagsFilter::MAX_DEPTH + 1]);
    assert!(TagsFilter::compile(&side_by_side).is_ok(), "only what is nested counts as depth");

    let wide = |nodes: usize| branch("and", vec![leaf("k", "ex", "", &[]); nodes - 1]);
    assert!(TagsFilter::compile(&wide(TagsFilter::MAX_NODES)).is_ok());
    assert_eq!(TagsFilter::compile(&wide(TagsFilter::MAX_NODES + 1)), Err(FilterError::TooManyNodes));

    let long = |values: usize| {
        branch("or", vec![leaf("k", "in", "", &vec!["v"; values - 1]), leaf("k", "nin", "", &["v"])])
    };
    assert!(TagsFilter::compile(&long(TagsFilter::MAX_VALUES)).is_ok());
    assert_eq!(TagsFilter::compile(&long(TagsFilter::MAX_VALUES + 1)), Err(FilterError::TooManyValues));
}
