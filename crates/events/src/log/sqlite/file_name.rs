use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The longest name that is kept as it is; file systems take 255 bytes, a few of which SQLite's own endings need.
const MAX_BYTES: usize = 200;

/// The file of a namespace in a directory; two namespaces never share one, and no name leads out of the directory.
///
/// Lower-case letters, digits and `-` stay; every other byte becomes `_` and two hexadecimal digits, since some file
/// systems take capital letters for small ones.
pub(super) fn file_of(directory: &Path, namespace: &str) -> PathBuf {
    let mut name = String::with_capacity(namespace.len());
    for byte in namespace.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            _ => write!(name, "_{byte:02x}").unwrap_or_default(),
        }
    }
    if name.len() > MAX_BYTES {
        let checksum = crc32fast::hash(namespace.as_bytes());
        name.truncate(MAX_BYTES);
        write!(name, "_x{}_{checksum:08x}", namespace.len()).unwrap_or_default();
    }
    directory.join(name + ".db")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn production_has_a_file_of_that_name() {
        assert_eq!(file_of(Path::new("/data"), "production"), Path::new("/data/production.db"));
    }

    #[test]
    fn hostile_names_stay_in_the_directory() {
        for name in ["", ".", "..", "../../etc/passwd", "/etc/passwd", "c:\\x", "a\0b", "file:x?mode=memory", "é"] {
            let file = file_of(Path::new("/data"), name);
            assert_eq!(file.parent(), Some(Path::new("/data")), "{name:?}");
            assert!(file.file_name().unwrap().to_str().unwrap().is_ascii(), "{name:?}");
        }
        assert!(file_of(Path::new("/data"), &"é".repeat(10_000)).file_name().unwrap().len() < 240);
    }

    proptest! {
        #[test]
        fn two_names_never_share_a_file(one in ".{0,8}", other in ".{0,8}") {
            prop_assume!(one != other);
            let lower = |name| file_of(Path::new(""), name).to_str().unwrap().to_ascii_lowercase();
            prop_assert_ne!(lower(&one), lower(&other));
        }
    }
}
