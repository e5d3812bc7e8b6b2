//! Patterns of event names.

use crate::name::{Grammar, MetricNameError};

/// The events that a handler receives: those of one name, or those of a name and all below it.
///
/// A text is the pattern of exactly that name. Below a name are the names that continue it after a dot. A name here is
/// one that an event may have; others are refused when a handler is [attached](crate::Telemetry::attach).
///
/// ```
/// use foundation_telemetry::EventPattern;
///
/// let orders = EventPattern::prefix("order");
/// assert!(orders.matches("order.placed") && orders.matches("order"));
/// assert!(!orders.matches("orders"));
/// assert!(!EventPattern::from("order").matches("order.placed"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPattern {
    name: String,
    reach: Reach,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reach {
    Exact,
    Below,
}

impl EventPattern {
    /// The events of exactly this name.
    pub fn exact(name: impl Into<String>) -> Self {
        Self { name: name.into(), reach: Reach::Exact }
    }

    /// The events of this name and of all names below it; all events, if it is empty. It has no dot at its end.
    pub fn prefix(name: impl Into<String>) -> Self {
        Self { name: name.into(), reach: Reach::Below }
    }

    /// Refuses a name that no event has, and a prefix with next to no names below it.
    pub(crate) fn check(&self) -> Result<(), MetricNameError> {
        match self.reach {
            Reach::Below if self.name.is_empty() => Ok(()),
            Reach::Below => Grammar::Prefix.check(&self.name),
            Reach::Exact => Grammar::Pattern.check(&self.name),
        }
    }

    /// Whether an event of this name is one of them. Cost: a comparison of the names.
    pub fn matches(&self, event: &str) -> bool {
        let rest = event.strip_prefix(&*self.name);
        match self.reach {
            Reach::Exact => rest == Some(""),
            Reach::Below => rest.is_some_and(|rest| self.name.is_empty() || rest.is_empty() || rest.starts_with('.')),
        }
    }
}

impl<T: Into<String>> From<T> for EventPattern {
    fn from(name: T) -> Self {
        Self::exact(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_word_ends() {
        let wanted = |event| EventPattern::prefix("order").matches(event);
        assert_eq!(
            ["order", "order.placed", "order.", "orders", "or", ""].map(wanted),
            [true, true, true, false, false, false]
        );
    }

    #[test]
    fn the_empty_prefix_is_everything() {
        assert!(["order", "", ".x"].into_iter().all(|event| EventPattern::prefix("").matches(event)));
    }

    #[test]
    fn a_pattern_is_a_name_or_all_names() {
        assert!(EventPattern::prefix("").check().is_ok() && EventPattern::from("order").check().is_ok());
        assert!(EventPattern::exact("").check().is_err() && EventPattern::prefix("order.*").check().is_err());
        assert!(EventPattern::prefix("order.").check().is_err() && EventPattern::exact("order.").check().is_ok());
    }

    #[test]
    fn an_exact_name_is_only_itself() {
        let wanted = |event| EventPattern::from("order").matches(event);
        assert_eq!(["order", "order.placed", "orde"].map(wanted), [true, false, false]);
    }
}
