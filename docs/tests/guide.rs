//! Every page of the guide is compiled, and every link between the documents leads to a file and a heading.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

fn docs() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let pages: Vec<_> = read_dir(docs().join("guide")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

#[test]
fn every_page_of_the_guide_is_compiled() {
    let compiled = read_to_string(docs().join("lib.rs")).unwrap();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(compiled.contains(&format!("include_str!(\"guide/{name}\")")), "docs/lib.rs does not include {name}");
    }
}

/// The targets of links to other documents and to headings, those in code excepted.
fn links(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|prose| prose.split("](").skip(1)).filter_map(|after| after.split(')').next());
    targets.filter(|target| !target.starts_with("http")).collect()
}

/// What a link to this heading has after its `#`.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let others = ["../README.md", "../CONTRIBUTING.md"].map(|other| docs().join(other));
    for page in pages().into_iter().chain(others) {
        let text = read_to_string(&page).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}, which does not exist", page.display());
            let found = || {
                read_to_string(&target).unwrap().lines().any(|line| line.starts_with('#') && anchor(line) == heading)
            };
            assert!(heading.is_empty() || found(), "{} links to {link}, a heading that does not exist", page.display());
        }
    }
}

/// The texts between quotes after a mark, in a source.
fn quoted_after(source: &str, mark: &str) -> Vec<String> {
    source.split(mark).skip(1).filter_map(|after| after.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn every_name_of_an_instrument_and_every_kind_of_event_is_on_its_page() {
    let read = |path: &str| read_to_string(docs().join(path)).unwrap();
    let instruments = read("../crates/telemetry/src/built_in.rs");
    let mut instruments = [quoted_after(&instruments, " = KEPT(\""), quoted_after(&instruments, " = READ(\"")].concat();
    let mut kinds = quoted_after(&read("../crates/config/src/server/journal.rs"), "EventKind::from_static(\"");
    assert!(instruments.len() > 30 && kinds.len() == 4, "{instruments:?} {kinds:?}");
    let (telemetry, configuration) = (read("guide/telemetry.md"), read("guide/configuration.md"));
    instruments.retain(|name| !telemetry.contains(&format!("| `{name}` |")));
    kinds.retain(|kind| !configuration.contains(&format!("| `{kind}` |")));
    assert!(instruments.is_empty() && kinds.is_empty(), "{instruments:?} {kinds:?}");
}
