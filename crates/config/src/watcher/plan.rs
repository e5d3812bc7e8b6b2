//! The folders and names to watch for changes of files.
//!
//! 1. `points` has each name on the way to each file: folders, links, their targets, and the file, which need not
//!    exist. Every change of which files are reached changes one of them.
//! 2. `folders` has the folders of all points that exist, none of them reached through a link. So the operating
//!    system's notices name the points as they are here, however many links lead to one folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// How many links are followed on the way to one file; as many as Linux does.
const MAX_LINKS: usize = 40;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WatchPlan {
    points: BTreeSet<PathBuf>,
    folders: BTreeMap<PathBuf, FolderId>,
}

/// What is found at a path, without following a link.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Folder(FolderId),
    Link(PathBuf),
    /// A file, nothing, or something that cannot be inspected.
    End,
}

/// The identity of a folder, which its name is not: another folder may have the name later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FolderId {
    number: (u64, u64),
    created: Option<SystemTime>,
}

/// The plan for files as they are reached now. Blocks.
impl From<&[PathBuf]> for WatchPlan {
    fn from(files: &[PathBuf]) -> Self {
        Self::with(files, &entry)
    }
}

impl WatchPlan {
    fn with(files: &[PathBuf], entry_at: &dyn Fn(&Path) -> Entry) -> Self {
        let mut plan = Self::default();
        for file in files {
            plan.follow(&std::path::absolute(file).unwrap_or_else(|_| file.clone()), entry_at);
        }
        plan
    }

    fn follow(&mut self, file: &Path, entry_at: &dyn Fn(&Path) -> Entry) {
        let (mut here, mut left, mut links) = (PathBuf::new(), Vec::new(), 0);
        begin(file, &mut here, &mut left);
        if let Entry::Folder(id) = entry_at(&here) {
            self.folders.insert(here.clone(), id);
        }
        while let Some(name) = left.pop() {
            if name == ".." {
                // `here` was reached through no link, so this is the folder around it.
                here.pop();
                continue;
            }
            let point = here.join(&name);
            self.points.insert(point.clone());
            match entry_at(&point) {
                Entry::Folder(id) => {
                    self.folders.insert(point.clone(), id);
                    here = point;
                }
                Entry::Link(target) if links < MAX_LINKS => {
                    links += 1;
                    begin(&target, &mut here, &mut left);
                }
                Entry::Link(_) | Entry::End => return,
            }
        }
    }

    /// The folders whose entries are to be watched, not those below them.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// Whether a change of a path may change which files are reached, or their content.
    pub(super) fn concerns(&self, path: &Path) -> bool {
        self.points.contains(path) || self.is_watched(path)
    }

    /// Whether the path is that of a folder whose entries are watched.
    pub(super) fn is_watched(&self, path: &Path) -> bool {
        self.folders.contains_key(path)
    }
}

/// Goes to the beginning of a path, with its names to be visited before those that are left.
fn begin(path: &Path, here: &mut PathBuf, left: &mut Vec<OsString>) {
    if path.has_root() {
        *here = path.components().take_while(|it| matches!(it, Component::Prefix(_) | Component::RootDir)).collect();
    }
    let names = path.components().filter(|it| matches!(it, Component::Normal(_) | Component::ParentDir));
    left.extend(names.map(|it| it.as_os_str().to_owned()).collect::<Vec<_>>().into_iter().rev());
}

fn entry(path: &Path) -> Entry {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_symlink() => fs::read_link(path).map_or(Entry::End, Entry::Link),
        Ok(data) if data.is_dir() => Entry::Folder(FolderId { number: number(&data), created: data.created().ok() }),
        _ => Entry::End,
    }
}

#[cfg(unix)]
fn number(data: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (data.dev(), data.ino())
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A file system given by its links and folders; all else is a file, or nothing.
    fn plan(links: &[(&str, &str)], folders: &[&str], file: &str) -> WatchPlan {
        let entry_at = |path: &Path| {
            let path = path.to_str().unwrap();
            match links.iter().find(|(link, _)| *link == path) {
                Some((_, target)) => Entry::Link(target.into()),
                None if folders.contains(&path) => Entry::Folder(FolderId::default()),
                None => Entry::End,
            }
        };
        WatchPlan::with(&[file.into()], &entry_at)
    }

    fn assert_plan(plan: &WatchPlan, folders: &[&str], points: &[&str]) {
        let of = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
        assert_eq!(plan.folders().map(Path::to_owned).collect::<BTreeSet<_>>(), of(folders));
        assert_eq!(plan.points, of(points));
    }

    #[test]
    fn each_folder_on_the_way_is_watched_for_the_next_name_only() {
        let plan = plan(&[], &["/", "/etc", "/etc/app"], "/etc/app/./app.toml");
        assert_plan(&plan, &["/", "/etc", "/etc/app"], &["/etc", "/etc/app", "/etc/app/app.toml"]);
        assert!(plan.concerns(Path::new("/etc/app/app.toml")) && plan.concerns(Path::new("/etc/app")));
        assert!(!plan.concerns(Path::new("/etc/app/app.toml.log")) && !plan.concerns(Path::new("/etc/hosts")));
    }

    #[test]
    fn a_link_is_watched_itself_and_so_is_the_way_to_what_it_points_at() {
        let links = [("/a/app.toml", "../b/real.toml"), ("/b", "/c")];
        let plan = plan(&links, &["/", "/a", "/c"], "/a/app.toml");
        assert_plan(&plan, &["/", "/a", "/c"], &["/a", "/a/app.toml", "/b", "/c", "/c/real.toml"]);
    }

    #[test]
    fn a_revision_that_is_put_in_place_by_a_link_is_watched_with_the_link() {
        let links = [("/conf/app.toml", "..data/app.toml"), ("/conf/..data", "..2026")];
        let plan = plan(&links, &["/", "/conf", "/conf/..2026"], "/conf/app.toml");
        let points = ["/conf", "/conf/app.toml", "/conf/..data", "/conf/..2026", "/conf/..2026/app.toml"];
        assert_plan(&plan, &["/", "/conf", "/conf/..2026"], &points);
    }

    #[test]
    fn of_a_folder_that_is_not_there_yet_the_one_around_it_is_watched() {
        let plan = plan(&[], &["/", "/etc"], "/etc/app/conf.d/app.toml");
        assert_plan(&plan, &["/", "/etc"], &["/etc", "/etc/app"]);
    }

    #[test]
    fn links_in_a_ring_come_to_an_end() {
        let plan = plan(&[("/a", "/b"), ("/b", "a")], &["/"], "/a/app.toml");
        assert_plan(&plan, &["/"], &["/a", "/b"]);
    }

    proptest! {
        /// Compared with the operating system: it says where a path leads, and the last point exists.
        #[test]
        fn the_way_through_any_links_ends_where_the_operating_system_says(
            links in vec((0..4_usize, 0..4_usize, any::<bool>()), 0..4), file in vec(0..4_usize, 1..4),
        ) {
            let root = tempfile::tempdir().unwrap();
            let root = root.path().canonicalize().unwrap();
            let name = |number: usize| format!("n{number}");
            fs::create_dir_all(root.join("n0/n1/n2")).unwrap();
            for (at, to, absolute) in links {
                let target = if absolute { root.join(name(to)) } else { PathBuf::from("..").join(root.file_name().unwrap()).join(name(to)) };
                let _ = std::os::unix::fs::symlink(target, root.join(name(at)));
            }
            let file = file.into_iter().fold(root.clone(), |path, number| path.join(name(number)));
            let plan = WatchPlan::from(std::slice::from_ref(&file));
            if let Ok(real) = file.canonicalize() {
                prop_assert!(plan.points.contains(&real), "{real:?} {plan:?}");
            }
            for folder in plan.folders() {
                prop_assert_eq!(folder.canonicalize().unwrap(), folder);
            }
        }
    }
}
