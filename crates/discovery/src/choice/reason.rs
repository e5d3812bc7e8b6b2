//! Why an instance was chosen, for people.

use std::fmt;

use foundation_kernel::written::text;
use serde::Serialize;

use super::locality::Locality;
use crate::instance::InstanceName;

/// Why an instance was chosen among those in rotation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChoiceReason {
    /// There was no other in its tier.
    OnlyOne,
    /// It was its turn.
    Turn,
    /// It was drawn.
    Chance,
    /// It was its turn by weight.
    Weight,
    /// Its score was the lowest of all.
    LowestScore {
        /// Its score.
        score: f64,
        /// How many were compared.
        compared: usize,
    },
    /// Its score was the lower of two.
    LowerScore {
        /// Its score.
        score: f64,
        /// The other one.
        #[serde(serialize_with = "text")]
        other: InstanceName,
        /// The score of the other one.
        other_score: f64,
    },
    /// Its score was the higher of two, and it was tried since it has had no call for a while.
    Tried {
        /// Its score.
        score: f64,
        /// The other one.
        #[serde(serialize_with = "text")]
        other: InstanceName,
        /// The score of the other one.
        other_score: f64,
    },
    /// It comes first for the key of the call.
    Key {
        /// How many come before it, and have as many calls in flight as their bound allows.
        skipped: usize,
    },
}

/// The same, with the places of instances instead of their names.
///
/// Flat, since each pick returns one. Variants with data are copied through memory, in larger pieces than they were written:
/// the processor waits for that longer than a choice takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Basis {
    by: By,
    score: f64,
    other_score: f64,
    /// How many were compared or skipped, or the place of the other one.
    number: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    OnlyOne,
    Turn,
    Chance,
    Weight,
    LowestScore,
    LowerScore,
    Tried,
    Key,
}

impl Basis {
    pub(crate) const ONLY_ONE: Self = Self::without_score(By::OnlyOne);
    pub(crate) const TURN: Self = Self::without_score(By::Turn);
    pub(crate) const CHANCE: Self = Self::without_score(By::Chance);
    pub(crate) const WEIGHT: Self = Self::without_score(By::Weight);

    const fn without_score(by: By) -> Self {
        Self { by, score: 0.0, other_score: 0.0, number: 0 }
    }

    pub(crate) fn lowest_score(score: f64, compared: usize) -> Self {
        Self { by: By::LowestScore, score, other_score: 0.0, number: compared }
    }

    /// Of two; tried if its score is the higher one.
    #[inline]
    pub(crate) fn of_two(score: f64, (other, other_score): (usize, f64), tried: bool) -> Self {
        let by = if tried { By::Tried } else { By::LowerScore };
        Self { by, score, other_score, number: other }
    }

    pub(crate) fn key(skipped: usize) -> Self {
        Self { number: skipped, ..Self::without_score(By::Key) }
    }
}

/// The place of the instance that was chosen, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Decision {
    pub(crate) at: usize,
    pub(crate) fail_open: bool,
    pub(crate) locality: Option<Locality>,
    pub(crate) basis: Basis,
}

impl ChoiceReason {
    pub(crate) fn new(basis: Basis, name: impl FnOnce(usize) -> InstanceName) -> Self {
        let Basis { by, score, other_score, number } = basis;
        match by {
            By::OnlyOne => Self::OnlyOne,
            By::Turn => Self::Turn,
            By::Chance => Self::Chance,
            By::Weight => Self::Weight,
            By::LowestScore => Self::LowestScore { score, compared: number },
            By::LowerScore => Self::LowerScore { score, other: name(number), other_score },
            By::Tried => Self::Tried { score, other: name(number), other_score },
            By::Key => Self::Key { skipped: number },
        }
    }
}

impl fmt::Display for ChoiceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyOne => f.write_str("there is no other"),
            Self::Turn => f.write_str("it was its turn"),
            Self::Chance => f.write_str("it was drawn"),
            Self::Weight => f.write_str("it was its turn by weight"),
            Self::LowestScore { score, compared } => {
                write!(f, "its score {} is the lowest of {compared}", Short(*score))
            }
            Self::LowerScore { score, other, other_score } => {
                write!(f, "its score {} is lower than {} of {other}", Short(*score), Short(*other_score))
            }
            Self::Tried { score, other, other_score } => {
                let (score, other_score) = (Short(*score), Short(*other_score));
                write!(f, "it was tried after a while, although its score {score} is above {other_score} of {other}")
            }
            Self::Key { skipped: 0 } => f.write_str("it comes first for the key"),
            Self::Key { skipped } => {
                write!(f, "it comes first for the key of those below their bound: {skipped} are not")
            }
        }
    }
}

/// A score in few characters: scores of different policies differ by orders of magnitude.
pub(crate) struct Short(pub(crate) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = match self.0.abs() {
            score if score == 0.0 || (0.01..10_000.0).contains(&score) => format!("{:.3}", self.0),
            _ => format!("{:.2e}", self.0),
        };
        f.pad(&short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_scores_and_the_other_instance() {
        let name = |_| InstanceName::of(&"orders.b".parse().unwrap()).unwrap();
        let text = |basis| ChoiceReason::new(basis, name).to_string();
        let two = |tried| Basis::of_two(0.0000012, (1, 3.4), tried);
        assert_eq!(text(two(false)), "its score 1.20e-6 is lower than 3.400 of orders.b");
        let tried = "it was tried after a while, although its score 1.20e-6 is above 3.400 of orders.b";
        assert_eq!(text(two(true)), tried);
        assert_eq!(text(Basis::key(2)), "it comes first for the key of those below their bound: 2 are not");
        let json = serde_json::to_value(ChoiceReason::new(two(false), name)).unwrap();
        assert_eq!((&json["by"], &json["other"]), (&"lower_score".into(), &"orders.b".into()));
    }
}
