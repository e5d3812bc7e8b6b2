//! Endpoints: where an instance outside of this process is reached, and how.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use super::field::{FieldError, FieldErrorKind};
use crate::limits::{MAX_HOST, MAX_PROTOCOL};

/// A protocol, a host and a port, such as `grpc://10.0.0.7:8080` or `http://[::1]:80`.
///
/// The host is a name, an IPv4 address, or an IPv6 address in brackets; capital letters of it become small. Nothing is
/// resolved. Cloning costs two reference counts.
///
/// ```
/// use foundation_discovery::Endpoint;
///
/// let endpoint: Endpoint = "grpc://Orders.internal:8080".parse()?;
/// assert_eq!((endpoint.protocol(), endpoint.host(), endpoint.port()), ("grpc", "orders.internal", 8080));
/// assert_eq!(endpoint.address(), "orders.internal:8080");
///
/// let error = "grpc://orders:99999".parse::<Endpoint>().unwrap_err();
/// assert_eq!(error.to_string(), "port 99999 is not within 1 to 65535");
/// # Ok::<(), foundation_discovery::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    protocol: Arc<str>,
    host: Arc<str>,
    port: u16,
}

const EXPECTED: &str = "an endpoint such as http://10.0.0.7:8080";

impl Endpoint {
    /// The protocol: small letters, digits, `+`, `-` and `.`.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The host; an IPv6 address is without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as `TcpStream::connect` takes them.
    pub fn address(&self) -> String {
        if self.is_ipv6() { format!("[{}]:{}", self.host, self.port) } else { format!("{}:{}", self.host, self.port) }
    }

    fn is_ipv6(&self) -> bool {
        self.host.contains(':')
    }
}

impl FromStr for Endpoint {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let refused = || FieldError::form("endpoint", text, EXPECTED);
        let (protocol, address) = text.split_once("://").ok_or_else(refused)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(refused)?;
        FieldError::check("protocol", protocol, MAX_PROTOCOL, "+.-")?;
        Ok(Self { protocol: protocol.into(), host: read_host(host)?.into(), port: read_port(port)? })
    }
}

fn read_host(host: &str) -> Result<String, FieldError> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|it| it.parse::<Ipv6Addr>().ok());
        let address = address.ok_or_else(|| FieldError::form("host", host, "an IPv6 address such as [::1]"))?;
        return Ok(address.to_string());
    }
    let host = host.to_ascii_lowercase();
    FieldError::check("host", &host, MAX_HOST, "_.-")?;
    Ok(host)
}

fn read_port(port: &str) -> Result<u16, FieldError> {
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port @ 1..) if is_number => Ok(port),
        _ if is_number && port.len() < 20 => {
            Err(FieldError::number("port", port, FieldErrorKind::OutOfRange { min: 1, max: u64::from(u16::MAX) }))
        }
        _ => Err(FieldError::form("port", port, "a number of 1 to 65535")),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol, self.address())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_endpoint_is_refused_by_the_part_that_is_wrong() {
        for (text, error) in [
            ("orders", r#"endpoint "orders" is not an endpoint such as http://10.0.0.7:8080"#),
            ("http://orders", r#"endpoint "http://orders" is not an endpoint such as http://10.0.0.7:8080"#),
            ("://orders:80", r#"protocol "" is empty; it takes 1 to 32 of [a-z0-9+.-]"#),
            ("http://:80", r#"host "" is empty; it takes 1 to 253 of [a-z0-9_.-]"#),
            ("http://a/b:80", r#"host "a/b" has '/' at byte 1; allowed are [a-z0-9_.-]"#),
            ("http://[::g]:80", r#"host "[::g]" is not an IPv6 address such as [::1]"#),
            ("http://a:0", "port 0 is not within 1 to 65535"),
            ("http://a:65536", "port 65536 is not within 1 to 65535"),
            ("http://a:80/x", r#"port "80/x" is not a number of 1 to 65535"#),
            ("http://a:+80", r#"port "+80" is not a number of 1 to 65535"#),
            ("http://a:", r#"port "" is not a number of 1 to 65535"#),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().to_string(), error, "{text}");
        }
    }

    #[test]
    fn an_ipv6_address_is_in_brackets_where_a_port_follows() {
        let endpoint: Endpoint = "http://[0:0::1]:80".parse().unwrap();
        assert_eq!((endpoint.host(), endpoint.address().as_str()), ("::1", "[::1]:80"));
        assert_eq!(endpoint.to_string(), "http://[::1]:80");
    }

    proptest! {
        #[test]
        fn an_endpoint_comes_back_from_its_text(text in "[a-z+.-]{1,8}://([a-z0-9_.-]{1,20}|\\[::[0-9a-f]{1,4}\\]):[1-9][0-9]{0,3}") {
            let endpoint: Endpoint = text.parse().unwrap();
            prop_assert_eq!(endpoint.to_string().parse::<Endpoint>(), Ok(endpoint));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, parts in "[a-z]{0,2}(://)?[\\[\\]:a0/]{0,8}:?[0-9]{0,30}") {
            let _ = (text.parse::<Endpoint>(), parts.parse::<Endpoint>());
        }
    }
}
