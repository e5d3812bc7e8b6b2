//! Where a receiver listens, and what is said of this program.

use std::fmt;

use foundation_kernel::text::excerpt;
use hyper::Uri;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::encode::NAMESPACE;

/// How many attributes, and how many headers.
const MAX_COUNT: usize = 32;
/// The longest key of an attribute and its longest value, in bytes: all of them have room beside the numbers.
const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 1_024;
/// The longest value of a header, in bytes.
const MAX_HEADER: usize = 8 * 1_024;
/// A value that is shorter is no secret, and would be found in any text.
const MIN_SECRET: usize = 4;
/// Headers that a request has anyway, or that would change where it ends.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why an exporter by OTLP is refused. No text of a URL that may hold a password is shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// It is no URL.
    #[error("{text:?} is no URL of a receiver; write it as \"http://collector:4318\"")]
    Url {
        /// The beginning of the value given, without its path.
        text: String,
    },
    /// The URL holds a user or a password.
    #[error("the URL of a receiver holds no user and no password; give them as a header")]
    Credentials,
    /// The URL holds a query or a fragment.
    #[error("the URL of a receiver holds no query and no fragment; give what is secret as a header")]
    Query,
    /// TLS is not spoken.
    #[error(
        "a receiver is not reached by https: this exporter does not speak TLS; send by http to a collector or proxy nearby"
    )]
    Tls,
    /// The scheme is another one.
    #[error("a receiver is reached by http, not by {found:?}")]
    Scheme {
        /// The scheme given.
        found: String,
    },
    /// The port is missing.
    #[error("the URL of receiver {host:?} has no port; those of OTLP are 4318 for HTTP and 4317 for gRPC")]
    Port {
        /// The host given.
        host: String,
    },
    /// The URL has a path, which that of gRPC has not. It is not shown: a token may be a part of it.
    #[error("the URL of a receiver of gRPC has no path; write it as \"http://collector:4317\"")]
    Path,
    /// It is no name of a header.
    #[error("{name:?} is no name of a header")]
    HeaderName {
        /// The beginning of the name given.
        name: String,
    },
    /// The header is one of those that each request has.
    #[error("header {name:?} is written by the exporter itself")]
    OwnHeader {
        /// The name given.
        name: String,
    },
    /// It is no value of a header. It is not shown.
    #[error("the value of header {name:?} has control characters, or more than {MAX_HEADER} bytes")]
    HeaderValue {
        /// The name of the header.
        name: String,
    },
    /// The attribute is given twice, is empty, too long, or the one of the namespace.
    #[error("attribute {key:?} of the resource {reason}")]
    Attribute {
        /// The beginning of the key given.
        key: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are too many.
    #[error("an exporter has at most {MAX_COUNT} {what}")]
    TooMany {
        /// Headers or attributes.
        what: &'static str,
    },
}

/// Where a receiver listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    /// Without a slash at its end.
    pub(super) path: String,
}

impl Endpoint {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, OtlpError> {
        // First what may be secret: the errors below show parts of the URL.
        if url.contains('@') {
            return Err(OtlpError::Credentials);
        }
        if url.contains(['?', '#']) {
            return Err(OtlpError::Query);
        }
        let invalid = || OtlpError::Url { text: excerpt(without_path(url)) };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(OtlpError::Tls),
            Some(other) => return Err(OtlpError::Scheme { found: excerpt(other) }),
            None => return Err(invalid()),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?.to_owned();
        let port = uri.port_u16().filter(|port| *port != 0).ok_or_else(|| OtlpError::Port { host: excerpt(&host) })?;
        Ok(Self { host, port, path: uri.path().trim_end_matches('/').to_owned() })
    }

    /// What a socket is connected to: an address of IPv6 without its brackets.
    pub(super) fn address(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What is before the path of a URL, or of a text that is none.
fn without_path(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// The headers of each request. Their values are secrets.
#[derive(Clone, Default)]
pub(super) struct Headers {
    map: HeaderMap,
    secrets: Vec<SecretString>,
}

impl Headers {
    /// Adds a header; one of the same name stays.
    pub(super) fn add(&mut self, name: &str, value: SecretString) -> Result<(), OtlpError> {
        let shown = || excerpt(name);
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OtlpError::HeaderName { name: shown() })?;
        if OWN_HEADERS.contains(&header.as_str()) || header.as_str().starts_with("grpc-") {
            return Err(OtlpError::OwnHeader { name: shown() });
        }
        let text = value.expose_secret();
        let parsed = HeaderValue::from_str(text).ok().filter(|_| text.len() <= MAX_HEADER);
        let mut parsed = parsed.ok_or_else(|| OtlpError::HeaderValue { name: shown() })?;
        if self.secrets.len() >= MAX_COUNT {
            return Err(OtlpError::TooMany { what: "headers" });
        }
        // It does not show in `Debug`, and HTTP/2 does not put it into its table.
        parsed.set_sensitive(true);
        self.map.append(header, parsed);
        self.secrets.push(value);
        Ok(())
    }

    pub(super) fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// A text of the receiver without the secrets, in case it repeats what was sent.
    pub(super) fn redacted(&self, text: &str) -> String {
        // Also the part after `Bearer` and the like.
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        let parts = secrets.flat_map(|secret| [secret, secret.rsplit(' ').next().unwrap_or(secret)]);
        let mut hidden: Vec<_> = parts.filter(|part| part.len() >= MIN_SECRET).collect();
        // The longest first: of one that has another in it, the rest would stay.
        hidden.sort_by_key(|part| std::cmp::Reverse(part.len()));
        hidden.into_iter().fold(text.to_owned(), |text, part| text.replace(part, "[secret]"))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.map.keys()).finish()
    }
}

/// What is said of this program, besides its namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes(Vec<(String, String)>);

impl Attributes {
    pub(super) fn add(&mut self, key: &str, value: &str) -> Result<(), OtlpError> {
        let reason = match key {
            "" => Some("has no key"),
            NAMESPACE => Some("is written by the exporter itself"),
            _ if key.len() > MAX_KEY => Some("has a key of more than 256 bytes"),
            _ if value.len() > MAX_VALUE => Some("has a value of more than 1,024 bytes"),
            _ if self.0.iter().any(|(known, _)| known == key) => Some("is given twice"),
            _ => None,
        };
        if let Some(reason) = reason {
            return Err(OtlpError::Attribute { key: excerpt(key), reason });
        }
        if self.0.len() >= MAX_COUNT {
            return Err(OtlpError::TooMany { what: "attributes" });
        }
        self.0.push((key.to_owned(), value.to_owned()));
        Ok(())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let endpoint = Endpoint::parse("http://[::1]:4318/otlp/").unwrap();
        assert_eq!((endpoint.address(), &*endpoint.path), (("::1", 4318), "/otlp"));
        assert_eq!(endpoint.to_string(), "[::1]:4318");
    }

    #[test]
    fn the_secrets_of_headers_are_taken_out_of_a_text() {
        let mut headers = Headers::default();
        headers.add("authorization", SecretString::from("Bearer abcd")).unwrap();
        headers.add("x-tenant", SecretString::from("e")).unwrap();
        assert_eq!(headers.redacted("no such token: abcd, or Bearer abcd"), "no such token: [secret], or [secret]");
        assert_eq!(format!("{headers:?}"), r#"{"authorization", "x-tenant"}"#);
    }

    #[test]
    fn of_a_secret_that_has_another_in_it_nothing_stays() {
        let mut headers = Headers::default();
        headers.add("x-user", SecretString::from("abcd")).unwrap();
        headers.add("x-token", SecretString::from("abcd-0123")).unwrap();
        assert_eq!(headers.redacted("abcd-0123 of abcd"), "[secret] of [secret]");
    }
}
