//! The sources of the workspace, as texts, for the tests that hold lists and documents against them.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates without an API for users.
const OTHERS: [&str; 4] = ["attributes", "bench", "model", "testkit"];

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each source below this folder.
pub(crate) fn below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read").flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            found.append(&mut below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(&path).expect("a source can be read"));
        }
    }
    found
}

/// Each source of the crates that users use.
pub(crate) fn of_libraries() -> Vec<String> {
    let crates = fs::read_dir(root().join("crates")).expect("the folder can be read").flatten();
    let libraries = crates.filter(|package| !OTHERS.iter().any(|other| package.file_name() == *other));
    libraries.flat_map(|package| below(&package.path().join("src"))).collect()
}
