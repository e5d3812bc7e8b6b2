//! The command line's options.

use std::time::Duration;

use foundation::names::NearMisses;

use crate::effort::Effort;
use crate::memory::Scene;

/// The text of `--help`.
pub(crate) const USAGE: &str = "\
Measures foundation beside its peers, in one run on one machine.

usage: cargo run --release -p foundation-bench -- [OPTIONS]

  --filter NAME  only the rows whose name contains NAME; may be given more than once
  --quick        short repetitions: all rows within a minute, with more noise
  --peers        build the peers that need a build of their own, instead of using them if they are built
  --json         one JSON object a line instead of a table
  --check        exit with 1 if a figure is over its limit, or a row has none
  --help         this text";

/// The options; `--filter` takes the word after it.
const KNOWN: [&str; 6] = ["--filter", "--quick", "--peers", "--json", "--check", "--help"];

/// The task of this process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RunMode {
    Measure(Options),
    /// Hold a scene, so that this process's memory can be measured.
    Pose(Scene),
    Help,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) check: bool,
    pub(crate) peers: bool,
    quick: bool,
    filters: Vec<String>,
}

/// The reason why the command line is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum OptionsError {
    #[error("unknown option {given}{near}; known are {}", KNOWN.join(", "))]
    Unknown { given: String, near: NearMisses },
    #[error("--filter takes a part of a row's name")]
    NoFilter,
    #[error("no row has {given:?} in its name{near}; there are {}", names.join(", "))]
    NoRow { given: String, near: NearMisses, names: Vec<&'static str> },
}

impl RunMode {
    /// Reads the command line; `names` are those of all rows.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>, names: &[&'static str]) -> Result<Self, OptionsError> {
        let mut options = Options::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--check" => options.check = true,
                "--peers" => options.peers = true,
                "--filter" => options.filters.push(filter(words.next(), names)?),
                "--help" => return Ok(Self::Help),
                other => match Scene::of_argument(other) {
                    Some(scene) => return Ok(Self::Pose(scene)),
                    None => return Err(OptionsError::unknown(other)),
                },
            }
        }
        Ok(Self::Measure(options))
    }
}

fn filter(given: Option<String>, names: &[&'static str]) -> Result<String, OptionsError> {
    let given = given.filter(|given| !given.starts_with("--")).ok_or(OptionsError::NoFilter)?;
    if names.iter().any(|name| name.contains(&given)) {
        return Ok(given);
    }
    let near = NearMisses::of(&given, names.iter().copied());
    Err(OptionsError::NoRow { given, near, names: names.to_vec() })
}

impl OptionsError {
    fn unknown(given: &str) -> Self {
        Self::Unknown { given: given.to_owned(), near: NearMisses::of(given, KNOWN.into_iter()) }
    }
}

impl Options {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| name.contains(filter.as_str()))
    }

    pub(crate) fn effort(&self) -> Effort {
        if self.quick {
            Effort { repetitions: 7, each: Duration::from_millis(15) }
        } else {
            Effort { repetitions: 11, each: Duration::from_millis(120) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["lookup_1t", "via_cast", "via_call"];

    fn parse(words: &[&str]) -> Result<RunMode, OptionsError> {
        RunMode::parse(words.iter().map(|word| (*word).to_owned()), &NAMES)
    }

    fn options(words: &[&str]) -> Options {
        match parse(words) {
            Ok(RunMode::Measure(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_filter_picks_rows_by_a_part_of_their_name() {
        let options = options(&["--filter", "cast", "--filter", "lookup"]);
        assert!(options.wants("via_cast") && options.wants("lookup_1t") && !options.wants("via_call"));
    }

    #[test]
    fn without_a_filter_every_row_is_selected() {
        assert!(NAMES.iter().all(|name| options(&["--quick"]).wants(name)));
    }

    #[test]
    fn an_unknown_option_is_refused_with_the_near_misses_and_the_known_ones() {
        let refusal = parse(&["--jsn"]).unwrap_err().to_string();
        assert!(refusal.contains("did you mean --json") && refusal.contains("--quick"), "{refusal}");
    }

    #[test]
    fn a_filter_that_picks_nothing_is_refused_with_the_near_misses_and_all_names() {
        let refusal = parse(&["--filter", "via_cats"]).unwrap_err().to_string();
        assert!(refusal.contains("did you mean via_cast") && refusal.contains("lookup_1t"), "{refusal}");
    }

    #[test]
    fn a_filter_without_a_name_is_refused() {
        assert_eq!(parse(&["--filter"]), Err(OptionsError::NoFilter));
        assert_eq!(parse(&["--filter", "--json"]), Err(OptionsError::NoFilter));
    }

    #[test]
    fn a_process_can_be_started_to_hold_a_scene() {
        assert_eq!(parse(&[&Scene::Linked.argument()]), Ok(RunMode::Pose(Scene::Linked)));
    }
}
