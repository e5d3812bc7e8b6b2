//! The source of an event that a supervisor reports: its path, as far as a source may be long.

use std::borrow::Cow;

/// Longer paths are shortened: a log takes sources of 256 bytes by default. The limit is fixed, so that a path has one
/// source in every log. Nothing is lost: the whole path is in the event.
const MAX_BYTES: usize = 250;
/// How much of its beginning and of its end a long path keeps.
const KEPT_BYTES: usize = 110;

/// The path itself, or the beginning and the end of a long one with a number in between that distinguishes similar
/// ones. The whole path is in the event.
pub(super) fn source_of(path: &str) -> Cow<'_, str> {
    if path.len() <= MAX_BYTES {
        return path.into();
    }
    let (begin, end) = (path.floor_char_boundary_at(KEPT_BYTES), path.ceil_char_boundary_at(path.len() - KEPT_BYTES));
    format!("{}…{:016x}…{}", &path[..begin], fingerprint(path), &path[end..]).into()
}

/// Where a text may be cut; the standard library's own methods are newer than the oldest supported Rust.
trait Boundaries {
    fn floor_char_boundary_at(&self, at: usize) -> usize;
    fn ceil_char_boundary_at(&self, at: usize) -> usize;
}

impl Boundaries for str {
    fn floor_char_boundary_at(&self, at: usize) -> usize {
        (0..=at).rev().find(|at| self.is_char_boundary(*at)).unwrap_or(0)
    }

    fn ceil_char_boundary_at(&self, at: usize) -> usize {
        (at..self.len()).find(|at| self.is_char_boundary(*at)).unwrap_or(self.len())
    }
}

/// FNV-1a: the same in each process and each version.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_source_is_the_path_or_a_shorter_form_with_its_beginning_and_its_end(path in "[a-z/é😀]{0,400}") {
            let source = source_of(&path);
            prop_assert!(source.len() <= MAX_BYTES);
            if path.len() <= MAX_BYTES {
                prop_assert_eq!(&*source, &path);
            } else {
                let parts: Vec<&str> = source.split('…').collect();
                prop_assert!(path.starts_with(parts[0]) && path.ends_with(parts[2]));
            }
        }
    }

    #[test]
    fn long_paths_that_differ_anywhere_have_different_sources() {
        let path = |level: usize| (0..1_000).map(|at| if at == level { "/x" } else { "/y" }).collect::<String>();
        let sources: HashSet<String> = (0..1_000).map(|level| source_of(&path(level)).into_owned()).collect();
        assert_eq!(sources.len(), 1_000);
    }
}
