//! How a lease ended, as the exit reason of the actor that had the name of its instance.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use foundation_kernel::supervision::ExitReason;

/// How a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseEnd {
    /// Its holder gave it back.
    Withdrawn,
    /// It was not renewed for so long.
    Expired(Duration),
    /// Another actor has the name of its instance, or no actor.
    NameLost,
}

const WITHDRAWN: &str = "its lease was given back";
const NAME_LOST: &str = "the name of its instance was taken from it";
const EXPIRED: (&str, &str) = ("its lease ran out: it was not renewed for ", " ms");

impl LeaseEnd {
    /// What the exit reason of the actor of a lease says; `None` if the actor ended otherwise.
    pub(crate) fn of(reason: &ExitReason) -> Option<Self> {
        match reason {
            ExitReason::Shutdown(text) => text.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Withdrawn => f.write_str(WITHDRAWN),
            Self::NameLost => f.write_str(NAME_LOST),
            Self::Expired(silent_for) => write!(f, "{}{}{}", EXPIRED.0, silent_for.as_millis(), EXPIRED.1),
        }
    }
}

impl FromStr for LeaseEnd {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            WITHDRAWN => Ok(Self::Withdrawn),
            NAME_LOST => Ok(Self::NameLost),
            text => {
                let millis = text.strip_prefix(EXPIRED.0).and_then(|text| text.strip_suffix(EXPIRED.1)).ok_or(())?;
                Ok(Self::Expired(Duration::from_millis(millis.parse().map_err(drop)?)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_end_comes_back_from_its_text(millis: u64) {
            for end in [LeaseEnd::Withdrawn, LeaseEnd::NameLost, LeaseEnd::Expired(Duration::from_millis(millis))] {
                prop_assert_eq!(LeaseEnd::of(&ExitReason::Shutdown(end.to_string().into())), Some(end));
            }
        }

        #[test]
        fn no_other_reason_is_an_end_of_a_lease(text in "its lease ran out: it was not renewed for [a-z-]{0,4} ms|[a-z ]*") {
            prop_assert_eq!(LeaseEnd::of(&ExitReason::Shutdown(text.into())), None);
            prop_assert_eq!(LeaseEnd::of(&ExitReason::Killed), None);
        }
    }
}
