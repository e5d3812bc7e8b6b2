//! What is no receiver is refused when the exporter is made.

use foundation_export::{OtlpError, OtlpExporter, SecretString};

fn refused(url: &str) -> String {
    OtlpExporter::http(url).unwrap_err().to_string()
}

#[test]
fn a_url_that_is_none_of_a_receiver_is_refused_with_what_would_be_one() {
    for text in ["", "collector", "collector:4318", "/v1/metrics", "http://", "http://a b:1", "::"] {
        let error = refused(text);
        assert!(error.contains("no URL of a receiver") || error.contains("reached by http, not by"), "{text}: {error}");
    }
    assert_eq!(
        refused("http://collector"),
        "the URL of receiver \"collector\" has no port; those of OTLP are 4318 for HTTP and 4317 for gRPC"
    );
    assert_eq!(refused("ftp://collector:4318"), "a receiver is reached by http, not by \"ftp\"");
    assert!(refused("https://collector:4318").contains("does not speak TLS"));
    assert!(matches!(OtlpExporter::grpc("http://collector:4317/x"), Err(OtlpError::Path)));
}

#[test]
fn a_url_with_a_secret_is_refused_and_the_secret_is_not_shown() {
    for url in
        ["http://user:hunter2@collector:4318", "http://collector:4318?token=hunter2", "https://hunter2@a", "@hunter2"]
    {
        let error = OtlpExporter::http(url).unwrap_err();
        assert!(matches!(error, OtlpError::Credentials | OtlpError::Query), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    // A token may be a part of the path.
    let path = OtlpExporter::grpc("http://collector:4317/hunter2").unwrap_err();
    let invalid = ["collector:4318/hunter2", "http:///hunter2", "http://a b:1/hunter2", "/hunter2"];
    for error in invalid.map(|url| OtlpExporter::http(url).unwrap_err()).into_iter().chain([path]) {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn headers_that_are_none_or_are_written_anyway_are_refused() {
    let header = |name: &str, value: &str| {
        let exporter = OtlpExporter::http("http://collector:4318").unwrap();
        exporter.header(name, SecretString::from(value)).map(drop)
    };
    assert_eq!(header("x-tenant", "a b ü"), Ok(()));
    assert!(matches!(header("no header", "x"), Err(OtlpError::HeaderName { .. })));
    for name in ["Content-Length", "host", "te", "grpc-timeout", "transfer-encoding"] {
        assert!(matches!(header(name, "x"), Err(OtlpError::OwnHeader { .. })), "{name}");
    }
    for value in ["hunter2\r\nx: y", "hunter2\0", &"hunter2".repeat(2_000)] {
        let error = header("x-token", value).unwrap_err();
        assert!(matches!(error, OtlpError::HeaderValue { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn attributes_that_are_none_twice_or_too_long_are_refused() {
    let mut exporter = OtlpExporter::http("http://collector:4318").unwrap();
    let refused = |exporter: &OtlpExporter, key: &str, value: &str| {
        exporter.clone().attribute(key, value).unwrap_err().to_string()
    };
    exporter = exporter.attribute("service.name", "").unwrap();
    assert_eq!(refused(&exporter, "service.name", "b"), r#"attribute "service.name" of the resource is given twice"#);
    assert!(refused(&exporter, "", "b").ends_with("has no key"));
    assert!(refused(&exporter, "foundation.namespace", "b").ends_with("is written by the exporter itself"));
    assert!(refused(&exporter, &"k".repeat(257), "b").ends_with("has a key of more than 256 bytes"));
    assert!(refused(&exporter, "k", &"v".repeat(1_025)).ends_with("has a value of more than 1,024 bytes"));
    for number in 1..32 {
        exporter = exporter.attribute(&format!("key_{number}"), &"v".repeat(1_024)).unwrap();
    }
    assert_eq!(refused(&exporter, "k", "b"), "an exporter has at most 32 attributes");
}
