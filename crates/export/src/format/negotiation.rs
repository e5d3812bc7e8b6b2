//! Which text a client of `/metrics` gets: pure.

use super::{Format, OpenMetrics, PrometheusText};

/// The texts in which numbers are served by HTTP.
///
/// ```
/// use foundation_export::MetricsText;
///
/// let chosen = MetricsText::negotiated("application/openmetrics-text; version=1.0.0, text/plain;q=0.5, */*;q=0.1");
/// assert_eq!((chosen, chosen.format()), (MetricsText::OpenMetrics, "openmetrics"));
/// assert_eq!(MetricsText::negotiated("*/*").content_type(), "text/plain; version=0.0.4; charset=utf-8");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetricsText {
    /// Prometheus' text, which each client gets that does not ask for the other.
    #[default]
    Prometheus,
    /// OpenMetrics.
    OpenMetrics,
}

impl MetricsText {
    /// The text for a client with this `Accept` header; without one, that of an empty text.
    ///
    /// OpenMetrics is for clients that name it, in version 1.0.0 or without a version, and prefer nothing else of the two. A
    /// header that accepts neither, or is none, gets Prometheus' text, as a client of Prometheus expects.
    pub fn negotiated(accept: &str) -> Self {
        let (mut classic, mut open) = (0.0_f64, 0.0_f64);
        for range in accept.split(',') {
            match media_range(range) {
                Some((Self::Prometheus, quality)) => classic = classic.max(quality),
                Some((Self::OpenMetrics, quality)) => open = open.max(quality),
                None => {}
            }
        }
        if open > 0.0 && open >= classic { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The name of the format, for [`Exports::encode`](crate::Exports::encode).
    pub fn format(self) -> &'static str {
        match self {
            Self::Prometheus => PrometheusText::NAME,
            Self::OpenMetrics => OpenMetrics::NAME,
        }
    }

    /// The value of the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => PrometheusText::CONTENT_TYPE,
            Self::OpenMetrics => OpenMetrics::CONTENT_TYPE,
        }
    }
}

/// The text that a media range names, and how much it is wanted: from 0 to 1.
fn media_range(range: &str) -> Option<(MetricsText, f64)> {
    let mut parts = range.split(';').map(str::trim);
    let (text, version) = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" => (MetricsText::OpenMetrics, "1.0.0"),
        "text/plain" => (MetricsText::Prometheus, "0.0.4"),
        _ => return None,
    };
    let mut quality = 1.0;
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "version" if value != version => return None,
            "q" => quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?,
            _ => {}
        }
    }
    Some((text, quality))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_client_gets_the_text_that_it_prefers() {
        use MetricsText::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            // Prometheus 2.42 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // A browser, curl, nothing at all.
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Prometheus),
            ("*/*", Prometheus),
            ("", Prometheus),
            // Order and letters are without meaning, preference is not.
            ("text/plain;q=0.5, Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;q=0.4, text/plain;q=0.5", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
            // Versions and weights that do not exist.
            ("application/openmetrics-text;version=0.0.1", Prometheus),
            ("application/openmetrics-text;q=2", Prometheus),
            ("application/openmetrics-text;q=NaN", Prometheus),
            ("application/json", Prometheus),
        ] {
            assert_eq!(MetricsText::negotiated(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_an_error_and_only_one_that_names_open_metrics_gets_it(accept in r"([a-z*/;=,. q0-9]|application/openmetrics-text){0,20}") {
            let chosen = MetricsText::negotiated(&accept);
            prop_assert!(chosen == MetricsText::Prometheus || accept.contains("application/openmetrics-text"));
        }
    }
}
