//! Near misses: the existing names closest to one that does not exist.

use std::fmt;

/// The largest number of names that are suggested.
const MAX_SHOWN: usize = 3;
/// Names less alike than this (Jaro-Winkler, 0 to 1) are no near misses.
const MIN_SIMILARITY: f64 = 0.75;

/// The names that come closest to one that was not found, the closest first; written `; did you mean …?`, or nothing.
///
/// ```
/// use foundation_kernel::names::{Namespace, ProcessRegistry, RegistryError, ServiceKey};
/// # use foundation_kernel::ractor::{self, Actor, ActorProcessingErr, ActorRef};
/// # struct Clerk;
/// # #[cfg_attr(feature = "async-trait", ractor::async_trait)]
/// # impl Actor for Clerk {
/// #     type Msg = u64; type State = (); type Arguments = ();
/// #     async fn pre_start(&self, _: ActorRef<u64>, _: ()) -> Result<(), ActorProcessingErr> { Ok(()) }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let registry = ProcessRegistry::start().await?;
/// let names = registry.namespace(Namespace::Production).await?;
/// names.spawn(&ServiceKey::new("word_count")?, Clerk, ()).await?;
///
/// let missed = names.lookup(&ServiceKey::<u64>::new("word_cuont")?).unwrap_err();
/// let RegistryError::NotFound { near, .. } = missed else { panic!("{missed}") };
/// assert_eq!(near.names(), ["word_count"]);
/// assert_eq!(near.to_string(), "; did you mean word_count?");
/// # registry.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NearMisses(Vec<String>);

impl NearMisses {
    /// Picks at most three of the known names, by Jaro-Winkler similarity. Cost: linear in the names.
    #[doc(hidden)]
    pub fn of<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self::ranked(known.map(|name| (strsim::jaro_winkler(wanted, name), name)), MIN_SIMILARITY)
    }

    /// Picks at most three of the names that the caller has compared: the highest similarity first, none below
    /// `min_similarity`.
    #[doc(hidden)]
    pub fn ranked<'a>(known: impl Iterator<Item = (f64, &'a str)>, min_similarity: f64) -> Self {
        let mut ranked: Vec<_> = known.filter(|(similarity, _)| *similarity >= min_similarity).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        Self(ranked.into_iter().take(MAX_SHOWN).map(|(_, name)| name.to_owned()).collect())
    }

    /// The names, the closest first.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for NearMisses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; did you mean {}?", self.0.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn at_most_three_are_picked_the_closest_first_and_none_that_is_unlike() {
        let known = ["word_counter", "telemetry", "word_count", "worm_cant", "words", "word_counts"];
        let near = NearMisses::of("word_count", known.into_iter());
        assert_eq!(near.names(), ["word_count", "word_counts", "word_counter"]);
        assert_eq!(near.to_string(), "; did you mean word_count, word_counts, word_counter?");
        assert_eq!(NearMisses::of("zzz", known.into_iter()).to_string(), "");
    }

    #[test]
    fn names_that_are_equally_close_come_in_their_own_order() {
        let near = NearMisses::ranked([(0.5, "c"), (1.0, "b"), (1.0, "a"), (0.4, "d")].into_iter(), 0.5);
        assert_eq!(near.names(), ["a", "b", "c"]);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_only_known_names_are_picked(wanted: String, known: Vec<String>) {
            let near = NearMisses::of(&wanted, known.iter().map(String::as_str));
            prop_assert!(near.names().len() <= MAX_SHOWN && near.names().iter().all(|name| known.contains(name)));
        }
    }
}
