//! Tests of instances.

use proptest::prelude::*;

use super::*;
use crate::samples::instances;

fn refusal(builder: InstanceBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

fn orders() -> InstanceBuilder {
    Instance::builder("orders", "a")
}

#[test]
fn a_field_that_is_not_valid_is_named_with_what_it_takes() {
    for (builder, error) in [
        (
            Instance::builder("Orders", "a"),
            r#"service "Orders" is not the name of a service: service name "Orders" has 'O' at byte 0; allowed are [a-z0-9_.-]"#,
        ),
        (Instance::builder("orders", "a.b"), r#"id "a.b" has '.' at byte 1; allowed are [a-z0-9_-]"#),
        (
            orders().version("1.4"),
            r#"version "1.4" is not a semantic version such as 1.4.2: unexpected end of input while parsing minor version number"#,
        ),
        (orders().zone("EU"), r#"zone "EU" has 'E' at byte 0; allowed are [a-z0-9_.-]"#),
        (orders().weight(0), "weight 0 is not within 1 to 1000"),
        (orders().weight(1_001), "weight 1001 is not within 1 to 1000"),
        (orders().capability("a b"), r#"capability "a b" has ' ' at byte 1; allowed are [a-z0-9_.-]"#),
        (orders().label("a b", ""), r#"label key "a b" has ' ' at byte 1; allowed are [a-z0-9_./-]"#),
        (
            orders().label("a", "x\ny"),
            r#"label value "x\ny" has '\n' at byte 1; allowed are characters that are not control characters"#,
        ),
        (
            (0..33).fold(orders(), |it, at| it.capability(format!("c{at}"))),
            "capabilities 33 are too many; at most 32 are allowed",
        ),
        ((0..33).fold(orders(), |it, at| it.label(at, "")), "labels 33 are too many; at most 32 are allowed"),
    ] {
        assert_eq!(refusal(builder), error);
    }
}

#[test]
fn an_instance_that_is_too_long_as_a_whole_is_refused() {
    let value = "\"".repeat(MAX_LABEL_VALUE);
    let large = (0..MAX_LABELS).fold(orders(), |it, at| it.label(format!("{at:0>64}"), &value));
    let large = (0..MAX_CAPABILITIES).fold(large, |it, at| it.capability(format!("{at:0>64}")));
    let error = large.build().unwrap_err();
    assert!(error.to_string().starts_with(r#"instance "orders.a" has 1"#), "{error}");
}

#[test]
fn other_metadata_is_no_instance_and_a_broken_instance_is_an_error() {
    let name = ServiceName::from_static("orders.a");
    let read = |text: &str| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        Instance::read(&name, &Metadata::new(&value).unwrap())
    };
    for text in ["null", "7", "{}", r#"{"zone": "eu"}"#, "[]"] {
        assert!(matches!(read(text), Ok(None)), "{text}");
    }
    for (text, reason) in [
        (r#"{"instance": 7}"#, "invalid type"),
        (r#"{"instance": {"service": "orders"}}"#, "missing field `id`"),
        (r#"{"instance": {"service": "orders", "id": "a", "version": "x"}}"#, r#"version "x" is not"#),
        (r#"{"instance": {"service": "orders", "id": "a", "weight": 70000}}"#, "invalid value"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.starts_with("the metadata of orders.a is not that of an instance: "), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    let other = read(r#"{"instance": {"service": "orders", "id": "b"}}"#).unwrap_err();
    let expected = "the metadata of orders.a is that of the instance orders.b, which has to be registered as orders.b";
    assert_eq!(other.to_string(), expected);
}

#[test]
fn what_a_later_version_adds_is_ignored() {
    let text = r#"{"service": "orders", "id": "a", "shard": 7}"#;
    assert_eq!(serde_json::from_str::<Instance>(text).unwrap(), orders().build().unwrap());
}

proptest! {
    #[test]
    fn an_instance_comes_back_from_its_metadata(instance in instances()) {
        let metadata = instance.to_metadata().unwrap();
        let read = Instance::read(instance.name().registered(), &metadata).unwrap();
        prop_assert_eq!(read.as_ref(), Some(&instance));
        prop_assert_eq!(instance.to_builder().build(), Ok(instance));
    }

    #[test]
    fn no_text_makes_it_panic(service: String, id: String, text: String) {
        let _ = Instance::builder(&service, &id).build();
        let _ = orders().version(&text).build();
        let _ = orders().capability(&text).label(&text, &text).build();
    }
}
