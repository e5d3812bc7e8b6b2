//! What the command line asks for.

use std::time::Duration;

use crate::measure::Effort;

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) json: bool,
    quick: bool,
    filter: Option<String>,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => options.json = true,
                "--quick" => options.quick = true,
                "--filter" => options.filter = Some(words.next().ok_or("--filter takes a name")?),
                other => return Err(format!("unknown argument {other}; known are --json, --quick, --filter NAME")),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }

    pub(crate) fn effort(&self) -> Effort {
        let each = if self.quick { Duration::from_millis(20) } else { Duration::from_millis(120) };
        Effort { repetitions: 9, each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, String> {
        Options::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn a_filter_picks_rows_by_a_part_of_their_name() {
        let options = parse(&["--filter", "via"]).unwrap();
        assert!(options.wants("via_cast") && !options.wants("lookup_1t"));
    }

    #[test]
    fn an_unknown_argument_is_refused_with_the_known_ones() {
        assert!(parse(&["--fast"]).unwrap_err().contains("--quick"));
        assert!(parse(&["--filter"]).is_err());
    }
}
