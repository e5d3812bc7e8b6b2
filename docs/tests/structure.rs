//! The structure of the code is the one that `docs/architecture.md` describes.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use modules::{Crate, Modules};

/// How many files a folder may have.
const MAX_FILES: usize = 20;
/// How long a chain of files that import each other may be.
const MAX_FLOORS: usize = 8;
/// Crates with longer chains, and how long: the durable jobs stand on the whole of the pool, and its queue on its lanes.
const HIGHER: [(&str, usize); 1] = [("pool", 12)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates that the architecture has a table of, each with its table; read once for all tests.
static CRATES: LazyLock<Vec<(Crate, Table)>> = LazyLock::new(read_crates);

fn read_crates() -> Vec<(Crate, Table)> {
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let sections = page.split("\n### `crates/").skip(1);
    let read = |section: &str| {
        let (name, text) = section.split_once('`').unwrap();
        (Crate::read(name, &root().join("crates").join(name).join("src")), Table::read(text))
    };
    let crates: Vec<_> = sections.map(read).collect();
    assert!(crates.len() >= 5, "only {} crates have a table: this test no longer fits the page", crates.len());
    crates
}

/// The parts of one crate.
struct Table(BTreeMap<String, Part>);

struct Part {
    /// The row that it is in; the first is 0.
    row: usize,
    /// The parts that it may use.
    uses: BTreeSet<String>,
}

impl Table {
    /// Reads the rows ``| `part`, `part` | what it owns | `used`, `used` |`` up to the next heading.
    fn read(text: &str) -> Self {
        let text = text.split("\n#").next().unwrap();
        let mut parts = BTreeMap::new();
        for (row, line) in text.lines().filter(|line| line.starts_with("| `")).enumerate() {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
            assert_eq!(cells.len(), 3, "a row of a part has three cells: {line}");
            for name in quoted(cells[0]) {
                let part = Part { row, uses: quoted(cells[2]).collect() };
                assert!(parts.insert(name.clone(), part).is_none(), "{name} has two rows");
            }
        }
        Self(parts)
    }

    /// The part that a module belongs to: the one with the longest path.
    fn part_of(&self, module: &str) -> Option<&str> {
        let is_in = |part: &&String| module == *part || module.starts_with(&format!("{part}/"));
        self.0.keys().filter(is_in).max_by_key(|part| part.len()).map(String::as_str)
    }
}

fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(|part| part.trim_end_matches('/').to_owned())
}

#[test]
fn each_file_belongs_to_a_part_of_the_architecture_and_each_part_is_there() {
    for (source, table) in &*CRATES {
        let modules: BTreeSet<_> = source.modules.names().collect();
        for module in &modules {
            assert!(table.part_of(module).is_some(), "crates/{}: {module} belongs to no part", source.name);
        }
        for part in table.0.keys() {
            let is_used = modules.iter().any(|module| table.part_of(module) == Some(part));
            assert!(is_used, "crates/{}: there is no {part}", source.name);
        }
    }
}

#[test]
fn a_part_uses_only_the_parts_that_the_architecture_names() {
    let mut wrong = Vec::new();
    for (source, table) in &*CRATES {
        for (from, to) in source.modules.imports() {
            let (Some(user), Some(used)) = (table.part_of(from), table.part_of(to)) else { continue };
            if user != used && !table.0[user].uses.contains(used) {
                wrong.push(format!("crates/{}: {from} ({user}) uses {to} ({used})", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "not in docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn the_architecture_names_no_use_that_is_not_there() {
    let mut wrong = Vec::new();
    for (source, table) in &*CRATES {
        let uses =
            |from: &str, to: &str| (table.part_of(from).map(str::to_owned), table.part_of(to).map(str::to_owned));
        let used: BTreeSet<_> = source.modules.imports().map(|(from, to)| uses(from, to)).collect();
        for (part, Part { row, uses: named }) in &table.0 {
            for name in named {
                let is_used = used.contains(&(Some(part.clone()), Some(name.clone())));
                // Parts of one row share its uses.
                let shared = table.0.iter().any(|(other, Part { row: of_other, .. })| {
                    other != part && of_other == row && used.contains(&(Some(other.clone()), Some(name.clone())))
                });
                if !is_used && !shared {
                    wrong.push(format!("crates/{}: {part} does not use {name}", source.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "in docs/architecture.md, and not in the sources:\n{}", wrong.join("\n"));
}

#[test]
fn a_part_uses_only_parts_of_its_own_row_and_of_those_above() {
    for (source, table) in &*CRATES {
        for (name, part) in &table.0 {
            for used in &part.uses {
                let row = table.0.get(used).map(|used| used.row);
                assert!(row.is_some_and(|row| row <= part.row), "crates/{}: {name} is above {used}", source.name);
            }
        }
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (source, _) in &*CRATES {
        let circles = source.modules.circles();
        assert!(circles.is_empty(), "crates/{}: {circles:?}", source.name);
    }
}

#[test]
fn no_chain_of_imports_is_too_long() {
    let chains = CRATES.iter().map(|(source, _)| (&source.name, source.modules.longest_chain()));
    let allowed =
        |name: &str| HIGHER.iter().find(|(higher, _)| *higher == name).map_or(MAX_FLOORS, |(_, floors)| *floors);
    let too_long = chains.filter(|(name, chain)| chain.len() > allowed(name));
    let too_long: Vec<_> =
        too_long.map(|(name, chain)| format!("crates/{name}: {} files: {}", chain.len(), chain.join(" → "))).collect();
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

#[test]
fn no_folder_has_more_than_twenty_files() {
    for (source, _) in &*CRATES {
        for (folder, files) in &source.folders {
            assert!(*files <= MAX_FILES, "{} has {files} files", folder.display());
        }
    }
}

#[test]
fn each_published_crate_brings_the_licences() {
    let mut published = 0;
    for directory in fs::read_dir(root().join("crates")).unwrap() {
        let directory = directory.unwrap().path();
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        if manifest.contains("publish = false") {
            continue;
        }
        published += 1;
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let own = fs::read_to_string(directory.join(licence)).unwrap_or_default();
            let stated = fs::read_to_string(root().join(licence)).unwrap();
            assert!(own == stated, "{licence} of {} is not that of the workspace", directory.display());
        }
    }
    assert!(published >= 10, "only {published} published crates: this test no longer fits");
}

#[test]
fn the_imports_of_a_small_crate_are_found() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod e; mod f; #[cfg(test)] mod tests; pub use b::B;"),
        ("a.rs", "use super::B; pub struct A(B); #[cfg(test)] mod tests { use crate::c::C; }"),
        ("b.rs", "pub struct B; pub fn b() -> usize { crate::c::d::D.0 }"),
        ("c/mod.rs", "pub mod d; pub struct C;"),
        ("c/d.rs", "pub struct D(#[serde(with = \"crate::e\")] pub usize);"),
        ("e.rs", "pub fn e() { println!(\"{}\", crate::f::F) }"),
        ("f.rs", "pub const F: u8 = 0;"),
        ("tests.rs", "use crate::a::A;"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let modules = Modules::read(folder.path());
    assert_eq!(modules.names().collect::<Vec<_>>(), ["a", "b", "c", "c/d", "e", "f"]);
    assert_eq!(modules.imports().collect::<Vec<_>>(), [("a", "b"), ("b", "c/d"), ("c/d", "e"), ("e", "f")]);
    assert_eq!(modules.longest_chain(), ["a", "b", "c/d", "e", "f"]);
    assert!(modules.circles().is_empty());
}

#[test]
fn a_circle_of_two_files_is_found() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lib.rs"), "mod a; mod b;").unwrap();
    fs::write(folder.path().join("a.rs"), "use crate::b::B; pub struct A(B);").unwrap();
    fs::write(folder.path().join("b.rs"), "pub struct B; pub fn b(_: super::a::A) {}").unwrap();
    assert_eq!(Modules::read(folder.path()).circles(), [["a", "b"]]);
}
