//! Lines of StatsD, which no name, label or value can break.

use std::fmt::{self, Write};

/// The most bytes of a datagram: what an Ethernet frame holds beside the headers, and a little less.
pub(super) const MAX_DATAGRAM: usize = 1_432;

/// How labels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As parts of the name.
    Plain,
    /// As tags after the value.
    Tagged,
}

/// What the lines of a series have in common: what stands before the suffix of the name, and after the type.
pub(super) struct SeriesName {
    dialect: Dialect,
    before: String,
    after: String,
}

impl SeriesName {
    /// The name of a series; `None` if it does not fit into a datagram.
    pub(super) fn new(
        dialect: Dialect,
        prefix: &str,
        namespace: &str,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Option<Self> {
        let length = labels.iter().map(|(key, value)| key.len().saturating_add(value.len()));
        let length = length.fold(name.len().saturating_add(namespace.len()), usize::saturating_add);
        // Before anything is copied: a text may have any length.
        if length > MAX_DATAGRAM {
            return None;
        }
        let mut before = String::new();
        if !prefix.is_empty() {
            before.push_str(prefix);
            before.push('.');
        }
        let mut after = String::new();
        match dialect {
            Dialect::Plain => push_parts(&mut before, namespace, name, labels),
            Dialect::Tagged => {
                push_part(&mut before, name, is_of_name);
                push_tags(&mut after, namespace, labels);
            }
        }
        Some(Self { dialect, before, after })
    }

    /// How much a counter has grown.
    pub(super) fn count(&self, growth: u64) -> String {
        self.line("", growth, "c")
    }

    /// The value of a gauge, which has to be finite. Of two lines that belong together, the first sets a gauge to zero: a number with
    /// a sign would change a gauge of StatsD by that much.
    pub(super) fn gauge(&self, suffix: &str, value: f64) -> String {
        // Negative zero has a sign, too.
        let value = if value == 0.0 { 0.0 } else { value };
        let line = self.line(suffix, value, "g");
        match self.dialect {
            Dialect::Plain if value < 0.0 => format!("{}\n{line}", self.line(suffix, 0, "g")),
            _ => line,
        }
    }

    fn line(&self, suffix: &str, value: impl fmt::Display, kind: &str) -> String {
        let mut line = String::with_capacity(self.before.len() + self.after.len() + suffix.len() + 24);
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{suffix}:{value}|{kind}{}", self.before, self.after);
        line
    }
}

/// Writes the name with the namespace before it and the labels after it.
fn push_parts(to: &mut String, namespace: &str, name: &str, labels: &[(&str, &str)]) {
    push_part(to, namespace, is_of_part);
    to.push('.');
    push_part(to, name, is_of_name);
    for part in labels.iter().flat_map(|(key, value)| [key, value]) {
        to.push('.');
        push_part(to, part, is_of_part);
    }
}

/// Writes the namespace and the labels as tags.
fn push_tags(to: &mut String, namespace: &str, labels: &[(&str, &str)]) {
    let tags = [("namespace", namespace)].into_iter().chain(labels.iter().copied());
    for (position, (key, value)) in tags.enumerate() {
        to.push_str(if position == 0 { "|#" } else { "," });
        push_part(to, key, is_of_part);
        to.push(':');
        push_part(to, value, is_of_tag);
    }
}

/// Writes a text with `_` for each character that is not allowed; `_` for an empty one.
fn push_part(to: &mut String, text: &str, is_allowed: fn(char) -> bool) {
    if text.is_empty() {
        to.push('_');
    }
    to.extend(text.chars().map(|character| if is_allowed(character) { character } else { '_' }));
}

fn is_of_name(character: char) -> bool {
    is_of_part(character) || character == '.'
}

/// A dot would begin the next part of a name.
fn is_of_part(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-".contains(character)
}

fn is_of_tag(character: char) -> bool {
    character.is_alphanumeric() || "_-./=+%~".contains(character)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn named(dialect: Dialect, prefix: &str, name: &str, labels: &[(&str, &str)]) -> SeriesName {
        SeriesName::new(dialect, prefix, "production", name, labels).unwrap()
    }

    #[test]
    fn labels_are_parts_of_the_name_or_tags() {
        let labels = [("method", "GET"), ("path", "/a.b")];
        let plain = named(Dialect::Plain, "shop", "http.requests", &labels);
        assert_eq!(plain.count(3), "shop.production.http.requests.method.GET.path._a_b:3|c");
        let tagged = named(Dialect::Tagged, "shop", "http.requests", &labels);
        assert_eq!(tagged.count(3), "shop.http.requests:3|c|#namespace:production,method:GET,path:/a.b");
        assert_eq!(named(Dialect::Plain, "", "a/b:c", &[("k", "")]).count(1), "production.a_b_c.k._:1|c");
    }

    #[test]
    fn a_negative_gauge_is_set_to_zero_before_it_is_lowered() {
        let name = named(Dialect::Plain, "", "level", &[]);
        assert_eq!(name.gauge("", -7.5), "production.level:0|g\nproduction.level:-7.5|g");
        assert_eq!(name.gauge("", -0.0), "production.level:0|g");
        assert_eq!(name.gauge(".p50", 7.5), "production.level.p50:7.5|g");
        let tagged = named(Dialect::Tagged, "", "level", &[]);
        assert_eq!(tagged.gauge("", -7.5), "level:-7.5|g|#namespace:production");
    }

    #[test]
    fn a_name_that_is_longer_than_a_datagram_is_not_copied() {
        let long = "a".repeat(1 << 20);
        assert!(SeriesName::new(Dialect::Plain, "", "production", &long, &[]).is_none());
        assert!(SeriesName::new(Dialect::Tagged, "", "production", "a", &[("k", &*long)]).is_none());
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            vec(prop::sample::select(vec!['|', '#', ':', '@', ',', '\n', '\r', '\0', '\u{2028}', 'a']), 0..20)
                .prop_map(|characters| characters.into_iter().collect()),
        ]
    }

    proptest! {
        #[test]
        fn no_name_label_or_value_breaks_a_line(
            namespace in any_text(), name in any_text(), labels in vec((any_text(), any_text()), 0..4), value in any::<f64>(),
            tags in any::<bool>(),
        ) {
            let dialect = if tags { Dialect::Tagged } else { Dialect::Plain };
            let pairs: Vec<_> = labels.iter().map(|(key, value)| (&**key, &**value)).collect();
            let Some(series) = SeriesName::new(dialect, "", &namespace, &name, &pairs) else { return Ok(()) };
            let value = if value.is_finite() { value } else { 1.0 };
            for line in series.gauge(".p99", value).split('\n') {
                prop_assert!(!line.contains(|it: char| it.is_control() || it.is_whitespace()), "{:?}", line);
                let fields: Vec<_> = line.split('|').collect();
                prop_assert_eq!(fields.len(), if tags { 3 } else { 2 }, "{:?}", line);
                prop_assert_eq!(fields[1], "g");
                let (head, number) = fields[0].split_once(':').unwrap();
                prop_assert!(head.ends_with(".p99") && head.is_ascii() && !head.contains(['#', '@', ',']), "{:?}", line);
                prop_assert!(number.parse::<f64>().unwrap() == value || number == "0", "{:?}", line);
                if tags {
                    let written: Vec<_> = fields[2].strip_prefix('#').unwrap().split(',').collect();
                    prop_assert_eq!(written.len(), 1 + labels.len());
                    prop_assert!(written.iter().all(|tag| tag.split(':').count() == 2), "{:?}", line);
                }
            }
        }
    }
}
