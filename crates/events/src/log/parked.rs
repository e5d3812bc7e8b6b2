use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::event::{invalid_name, is_name};
use crate::{Event, EventError};

/// The name of a durable subscription, under which its store remembers its position.
///
/// 1 to 128 bytes of `[a-z0-9_.-]` that start with a letter.
///
/// ```
/// use foundation_events::SubscriptionName;
///
/// const INVOICES: SubscriptionName = SubscriptionName::from_static("invoices");
/// assert_eq!("invoices".parse::<SubscriptionName>()?, INVOICES);
/// assert!(SubscriptionName::new("Invoices!").is_err());
/// # Ok::<(), foundation_events::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubscriptionName(std::borrow::Cow<'static, str>);

impl SubscriptionName {
    /// A checked name.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubscription`], which says which character is wrong and where.
    pub fn new(text: impl Into<String>) -> Result<Self, EventError> {
        let text = text.into();
        match invalid_name(&text) {
            None => Ok(Self(text.into())),
            Some(reason) => Err(EventError::invalid_subscription(&text, reason)),
        }
    }

    /// A name that is written in the program, for use as a `const`.
    ///
    /// # Panics
    ///
    /// If the text is no valid name; in a `const` that is an error of the compiler.
    pub const fn from_static(text: &'static str) -> Self {
        assert!(is_name(text.as_bytes()), "a subscription is 1 to 128 bytes of [a-z0-9_.-] that start with a letter");
        Self(std::borrow::Cow::Borrowed(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SubscriptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl AsRef<str> for SubscriptionName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for SubscriptionName {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        Self::new(text)
    }
}

impl TryFrom<String> for SubscriptionName {
    type Error = EventError;

    fn try_from(text: String) -> Result<Self, EventError> {
        Self::new(text)
    }
}

impl From<SubscriptionName> for String {
    fn from(name: SubscriptionName) -> Self {
        name.0.into_owned()
    }
}

/// An event that a durable subscription has put aside, since its consumer failed on it each time.
///
/// It is kept whole, in the log and beside its events: pruning does not reach it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedEvent {
    /// The subscription.
    pub subscription: SubscriptionName,
    /// The event.
    pub event: Arc<Event>,
    /// How often its consumer has failed on it.
    pub failures: u32,
    /// The reason, as far as it is known.
    pub reason: String,
    /// When it was parked.
    pub parked_at: SystemTime,
}

impl ParkedEvent {
    /// This event of this subscription, after so many failures.
    pub fn new(
        subscription: SubscriptionName,
        event: Arc<Event>,
        failures: u32,
        reason: impl Into<String>,
        parked_at: SystemTime,
    ) -> Self {
        Self { subscription, event, failures, reason: reason.into(), parked_at }
    }
}
