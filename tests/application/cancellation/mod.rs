//! Every asynchronous function of the public API may be dropped at any poll: nothing half done stays.
//!
//! Each function is polled n times and dropped, for every n until it ends by itself, each time in a fresh foundation. The
//! scenario says what holds afterwards; [`fixture::dropped_at_each_poll`] checks that the foundation then ends in order
//! and leaves no task behind. Another call of the function works.

mod discovery;
mod durable;
mod export;
mod fixture;
mod managed;
mod names;
mod pool;
mod root;
mod services;
mod supervisors;
mod tasks;

use std::collections::BTreeSet;

use crate::sources;

/// Functions that are not polled here, with the reasons.
const EXEMPT: [(&str, &str); 6] = [
    ("waking_contained", "polls what it is given, and nothing else"),
    ("run_check", "is awaited within `health`, which is dropped here"),
    ("run", "it is the harness: a test that is dropped is a runtime that is dropped"),
    ("StartContext::spawn", "is awaited within a start, which is dropped as a whole"),
    ("StartContext::spawn_supervisor", "is awaited within a start, which is dropped as a whole"),
    ("StartContext::spawn_dynamic_supervisor", "is awaited within a start, which is dropped as a whole"),
];

/// The type of an `impl` block, by its first line.
fn type_of(block: &str) -> &str {
    let mut depth = 0;
    let mut last = ' ';
    let generics = block.find(|character| {
        depth += match character {
            '<' => 1,
            '>' if last != '-' => -1,
            _ => 0,
        };
        last = character;
        depth == 0
    });
    let after = &block[generics.unwrap_or_default()..];
    let implemented = after.split_once(" for ").map_or(after, |(_, implemented)| implemented);
    let name = implemented.trim_start_matches(['>', ' ']);
    name.split(|character: char| !character.is_alphanumeric()).next().unwrap_or_default()
}

/// The public asynchronous functions of a source, each as `Type::function`.
fn functions(text: &str, found: &mut BTreeSet<String>) {
    let mut current = "";
    for line in text.lines() {
        if let Some(block) = line.strip_prefix("impl") {
            current = type_of(block);
        }
        let Some(function) = line.trim_start().strip_prefix("pub async fn ") else { continue };
        let name = function.split(['(', '<']).next().unwrap_or_default();
        match line.starts_with(' ') {
            true => found.insert(format!("{current}::{name}")),
            false => found.insert(name.to_owned()),
        };
    }
}

fn public() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    sources::of_libraries().iter().for_each(|text| functions(text, &mut found));
    found
}

/// The functions that the scenarios here cover.
fn covered() -> BTreeSet<String> {
    let here = sources::below(&sources::root().join("tests/application/cancellation"));
    let named = here.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim().strip_prefix("// covers: "));
    named.flat_map(|names| names.split(", ")).map(str::to_owned).collect()
}

#[test]
fn each_public_asynchronous_function_is_dropped_at_each_of_its_polls() {
    let exempt = EXEMPT.map(|(name, _)| name.to_owned());
    let (public, covered) = (public(), covered().into_iter().chain(exempt).collect::<BTreeSet<_>>());
    let missing: Vec<_> = public.difference(&covered).collect();
    assert!(missing.is_empty(), "no scenario drops these: {missing:#?}");
    let unknown: Vec<_> = covered.difference(&public).collect();
    assert!(unknown.is_empty(), "there are no such functions: {unknown:#?}");
}
