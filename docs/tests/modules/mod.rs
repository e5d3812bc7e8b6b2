//! The modules of a crate and their imports, read from its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, UseTree, Visibility};

/// The sources of one crate.
pub struct Crate {
    pub name: String,
    pub modules: Modules,
    /// Each folder, with the number of its files.
    pub folders: BTreeMap<PathBuf, usize>,
}

impl Crate {
    pub fn read(name: &str, source: &Path) -> Self {
        let mut folders = BTreeMap::new();
        count_files(source, &mut folders);
        Self { name: name.to_owned(), modules: Modules::read(source), folders }
    }
}

fn count_files(folder: &Path, counts: &mut BTreeMap<PathBuf, usize>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            count_files(&entry, counts);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            *counts.entry(folder.to_owned()).or_default() += 1;
        }
    }
}

type ModulePath = Vec<String>;

/// The modules of a crate without those of its unit tests, and which of them import which. A module that only declares
/// and re-exports others is left out, and an import of it is one of what it re-exports.
pub struct Modules {
    imports: BTreeMap<String, BTreeSet<String>>,
}

impl Modules {
    pub fn read(source: &Path) -> Self {
        let mut files = BTreeMap::new();
        read_module(&source.join("lib.rs"), source, Vec::new(), &mut files);
        let resolver = Resolver(&files);
        let mut imports = BTreeMap::new();
        for (path, file) in files.iter().filter(|(_, file)| !file.is_facade) {
            let used = file.paths.iter().filter_map(|used| resolver.absolute(path, used));
            let used = used.filter_map(|used| resolver.module_of(&used, 0));
            let used = used.filter(|used| used != path && !files[used].is_facade).map(|used| used.join("/"));
            imports.insert(path.join("/"), used.collect());
        }
        Self { imports }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.imports.keys().map(String::as_str)
    }

    /// Pairs of a module and one that it imports.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.imports.iter().flat_map(|(from, used)| used.iter().map(move |to| (from.as_str(), to.as_str())))
    }

    /// Groups of modules each of which imports all others of its group, by way of some.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let reached: BTreeMap<_, _> = self.names().map(|name| (name, self.reached_from(name))).collect();
        let mut circles = BTreeSet::new();
        for (name, others) in &reached {
            if others.contains(name) {
                circles.insert(others.iter().copied().filter(|other| reached[other].contains(name)).collect());
            }
        }
        circles.into_iter().collect()
    }

    fn reached_from<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut left = vec![name];
        while let Some(next) = left.pop() {
            left.extend(self.imports[next].iter().map(String::as_str).filter(|used| reached.insert(*used)));
        }
        reached
    }

    /// The longest chain in which each module imports the next. Only without circles.
    pub fn longest_chain(&self) -> Vec<&str> {
        let mut known = BTreeMap::new();
        self.names().map(|name| self.chain_from(name, &mut known)).max_by_key(Vec::len).unwrap_or_default()
    }

    fn chain_from<'a>(&'a self, name: &'a str, known: &mut BTreeMap<&'a str, Vec<&'a str>>) -> Vec<&'a str> {
        if let Some(chain) = known.get(name) {
            return chain.clone();
        }
        // For a circle: the chain ends there.
        known.insert(name, vec![name]);
        let below = self.imports[name].iter().map(|used| self.chain_from(used, known)).max_by_key(Vec::len);
        let chain: Vec<_> = [name].into_iter().chain(below.unwrap_or_default()).collect();
        known.insert(name, chain.clone());
        chain
    }
}

/// What one file says of itself.
#[derive(Default)]
struct File {
    /// The names of the items that it defines.
    items: BTreeSet<String>,
    /// The names that it imports or re-exports, each with its path; `*` for all of a module.
    names: Vec<(String, ModulePath)>,
    /// Every path in it.
    paths: Vec<ModulePath>,
    /// Whether it only declares modules and re-exports.
    is_facade: bool,
}

fn read_module(file: &Path, folder: &Path, path: ModulePath, files: &mut BTreeMap<ModulePath, File>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut read = Reader { file: File { is_facade: true, ..File::default() }, children: Vec::new() };
    read.visit_file(&parsed);
    for child in read.children {
        let (flat, nested) = (folder.join(format!("{child}.rs")), folder.join(&child).join("mod.rs"));
        let mut path = path.clone();
        path.push(child.clone());
        read_module(if flat.exists() { &flat } else { &nested }, &folder.join(&child), path, files);
    }
    files.insert(path, read.file);
}

struct Reader {
    file: File,
    children: Vec<String>,
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let condition = |attribute: &Attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    };
    attributes.iter().any(condition)
}

fn attributes_and_name(item: &Item) -> (&[Attribute], Option<String>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Enum(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Fn(item) => (&item.attrs, Some(item.sig.ident.to_string())),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref().map(ToString::to_string)),
        Item::Static(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Struct(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Trait(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Type(item) => (&item.attrs, Some(item.ident.to_string())),
        Item::Impl(item) => (&item.attrs, None),
        Item::Mod(item) => (&item.attrs, None),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = attributes_and_name(item);
        if is_for_tests(attributes) {
            return;
        }
        self.file.is_facade &= matches!(item, Item::Mod(_) | Item::Use(_));
        self.file.items.extend(name);
        match item {
            Item::Mod(module) if module.content.is_none() => self.children.push(module.ident.to_string()),
            Item::Use(item) => {
                let mut names = Vec::new();
                flatten(&item.tree, &mut Vec::new(), &mut names);
                // A re-export is no import, unless the file has a use for it itself.
                if matches!(item.vis, Visibility::Inherited) {
                    self.file.paths.extend(names.iter().map(|(_, path)| path.clone()));
                }
                self.file.names.extend(names);
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_macro(&mut self, used: &'ast syn::Macro) {
        self.file.paths.extend(paths_in(&without_texts(&used.tokens.to_string())));
        visit::visit_macro(self, used);
    }

    // Such as `#[serde(with = "crate::written::text")]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let (false, Meta::List(list)) = (attribute.path().is_ident("doc"), &attribute.meta) {
            self.file.paths.extend(paths_in(&list.tokens.to_string()));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.file.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// Tokens without what is in quotes: a link in a documentation comment is no import.
fn without_texts(tokens: &str) -> String {
    let text = tokens.replace("\\\\", "").replace("\\\"", "").replace("'\"'", "");
    text.split('"').step_by(2).collect()
}

/// The paths in tokens that are not parsed.
fn paths_in(tokens: &str) -> impl Iterator<Item = ModulePath> {
    let text = tokens.replace(" :: ", "::");
    let words = text.split(|character: char| !character.is_alphanumeric() && !"_:".contains(character));
    let paths =
        words.map(|word| word.split("::").map(str::to_owned).collect()).filter(|path: &ModulePath| path.len() > 1);
    paths.collect::<Vec<_>>().into_iter()
}

fn flatten(tree: &UseTree, before: &mut ModulePath, names: &mut Vec<(String, ModulePath)>) {
    match tree {
        UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, names);
            before.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            names.push((before.last().cloned().unwrap_or_default(), before.clone()));
        }
        UseTree::Name(name) => names.push((name.ident.to_string(), [&before[..], &[name.ident.to_string()]].concat())),
        UseTree::Rename(name) => {
            names.push((name.rename.to_string(), [&before[..], &[name.ident.to_string()]].concat()));
        }
        UseTree::Glob(_) => names.push(("*".to_owned(), before.clone())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before, names)),
    }
}

struct Resolver<'a>(&'a BTreeMap<ModulePath, File>);

impl Resolver<'_> {
    /// The path from the root of the crate; `None` if it leads out of the crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<ModulePath> {
        match path[0].as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module, &path[1..]].concat()),
            "super" => {
                let ups = path.iter().take_while(|segment| *segment == "super").count();
                Some([module.get(..module.len().checked_sub(ups)?)?, &path[ups..]].concat())
            }
            first => {
                let child = [module, &[first.to_owned()]].concat();
                self.0.contains_key(&child).then(|| [module, path].concat())
            }
        }
    }

    /// The module whose item a path names, through any re-exports.
    fn module_of(&self, path: &[String], depth: usize) -> Option<ModulePath> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let (module, file) = (path[..length].to_vec(), &self.0[&path[..length]]);
        let Some(name) = path.get(length).filter(|name| !file.items.contains(*name) && depth < 8) else {
            return Some(module);
        };
        let follow = |used: &ModulePath| self.absolute(&module, used).filter(|used| used[..] != *path);
        let named = file.names.iter().filter(|(exported, _)| exported == name).find_map(|(_, used)| follow(used));
        let named = named.and_then(|used| self.module_of(&used, depth + 1));
        let of_all = || {
            let all = file.names.iter().filter(|(exported, _)| exported == "*");
            let all = all.filter_map(|(_, used)| self.absolute(&module, used));
            all.filter_map(|used| self.module_of(&used, depth + 1)).find(|used| self.0[used].items.contains(name))
        };
        named.or_else(of_all).or(Some(module))
    }
}
