//! Files in other formats than TOML, and several of them.

use super::*;

/// A file of this name that lives as long as the directory.
fn named(name: &str, content: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, content).unwrap();
    (directory, path)
}

fn load(name: &str, content: &str) -> Result<ConfigTree, ConfigError> {
    let (_directory, path) = named(name, content);
    sources().file(path).load()
}

/// The message of an error, without the folder of the file.
fn said(name: &str, content: &str) -> String {
    let (directory, path) = named(name, content);
    let said = sources().file(path).load().unwrap_err().to_string();
    said.replace(&format!("{}/", directory.path().display()), "")
}

fn line(tree: &ConfigTree, path: &str) -> usize {
    match tree.origin(path).unwrap() {
        ValueOrigin::File { line, .. } => line,
        other => panic!("{path} comes from {other}"),
    }
}

#[test]
fn json_is_read_with_the_line_of_each_value() {
    let text =
        "{\n  \"server\": {\n    \"port\": 81, \"peers\": [\n 3,\n {\"a\": 1}],\n    \"motd\": \"\\u00e9\"\n  }\n}";
    let tree = load("app.JSON", text).unwrap();
    assert_eq!(tree.get("server.port").unwrap(), 81);
    assert_eq!(*tree.get("server.peers").unwrap(), json!([3, { "a": 1 }]));
    assert_eq!(tree.get("server.motd").unwrap(), "é");
    assert_eq!((line(&tree, "server.port"), line(&tree, "server.motd")), (3, 6));
}

#[test]
fn malformed_json_is_refused_with_file_line_and_column() {
    let cases = [
        ("{\n  \"server\": {\n    \"port\": }\n}", "line 3, column 13: expected value"),
        ("[1]", "line 1, column 1: wanted an object at the top level"),
        ("{\"a\": 1}\n{}", "line 2, column 1: trailing characters"),
        ("{\"server\": {\n \"port\": 1,\n \"port\": 2}}", "line 3, column 10: this key is there twice"),
        ("{\"server\": {\"port\": 18446744073709551616}}", "line 1, column 21: this integer has more than 64 bits"),
        ("", "line 1, column 1: EOF while parsing a value"),
    ];
    for (text, expected) in cases {
        assert_eq!(said("app.json", text), format!("config file app.json, {expected}"), "{text}");
    }
}

/// The same content in each format: the text of a file, and the ending of its name.
fn in_each_format<'a>(toml: &'a str, json: &'a str, yaml: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut texts = vec![("app.toml", toml), ("app.json", json)];
    if cfg!(feature = "yaml") {
        texts.push(("app.yaml", yaml));
    }
    texts
}

#[test]
fn a_key_that_is_there_twice_is_refused_in_each_format_at_every_depth_and_within_arrays() {
    let cases = [
        in_each_format("a = 1\na = 2", "{\"a\": 1, \"a\": 2}", "a: 1\na: 2"),
        in_each_format("[a.b]\nc = 1\nc = 2", "{\"a\": {\"b\": {\"c\": 1,\n\"c\": 2}}}", "a: {b: {c: 1,\n  c: 2}}"),
        in_each_format("a = [{ b = 1, b = 2 }]", "{\"a\": [{\"b\": 1, \"b\": 2}]}", "a:\n- b: 1\n  b: 2"),
        in_each_format(
            "a = [[{ b = { c = 1, c = 2 } }]]",
            "{\"a\": [[{\"b\": {\"c\": 1, \"\\u0063\": 2}}]]}",
            "a: [[{b: {c: 1, c: 2}}]]",
        ),
    ];
    for (name, text) in cases.concat() {
        let said = said(name, text);
        assert!(said.starts_with(&format!("config file {name}, line ")), "{said}");
        assert!(said.contains("there twice") || said.contains("duplicate key"), "{said}");
    }
}

#[test]
fn an_integer_of_64_bits_with_or_without_a_sign_is_the_same_in_each_format_and_a_larger_one_is_refused() {
    for (integer, expected) in [("9223372036854775808", json!(1_u64 << 63)), ("18446744073709551615", json!(u64::MAX))]
    {
        let [toml, json] = [format!("a = [{integer}]"), format!("{{\"a\": [{integer}]}}")];
        for (name, text) in in_each_format(&toml, &json, &format!("a: [{integer}]")) {
            assert_eq!(*load(name, text).unwrap().get("a").unwrap(), json!([expected]), "{name}");
        }
        let tree = with_environment(&[("APP__A", integer)]).unwrap();
        assert_eq!(*tree.get("a").unwrap(), expected);
    }
    for integer in ["18446744073709551616", "-9223372036854775809"] {
        let [toml, json] = [format!("a = [1, {integer}]"), format!("{{\"a\": [1, {integer}]}}")];
        for (name, text) in in_each_format(&toml, &json, &format!("a: [1, {integer}]")) {
            let said = said(name, text);
            assert!(said.contains("64 bits") && said.contains(name) && said.contains("line 1"), "{said}");
        }
        let said = with_environment(&[("APP__SERVER__PORT", integer)]).unwrap_err().to_string();
        assert!(said.starts_with("config path server.port wants integer of 64 bits, found larger integer ("), "{said}");
    }
}

#[test]
fn a_negative_zero_is_an_integer_in_each_format() {
    for (name, text) in in_each_format("a = -0", "{\"a\": -0}", "a: -0") {
        assert_eq!(*load(name, text).unwrap().get("a").unwrap(), json!(0), "{name}");
    }
}

#[test]
fn a_key_with_a_dot_in_it_is_refused_in_each_format_with_file_line_and_column() {
    let in_words = "is no config path: it has a dot in it; write a section with a key in it instead";
    let dot = format!("the key \"server.port\" {in_words}");
    for (name, text, place) in [
        ("app.toml", "x = 1\n \"server.port\" = 1", "line 2, column 2"),
        ("app.toml", "[deep]\n'server.port'.x = 1", "line 2, column 1"),
        ("app.json", "{\"x\": 1,\n\"server.port\": 1, \"server\": {\"port\": 2}}", "line 2, column 16"),
        ("app.json", "{\"deep\": {\"server.port\": 1}}", "line 1, column 26"),
        #[cfg(feature = "yaml")]
        ("app.yaml", "x: 1\nserver.port: 1", "line 2, column 14"),
        #[cfg(feature = "yaml")]
        ("app.yaml", "deep:\n  'server.port': 1", "line 2, column 18"),
    ] {
        assert_eq!(said(name, text), format!("config file {name}, {place}: {dot}"));
    }
    let defaults = ConfigSources::new().defaults(json!({ "hosts": { "example.com": 1 } })).unwrap().load();
    assert_eq!(message(defaults), format!("\"example.com\" in the defaults {in_words}"));
    let said = with_environment(&[("APP__SERVER.PORT", "1")]).unwrap_err().to_string();
    assert_eq!(said, format!("\"server.port\" in environment variable APP__SERVER.PORT {in_words}"));
    // Within arrays keys are no paths.
    for (name, text) in in_each_format("a = [{ 'b.c' = 1 }]", "{\"a\": [{\"b.c\": 1}]}", "a: [{b.c: 1}]") {
        assert_eq!(*load(name, text).unwrap().get("a").unwrap(), json!([{ "b.c": 1 }]));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file_in_any_format() {
    for (name, text) in in_each_format("a = 1\nb = ", "{\"a\": 1,\n\"b\": }", "a: 1\nb: [") {
        let (whole, mark) = (text.replace("b = ", "b = 2").replace("b\": ", "b\": 2").replace("[", "2"), '\u{feff}');
        let tree = load(name, &format!("{mark}{whole}")).unwrap();
        assert_eq!((tree.get("a").unwrap(), tree.get("b").unwrap()), (&json!(1), &json!(2)), "{name}");
        // Places in the file are as they are without it.
        assert_eq!(line(&tree, "b"), 2);
        assert_eq!(said(name, &format!("{mark}{text}")), said(name, text));
    }
    assert!(said("app.toml", "a = '\u{feff}").contains("line 1"));
}

#[test]
fn json_that_nests_too_deep_is_refused_and_nothing_overflows() {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    assert!(load("app.json", &format!("{{\"server\": {{\"peers\": {}}}}}", deep("[", "]"))).is_err());
    assert!(load("app.json", &deep("{\"a\":", "}")).is_err());
}

#[test]
fn a_key_that_makes_no_path_is_refused_in_each_format_with_its_line() {
    let expected = "is no config path: it has 'P' as character 9";
    assert!(said("app.json", "{\n\"server\": {\"aP\": 1}}").contains("\"server.aP\" in file app.json, line 2"));
    assert!(said("app.json", "{\n\"server\": {\"aP\": 1}}").contains(expected));
    assert!(said("app.toml", "\n[server]\naP = 1").contains("\"server.aP\" in file app.toml, line 3"));
    #[cfg(feature = "yaml")]
    assert!(said("app.yaml", "server:\n  aP: 1").contains("\"server.aP\" in file app.yaml, line 2"));
}

#[test]
fn a_later_file_lies_over_an_earlier_one_whatever_their_formats() {
    let (_first, toml) = named("app.toml", "[server]\nport = 1\nhost = 'first'\n");
    let (_second, second) = named("app.json", "{\"server\": {\n\"port\": 2}}");
    let tree = sources().file(&toml).file(&second).optional_file("no-such.toml").load().unwrap();
    assert_eq!((tree.get("server.port").unwrap(), tree.get("server.host").unwrap()), (&json!(2), &json!("first")));
    assert_eq!(tree.origin("server.port").unwrap(), ValueOrigin::File { path: second, line: 2 });
    assert_eq!(tree.origin("server.host").unwrap(), ValueOrigin::File { path: toml, line: 3 });
}

#[test]
fn a_file_that_is_too_large_is_refused_without_reading_it_whole() {
    let limits = ConfigLimits::new().max_file_bytes(10);
    let (_directory, path) = named("app.toml", "a = 1 # 1234");
    let said = ConfigSources::new().file(&path).limits(limits).load().unwrap_err().to_string();
    assert_eq!(said, format!("config file {} has more bytes, and at most 10 are allowed", path.display()));
    let limits = ConfigLimits::new().max_file_bytes(12);
    assert!(ConfigSources::new().file(&path).limits(limits).load().is_ok());
}

#[test]
fn a_configuration_of_exactly_the_allowed_number_of_values_is_taken_and_one_more_is_refused() {
    let limits = ConfigLimits::new().max_paths(2);
    let load = |values: Value| ConfigSources::new().defaults(values).unwrap().limits(limits.clone()).load();
    assert!(load(json!({ "a": 1, "b": { "c": 2 } })).is_ok());
    let said = load(json!({ "a": 1, "b": { "c": 2, "d": 3 } })).unwrap_err().to_string();
    assert_eq!(said, "the configuration has 3 values, and at most 2 are allowed");
}

#[cfg(not(feature = "yaml"))]
#[test]
fn yaml_without_its_feature_is_refused_with_the_name_of_the_feature() {
    let expected = "config file app.yaml is YAML, and this build was made without the feature yaml";
    assert_eq!(said("app.yaml", ""), expected);
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[test]
    fn yaml_is_read_with_the_line_of_each_value() {
        let text = "# comment\nserver:\n  port: 81\n  peers: [3, {a: 1}]\n  host: no\n\n  motd: |\n    a\n    b\nextra:\n- 1\n- x: '2'\n";
        let tree = load("app.yml", text).unwrap();
        assert_eq!(tree.get("server.port").unwrap(), 81);
        assert_eq!(*tree.get("server.peers").unwrap(), json!([3, { "a": 1 }]));
        assert_eq!(tree.get("server.host").unwrap(), "no");
        assert_eq!(tree.get("server.motd").unwrap(), "a\nb\n");
        assert_eq!(*tree.get("extra").unwrap(), json!([1, { "x": "2" }]));
        let lines = ["server.port", "server.peers", "server.host"].map(|path| line(&tree, path));
        assert_eq!(lines, [3, 4, 5]);
    }

    #[test]
    fn yaml_without_values_is_an_empty_layer() {
        for text in ["", "# nothing\n", "---\n", "~", "{}"] {
            assert_eq!(load("app.yaml", text).unwrap(), tree(), "{text:?}");
        }
    }

    #[test]
    fn yaml_that_is_no_configuration_is_refused_with_file_line_and_column() {
        let cases = [
            ("server:\n  port: 1\n  port: 2\n", "line 3, column 3: this key is there twice"),
            ("server: &a\n  port: 1\n", "anchors and aliases are not taken"),
            ("a: &x 1\nb: *x\n", "line 1, column 4: anchors and aliases are not taken"),
            ("server:\n  port: !!str 1\n", "tags are not taken"),
            ("a: 1\n---\nb: 2\n", "a second document is not taken"),
            ("- 1\n", "line 1, column 1: wanted a mapping at the top level"),
            ("? [a]\n: 1\n", "wanted a text as key"),
            ("server:\n  port: .inf\n", "line 2, column 9: wanted a finite number"),
            ("server:\n  port: 18446744073709551616\n", "line 2, column 9: this integer has more than 64 bits"),
            ("peers:\n- {host: a, host: b}\n", "line 2, column 13: this key is there twice"),
            ("server:\n\tport: 1\n", "line 2, column "),
            ("server: [1\n", "line "),
        ];
        for (text, expected) in cases {
            let said = said("app.yaml", text);
            assert!(said.starts_with("config file app.yaml, line ") && said.contains(expected), "{text:?}: {said}");
        }
    }

    #[test]
    fn yaml_that_grows_or_nests_without_bound_is_refused_and_nothing_overflows() {
        let mut laughs = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..30 {
            laughs += &format!("a{level}: &a{level} [*a{}, *a{}]\n", level - 1, level - 1);
        }
        assert!(said("app.yaml", &laughs).contains("anchors and aliases are not taken"));
        assert!(load("app.yaml", &format!("a: {}", "[".repeat(100_000))).is_err());
        assert!(load("app.yaml", &format!("a: {}1{}", "[".repeat(40), "]".repeat(40))).is_err());
        assert!(load("app.yaml", &format!("a: {}1{}", "{a: ".repeat(40), "}".repeat(40))).is_err());
    }
}
