//! Reading from a tree, and the errors for wrong requests.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[test]
fn a_path_that_is_unknown_is_refused_with_what_is_near() {
    let expected = "unknown config path server.prt; did you mean server.port?";
    assert_eq!(message(tree().get("server.prt")), expected);
    let expected = "unknown config path zzz; nothing is near it, the top level has: database, server";
    assert_eq!(message(tree().get("zzz")), expected);
}

#[test]
fn a_path_that_goes_on_below_a_value_is_unknown() {
    assert!(matches!(tree().get("server.port.x"), Err(ConfigError::UnknownPath { .. })));
    assert!(matches!(tree().get("server.peers.x"), Err(ConfigError::UnknownPath { .. })));
}

#[test]
fn a_path_that_is_invalid_is_refused_with_the_position() {
    let expected = "config path \"server/port\" has '/' as character 7; \
                    wanted segments of [a-z0-9_-] that start with a letter, with dots between them";
    assert_eq!(message(tree().get("server/port")), expected);
    assert!(matches!(tree().get(""), Err(ConfigError::InvalidPath { .. })));
}

#[test]
fn all_paths_of_values_are_listed_sorted() {
    let tree = tree();
    let paths: Vec<_> = tree.paths().map(ConfigPath::as_str).collect();
    let expected = [
        "database.host",
        "database.pool.size",
        "server.host",
        "server.max-conns",
        "server.motd",
        "server.peers",
        "server.port",
        "server.timeout",
        "server.tls",
    ];
    assert_eq!(paths, expected);
}

#[derive(Debug, PartialEq, Deserialize)]
struct Wrapped(u16);

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Point,
    Circle(f64),
    Box { width: u8 },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Typed {
    wrapped: Wrapped,
    given: Option<String>,
    absent: Option<String>,
    pair: (i8, f32),
    shapes: Vec<Shape>,
    map: BTreeMap<String, char>,
}

fn typed(change: impl FnOnce(&mut Value)) -> Result<Typed, ConfigError> {
    let mut values = json!({
        "wrapped": 1,
        "given": "text",
        "absent": null,
        "pair": [-1, 2],
        "shapes": ["point", { "circle": 1 }, { "box": { "width": 3 } }],
        "map": { "a": "b" },
    });
    change(&mut values);
    let sources = ConfigSources::new().defaults(json!({ "typed": values })).unwrap();
    sources.load().unwrap().get_as("typed")
}

#[test]
fn a_section_is_read_as_a_struct_of_all_kinds_of_types() {
    let expected = Typed {
        wrapped: Wrapped(1),
        given: Some("text".into()),
        absent: None,
        pair: (-1, 2.0),
        shapes: vec![Shape::Point, Shape::Circle(1.0), Shape::Box { width: 3 }],
        map: BTreeMap::from([("a".into(), 'b')]),
    };
    assert_eq!(typed(|_| ()).unwrap(), expected);
}

#[test]
fn what_does_not_fit_is_refused_with_its_place_within_the_section() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 10] = [
        (|v| v["wrapped"] = json!("hunter2"), "typed.wrapped wants u16, found string"),
        (|v| v["wrapped"] = json!(70_000), "typed.wrapped wants u16, found integer 70000"),
        (|v| v["wrapped"] = json!(null), "typed.wrapped wants u16, found nothing"),
        (|v| v["given"] = json!(1), "typed.given wants a string, found integer"),
        (|v| v["pair"] = json!([1, "hunter2"]), "typed.pair[1] wants f32, found string"),
        (|v| v["shapes"][2]["box"]["width"] = json!(-1), "typed.shapes[2].box.width wants u8, found integer -1"),
        (|v| v["shapes"] = json!(["hunter2"]), "typed.shapes[0] wants one of point, circle, box, found another string"),
        (
            |v| v["shapes"] = json!([{ "circle": 1, "box": { "width": 3 } }]),
            "typed.shapes[0] wants enum Shape, found section",
        ),
        (|v| v["map"] = json!([]), "typed.map wants a map, found array"),
        (|v| v["map"]["a"] = json!("hunter2"), "typed.map.a wants a character, found another string"),
    ];
    for (edit, expected) in cases {
        assert_eq!(message(typed(edit)), format!("config path {expected} (the defaults)"));
    }
}

#[test]
fn a_missing_field_or_element_is_refused_with_its_section() {
    let error = message(typed(|v| {
        v.as_object_mut().unwrap().remove("wrapped");
    }));
    assert_eq!(error, "config path typed cannot be read: missing field `wrapped` (the defaults)");
    let error = message(typed(|v| v["pair"] = json!([1, 2, 3])));
    assert_eq!(error, "config path typed.pair cannot be read: wanted 2 elements, found 3 (the defaults)");
}

#[test]
fn what_does_not_fit_is_refused_with_the_file_or_variable_that_it_comes_from() {
    let tree = with_file("[server]\nport = 70000\npeers = [1, -2]").unwrap();
    let expected = "config path server.port wants u16, found integer 70000 (file app.toml, line 2)";
    assert_eq!(message(tree.get_as::<u16>("server.port")), expected);
    let expected = "config path server.peers[1] wants u8, found integer -2 (file app.toml, line 3)";
    assert_eq!(message(tree.get_as::<Vec<u8>>("server.peers")), expected);

    let tree = with_environment(&[("APP__SERVER__PORT", "70000")]).unwrap();
    let expected = "config path server.port wants u16, found integer 70000 (environment variable APP__SERVER__PORT)";
    assert_eq!(message(tree.get_as::<u16>("server.port")), expected);
}

#[test]
fn the_whole_configuration_is_read_as_one_type() {
    assert_eq!(tree().root_as::<Value>().unwrap(), defaults());
    let expected = "config path server.port wants a map, found integer (the defaults)";
    type Nested = BTreeMap<String, BTreeMap<String, serde::de::IgnoredAny>>;
    assert!(tree().root_as::<Nested>().is_ok());
    let flat = ConfigSources::new().defaults(json!({ "server": { "port": 1 } })).unwrap().load().unwrap();
    assert_eq!(message(flat.root_as::<BTreeMap<String, BTreeMap<String, BTreeMap<String, u8>>>>()), expected);
    let expected = "config path (root) wants u8, found section (the defaults)";
    assert_eq!(message(tree().root_as::<u8>()), expected);
}
