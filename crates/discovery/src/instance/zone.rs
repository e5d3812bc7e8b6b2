//! Zones: where an instance runs.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::field::FieldError;
use crate::limits::MAX_ZONE;

/// A region, and a zone of it: `eu/eu-1a`, or `eu` for a region as a whole.
///
/// ```
/// use foundation_discovery::Zone;
///
/// let (region, zone): (Zone, Zone) = ("eu".parse()?, "eu/eu-1a".parse()?);
/// assert!(region.contains(&zone) && !zone.contains(&region));
/// # Ok::<(), foundation_discovery::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Zone {
    region: Arc<str>,
    zone: Option<Arc<str>>,
}

impl Zone {
    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The zone within the region; `None` for the region as a whole.
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// Whether the other one is the same, or a zone of this region.
    pub fn contains(&self, other: &Self) -> bool {
        self.region == other.region && (self.zone.is_none() || self.zone == other.zone)
    }
}

impl FromStr for Zone {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let (region, zone) = match text.split_once('/') {
            Some((region, zone)) => (region, Some(zone)),
            None => (text, None),
        };
        for part in [Some(region), zone].into_iter().flatten() {
            FieldError::check("zone", part, MAX_ZONE, "_.-")?;
        }
        Ok(Self { region: region.into(), zone: zone.map(Arc::from) })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}/{zone}", self.region),
            None => f.pad(&self.region),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_zone_is_refused() {
        for text in ["", "/", "eu/", "/a", "eu/a/b", "EU", "eu a", &"x".repeat(64)] {
            assert_eq!(text.parse::<Zone>().unwrap_err().field, "zone", "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_zone_comes_back_from_its_text(text in "[a-z0-9_.-]{1,20}(/[a-z0-9_.-]{1,20})?") {
            let zone: Zone = text.parse().unwrap();
            prop_assert_eq!(zone.to_string(), text);
            prop_assert!(zone.contains(&zone));
        }
    }
}
