//! Capabilities: what an instance can do.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::field::FieldError;
use crate::limits::MAX_CAPABILITY;

/// Something that an instance can do, without a limit or up to an amount: `refund`, `attachment_bytes=1048576`.
///
/// The same type says what is needed: `attachment_bytes=5000` is met by each instance that can at least that much.
///
/// ```
/// use foundation_discovery::Capability;
///
/// let (can, needed): (Capability, Capability) = ("attachment_bytes=1048576".parse()?, "attachment_bytes=5000".parse()?);
/// assert!(can.meets(&needed) && !needed.meets(&can));
/// # Ok::<(), foundation_discovery::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Capability {
    name: Arc<str>,
    up_to: Option<u64>,
}

impl Capability {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The amount; `None` if there is no limit.
    pub fn up_to(&self) -> Option<u64> {
        self.up_to
    }

    /// Whether an instance with this capability can do what is needed: the same, and as much.
    ///
    /// A need without an amount is met by any amount.
    pub fn meets(&self, needed: &Self) -> bool {
        let is_enough = match (self.up_to, needed.up_to) {
            (Some(can), Some(needed)) => can >= needed,
            _ => true,
        };
        self.name == needed.name && is_enough
    }
}

impl FromStr for Capability {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let (name, up_to) = match text.split_once('=') {
            Some((name, up_to)) => (name, Some(read_amount(text, up_to)?)),
            None => (text, None),
        };
        FieldError::check("capability", name, MAX_CAPABILITY, "_.-")?;
        Ok(Self { name: name.into(), up_to })
    }
}

fn read_amount(text: &str, amount: &str) -> Result<u64, FieldError> {
    let is_number = amount.bytes().all(|byte| byte.is_ascii_digit());
    let amount = amount.parse().ok().filter(|_| is_number);
    amount.ok_or_else(|| FieldError::form("capability", text, "a name with an amount such as attachment_bytes=1048576"))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.up_to {
            Some(up_to) => write!(f, "{}={up_to}", self.name),
            None => f.pad(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn capability(text: &str) -> Capability {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_no_capability_is_refused() {
        for text in ["", "=1", "a=", "a=x", "a=-1", "a=+1", "a=1=2", "a b", "a=99999999999999999999", &"x".repeat(65)] {
            assert_eq!(text.parse::<Capability>().unwrap_err().field, "capability", "{text:?}");
        }
    }

    #[test]
    fn without_a_limit_any_need_is_met_and_a_need_without_an_amount_by_any() {
        assert!(capability("mail").meets(&capability("mail=7")) && capability("mail=7").meets(&capability("mail")));
        assert!(!capability("mail").meets(&capability("fax")));
    }

    proptest! {
        #[test]
        fn a_capability_comes_back_from_its_text(name in "[a-z0-9_.-]{1,64}", up_to: Option<u64>) {
            let text = up_to.map_or(name.clone(), |up_to| format!("{name}={up_to}"));
            prop_assert_eq!(capability(&text).to_string(), text);
        }

        #[test]
        fn who_can_more_meets_all_that_who_can_less_meets(less: u64, more: u64, needed: u64) {
            let (less, more) = (less.min(more), less.max(more));
            let can = |amount: u64| capability(&format!("a={amount}")).meets(&capability(&format!("a={needed}")));
            prop_assert!(!can(less) || can(more));
        }
    }
}
