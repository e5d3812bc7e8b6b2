//! Where datagrams go, and what all names begin with.

use std::fmt;

use foundation_kernel::text::excerpt;

/// The longest host name that DNS knows.
const MAX_HOST: usize = 253;
const MAX_PREFIX: usize = 100;

/// A receiver of StatsD: its host and port, and a prefix of all names.
///
/// ```
/// use foundation_export::StatsdTarget;
///
/// let target = StatsdTarget::new("127.0.0.1:8125")?.prefix("shop")?;
/// assert_eq!(target.to_string(), "udp 127.0.0.1:8125");
/// let error = StatsdTarget::new("127.0.0.1").unwrap_err();
/// assert_eq!(error.to_string(), r#""127.0.0.1" is no receiver of datagrams; write it as "host:8125""#);
/// # Ok::<(), foundation_export::StatsdTargetError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsdTarget {
    host: String,
    port: u16,
    prefix: String,
}

/// Why a target is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsdTargetError {
    /// It is no host with a port.
    #[error("{found:?} is no receiver of datagrams; write it as \"host:8125\"")]
    Address {
        /// The beginning of the value given.
        found: String,
    },
    /// It is no beginning of a name.
    #[error(
        "{found:?} is no prefix of names; it has 1 to {MAX_PREFIX} ASCII letters, digits and _-. and neither begins nor ends with a dot"
    )]
    Prefix {
        /// The beginning of the value given.
        found: String,
    },
}

impl StatsdTarget {
    /// The receiver at this host and port: `"statsd.internal:8125"`, `"10.0.0.7:8125"`, `"[::1]:8125"`. The name of a host is looked
    /// up when the exporter connects, and again after each failure.
    ///
    /// # Errors
    /// [`StatsdTargetError::Address`].
    pub fn new(address: &str) -> Result<Self, StatsdTargetError> {
        let refused = || StatsdTargetError::Address { found: excerpt(address) };
        let (host, port) = address.rsplit_once(':').ok_or_else(refused)?;
        let port = number(port).filter(|port| *port > 0).ok_or_else(refused)?;
        let host = checked_host(host).ok_or_else(refused)?;
        Ok(Self { host: host.to_owned(), port, prefix: String::new() })
    }

    /// Lets all names begin with this and a dot.
    ///
    /// # Errors
    /// [`StatsdTargetError::Prefix`].
    pub fn prefix(self, prefix: &str) -> Result<Self, StatsdTargetError> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let is_valid = (1..=MAX_PREFIX).contains(&prefix.len())
            && prefix.bytes().all(is_allowed)
            && !prefix.starts_with('.')
            && !prefix.ends_with('.');
        match is_valid {
            true => Ok(Self { prefix: prefix.to_owned(), ..self }),
            false => Err(StatsdTargetError::Prefix { found: excerpt(prefix) }),
        }
    }

    pub(super) fn name_prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

/// Digits only: `parse` takes a sign, too.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A host as resolvers take it: an address of version 6 without its brackets.
fn checked_host(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']')?;
        return address.parse::<std::net::Ipv6Addr>().is_ok().then_some(address);
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = (1..=MAX_HOST).contains(&text.len()) && text.bytes().all(is_allowed);
    is_host.then_some(text)
}

/// The host and the port; nothing in it is secret.
impl fmt::Display for StatsdTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "udp [{host}]:{port}") } else { write!(f, "udp {host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_port_is_a_target() {
        for address in ["127.0.0.1:8125", "statsd.internal:1", "[::1]:65535", "a_b-c:8125"] {
            assert_eq!(StatsdTarget::new(address).unwrap().to_string(), format!("udp {address}"));
        }
    }

    #[test]
    fn what_is_no_host_with_a_port_is_refused_in_one_short_line() {
        let long = format!("{}:1", "a".repeat(1 << 20));
        let refused = [
            "",
            ":",
            ":8125",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:-1",
            "a:8125x",
            "a b:1",
            "a\nb:1",
            "::1:8125",
            "[::1:1",
            "[a]:1",
            "udp://a:1",
            "user:secret@host",
            "ä:1",
            &long,
        ];
        for address in refused {
            let error = StatsdTarget::new(address).unwrap_err().to_string();
            assert!(error.ends_with("is no receiver of datagrams; write it as \"host:8125\""), "{error}");
            assert!(error.len() < 500 && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_prefix_that_could_break_a_line_is_refused() {
        let target = StatsdTarget::new("a:1").unwrap();
        for prefix in ["", ".", "a.", ".a", "a b", "a:b", "a|b", "a\nb", "ä", &"a".repeat(101)] {
            let error = target.clone().prefix(prefix).unwrap_err().to_string();
            assert!(error.contains("is no prefix of names") && !error.contains('\n'), "{error}");
        }
        assert_eq!(target.prefix("shop.eu-1").unwrap().name_prefix(), "shop.eu-1");
    }
}
