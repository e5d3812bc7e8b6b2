use std::collections::BTreeSet;

use foundation_kernel::NearMisses;
use strsim::normalized_damerau_levenshtein as likeness;

/// The lowest similarity worth mentioning; 1 is equality.
const WORTH_MENTIONING: f64 = 0.6;

/// The known paths that look like the wanted one.
///
/// The last segment counts as much as the whole path: a wrong section is a common mistake, and two settings are not
/// alike because their sections are. Costs a comparison with each known path, so it is for errors only.
pub(super) fn near_misses(wanted: &str, known: &BTreeSet<&str>) -> NearMisses {
    NearMisses::ranked(known.iter().map(|path| (closeness(wanted, path), *path)), WORTH_MENTIONING)
}

fn closeness(wanted: &str, path: &str) -> f64 {
    (likeness(wanted, path) + likeness(last_segment(wanted), last_segment(path))) / 2.0
}

fn last_segment(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(wanted: &str) -> Vec<String> {
        let known = ["database.host", "database.port", "server", "server.http.port", "server.port"];
        near_misses(wanted, &BTreeSet::from(known)).names().to_vec()
    }

    #[test]
    fn a_misspelt_path_finds_the_right_one_first() {
        assert_eq!(near("server.prot")[0], "server.port");
        assert_eq!(near("sever.port")[0], "server.port");
        assert_eq!(near("servr")[0], "server");
    }

    #[test]
    fn a_setting_in_the_wrong_section_finds_its_namesakes() {
        let near = near("host");
        assert_eq!(near, ["database.host"]);
    }

    #[test]
    fn a_neighbour_in_the_same_section_is_not_near_for_that() {
        assert!(near("database.user").is_empty());
    }

    #[test]
    fn at_most_three_paths_are_near() {
        assert_eq!(near("port").len(), 3);
    }

    #[test]
    fn nothing_is_near_something_quite_different() {
        assert!(near("zzz").is_empty());
    }
}
