//! Every asynchronous function of the public API may be dropped at any poll: nothing half done stays.
//!
//! Each function is polled n times and dropped, for every n until it ends by itself, each time in a fresh foundation. The
//! scenario says what holds afterwards; [`scene::dropped_at_each_poll`] checks that the foundation then ends in order
//! and leaves no task behind. Another call of the function works.

mod names;
mod root;
mod scene;
mod services;
mod supervisors;
mod tasks;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Functions that are not polled here, with the reasons.
const EXEMPT: [(&str, &str); 5] = [
    ("core/src/containment.rs waking_contained", "polls what it is given, and nothing else"),
    ("core/src/health.rs run_check", "is awaited within `health`, which is dropped here"),
    ("foundation/src/testing.rs run", "it is the harness: a test that is dropped is a runtime that is dropped"),
    ("core/src/supervisor/child_spec.rs spawn", "is awaited within a start, which is dropped as a whole"),
    ("core/src/supervisor/mod.rs spawn_supervisor", "is awaited within a start, which is dropped as a whole"),
];

fn sources(folder: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path, &fs::read_to_string(&path).expect("a source can be read"));
        }
    }
}

/// The public asynchronous functions, each as `crate/src/file.rs function`.
fn public() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut found = BTreeSet::new();
    for package in ["core", "foundation"] {
        sources(&crates.join(package).join("src"), &mut |path, text| {
            let file = path.strip_prefix(&crates).expect("a file of the crates").display().to_string();
            let functions = text.lines().filter_map(|line| line.trim().strip_prefix("pub async fn "));
            let names = functions.map(|function| function.split(['(', '<']).next().unwrap_or_default());
            found.extend(names.map(|name| format!("{file} {name}")));
        });
    }
    found
}

/// The functions that the scenarios here cover.
fn covered() -> BTreeSet<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("cancellation");
    let mut found = BTreeSet::new();
    sources(&here, &mut |_, text| {
        let named = text.lines().filter_map(|line| line.trim().strip_prefix("// covers: "));
        found.extend(named.flat_map(|names| names.split(", ")).map(str::to_owned));
    });
    found
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
