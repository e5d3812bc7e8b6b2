//! Checks `docs/conformance.md`: its tests exist, every numbered test is in it, and its counts are right.

use std::collections::BTreeSet;
use std::fs;

use crate::sources;

/// The prefixes of the test names that must be listed.
const NUMBERED: [&str; 8] = ["otp_", "reg_", "sup_", "dyn_", "fnd_", "part_", "task_", "peer_"];

fn list() -> String {
    fs::read_to_string(sources::root().join("docs/conformance.md")).expect("docs/conformance.md can be read")
}

/// The names of the tests of the workspace: the first function after each attribute that makes one a test.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for text in ["crates", "tests"].iter().flat_map(|folder| sources::below(&sources::root().join(folder))) {
        let mut attributed = false;
        for line in text.lines().map(str::trim) {
            attributed |= line.starts_with("#[") && line.contains("test") && !line.contains("cfg(");
            let function = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "));
            if let Some(function) = function.filter(|_| attributed) {
                names.insert(function.split(['(', '<']).next().unwrap_or_default().to_owned());
                attributed = false;
            }
        }
    }
    names
}

/// One line of a section's table: item, tag, and the tests that show it.
struct Item<'a> {
    tag: &'a str,
    tests: Vec<&'a str>,
    reason: &'a str,
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split(" | ").map(str::trim).collect()
}

fn items(section: &str) -> Vec<Item<'_>> {
    let rows = section.lines().filter(|line| line.starts_with("| ")).map(cells);
    let items = rows.filter(|cells| cells.len() == 3 && ["P", "A", "N"].contains(&cells[1]));
    items
        .map(|cells| {
            let tests: Vec<_> = cells[2].split('`').skip(1).step_by(2).collect();
            Item { tag: cells[1], reason: if tests.is_empty() { cells[2] } else { "" }, tests }
        })
        .collect()
}

fn sections(list: &str) -> Vec<(&str, Vec<Item<'_>>)> {
    let parts = list.split("\n## ").skip(1);
    parts.map(|part| (part.lines().next().unwrap_or_default(), items(part))).collect()
}

#[test]
fn each_test_that_the_conformance_list_names_exists() {
    let (list, tests) = (list(), tests());
    for (section, items) in sections(&list) {
        for name in items.iter().flat_map(|item| &item.tests) {
            assert!(tests.contains(*name), "section `{section}` names `{name}`, and there is no such test");
        }
    }
}

#[test]
fn each_test_with_a_number_is_in_the_conformance_list() {
    let list = list();
    let named: BTreeSet<_> = list.split('`').skip(1).step_by(2).collect();
    for test in tests().iter().filter(|test| NUMBERED.iter().any(|prefix| test.starts_with(prefix))) {
        assert!(named.contains(test.as_str()), "`{test}` is missing in docs/conformance.md");
    }
}

#[test]
fn each_item_that_applies_has_a_test_or_a_reason() {
    let list = list();
    for (section, items) in sections(&list) {
        for item in &items {
            let accounted = !item.tests.is_empty() || (item.tag != "P" && item.reason.len() > 10);
            assert!(accounted, "section `{section}` has an item tagged {} with neither test nor reason", item.tag);
        }
    }
}

#[test]
fn the_counts_of_the_conformance_list_are_those_of_its_rows() {
    let list = list();
    let summary: Vec<_> = list.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
    let mut counted = 0;
    for (section, items) in sections(&list).iter().filter(|(_, items)| !items.is_empty()) {
        let shown = items.iter().filter(|item| !item.tests.is_empty()).count();
        let expected = [items.len(), shown, items.len() - shown].map(|count| count.to_string());
        let row = summary.iter().find(|cells| cells.len() == 4 && cells[0] == *section);
        let row = row.unwrap_or_else(|| panic!("section `{section}` is missing in the counts"));
        assert_eq!(row[1..], expected.each_ref().map(String::as_str), "the counts of `{section}`");
        counted += 1;
    }
    assert!(counted >= 9, "only {counted} sections were found");
}
