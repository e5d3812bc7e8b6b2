//! What the file and the environment may contain, and the errors for invalid content.

use super::*;

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let (_directory, path) = file("[server]\nport = 81\nhost = \"file\"\n");
    let environment = variables(&[("APP__SERVER__PORT", "82")]);
    let tree = sources().file(&path).environment("app", environment).unwrap().load().unwrap();

    assert_eq!(tree.get("server.port").unwrap(), 82);
    assert_eq!(tree.origin("server.port").unwrap(), ValueOrigin::Environment("APP__SERVER__PORT".into()));
    assert_eq!(tree.get("server.host").unwrap(), "file");
    assert_eq!(tree.origin("server.host").unwrap(), ValueOrigin::File { path, line: 3 });
    assert_eq!(tree.get("server.tls").unwrap(), false);
    assert_eq!(tree.origin("server.tls").unwrap(), ValueOrigin::Default);
}

#[test]
fn no_sources_load_an_empty_configuration() {
    let tree = ConfigSources::new().load().unwrap();
    assert_eq!(tree.paths().count(), 0);
    let expected = "unknown config path a; the configuration is empty";
    assert_eq!(message(tree.get("a")), expected);
}

#[test]
fn later_defaults_add_to_earlier_ones() {
    let tree = sources().defaults(json!({ "log": { "level": "info" } })).unwrap().load().unwrap();
    assert_eq!(tree.get("log.level").unwrap(), "info");
    assert_eq!(tree.get("server.port").unwrap(), 80);
}

#[test]
fn defaults_that_are_no_section_are_refused() {
    let expected = "the config defaults are unusable: wanted a section, found array";
    assert_eq!(message(ConfigSources::new().defaults([1])), expected);
}

#[test]
fn a_default_with_a_wrong_key_is_refused_with_key_and_position() {
    let sources = ConfigSources::new().defaults(json!({ "server": { "maxConns": 1 } })).unwrap();
    let expected = "\"server.maxConns\" in the defaults is no config path: it has 'C' as character 11";
    assert_eq!(message(sources.load()), expected);
}

#[test]
fn a_file_may_bring_new_paths_and_fill_in_what_is_null() {
    let tree = with_file("[server]\nmotd = \"hello\"\n[new.section]\nwhen = 2024-01-01\n[empty]\n").unwrap();
    assert_eq!(tree.get("server.motd").unwrap(), "hello");
    assert_eq!(tree.get("new.section.when").unwrap(), "2024-01-01");
    assert_eq!(*tree.get("empty").unwrap(), json!({}));
}

#[test]
fn a_file_may_put_a_section_where_null_was() {
    let tree = with_file("[server.motd]\ntext = \"hello\"\n").unwrap();
    assert_eq!(tree.get("server.motd.text").unwrap(), "hello");
    assert!(tree.paths().all(|path| path.as_str() != "server.motd"));
}

#[test]
fn an_integer_stands_for_a_float() {
    let tree = with_file("server.timeout = 2").unwrap();
    assert_eq!(*tree.get("server.timeout").unwrap(), json!(2.0));
}

#[test]
fn a_named_file_that_is_missing_is_refused_with_its_path() {
    let expected = "config file no/such/app.toml does not exist";
    let error = sources().file("no/such/app.toml").load().unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_optional_file_may_be_missing_but_not_malformed() {
    assert_eq!(sources().optional_file("no/such/app.toml").load().unwrap(), tree());
    let (_directory, path) = file("=");
    assert!(sources().optional_file(path).load().is_err());
}

#[test]
fn malformed_toml_is_refused_with_file_line_and_column() {
    let error = message(with_file("[server]\nport = 81\nhost == \"x\"\n"));
    assert!(error.starts_with("config file app.toml, line 3, column 7: "), "{error}");
}

#[test]
fn a_malformed_secret_is_not_shown() {
    let error = message(with_file("[server]\nhost = \"hunter2\n"));
    assert!(error.starts_with("config file app.toml, line 2, column "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_directory_is_refused_as_such() {
    let directory = TempDir::new().unwrap();
    let error = sources().file(directory.path()).load().unwrap_err().to_string();
    assert!(error.ends_with("cannot be read: it is a directory"), "{error}");
}

#[test]
fn a_file_that_is_not_utf_8_is_refused_with_line_and_column() {
    let error = message(with_file(b"a = 1\nb = \"\xff\"\n"));
    assert_eq!(error, "config file app.toml, line 2, column 6: this is not UTF-8 text");
}

#[test]
fn a_wrong_key_in_a_file_is_refused_with_key_and_line() {
    let expected = "\"server.my key\" in file app.toml, line 2 is no config path: it has ' ' as character 10";
    assert_eq!(message(with_file("[server]\n\"my key\" = 1\n")), expected);
}

#[test]
fn a_deeply_nested_file_is_refused() {
    let header = ["a"; 40].join(".");
    let error = message(with_file(format!("[{header}]\nx = 1\n")));
    assert!(error.ends_with("has 17 segments, and at most 16 are allowed"), "{error}");
}

#[test]
fn a_wrong_type_in_a_file_is_refused_with_path_types_and_line() {
    let cases = [
        ("server.port = \"x\"", "config path server.port wants integer, found string (file app.toml, line 1)"),
        ("\n[server]\nport = 1.5", "config path server.port wants integer, found float (file app.toml, line 3)"),
        ("server = 5", "config path server wants section, found integer (file app.toml, line 1)"),
        ("[server.port]\nx = 1", "config path server.port wants integer, found section (file app.toml, line 2)"),
        ("server.port.x.y = 1", "config path server.port wants integer, found section (file app.toml, line 1)"),
        ("[server.port]", "config path server.port wants integer, found section (file app.toml, line 1)"),
        ("x = inf", "config path x wants finite number, found infinity or no number (file app.toml, line 1)"),
    ];
    for (toml, expected) in cases {
        assert_eq!(message(with_file(toml)), expected, "{toml}");
    }
}

#[test]
fn a_variable_becomes_a_value_of_the_type_below() {
    let environment = [
        ("APP__SERVER__HOST", "42"),
        ("APP__SERVER__PORT", " 0x51 "),
        ("APP__SERVER__TIMEOUT", "2"),
        ("APP__SERVER__TLS", "true"),
        ("APP__SERVER__PEERS", "[3, 4]"),
        ("APP__SERVER__MOTD", "hello"),
        ("APP__DATABASE__POOL__SIZE", "8"),
    ];
    let tree = with_environment(&environment).unwrap();
    let expected = json!({
        "host": "42", "port": 81, "timeout": 2.0, "tls": true, "max-conns": 100, "peers": [3, 4], "motd": "hello",
    });
    assert_eq!(*tree.get("server").unwrap(), expected);
    assert_eq!(tree.get("database.pool.size").unwrap(), 8);
    assert!(tree.unknown_variables().is_empty());
}

#[test]
fn an_underscore_in_a_variable_means_a_dash_where_there_is_one() {
    let tree = with_environment(&[("APP__SERVER__MAX_CONNS", "7")]).unwrap();
    assert_eq!(tree.get("server.max-conns").unwrap(), 7);
}

#[test]
fn variables_of_others_are_ignored() {
    let environment = [("PATH", "/bin"), ("APP", "x"), ("APP_SERVER__PORT", "x"), ("APPLE__SERVER__PORT", "x")];
    assert_eq!(with_environment(&environment).unwrap(), tree());
}

#[test]
fn a_variable_of_the_wrong_type_is_refused_with_its_name_and_never_its_text() {
    let cases = [
        ("APP__SERVER__PORT", "hunter2", "server.port wants integer (such as 42), found string"),
        ("APP__SERVER__PORT", "", "server.port wants integer (such as 42), found string"),
        ("APP__SERVER__PORT", "1e99", "server.port wants integer (such as 42), found float"),
        ("APP__SERVER__TLS", "1", "server.tls wants boolean (true or false), found integer"),
        ("APP__SERVER__PEERS", "[1,", "server.peers wants array (such as [1, 2]), found string"),
        ("APP__SERVER__TIMEOUT", "nan", "server.timeout wants finite number, found infinity or no number"),
        ("APP__SERVER", "x", "server wants section, found string"),
        ("APP__SERVER", "{ port = 1 }", "server wants section, found string"),
        ("APP__SERVER__PORT__X", "1", "server.port wants integer, found section"),
    ];
    for (name, text, expected) in cases {
        let expected = format!("config path {expected} (environment variable {name})");
        assert_eq!(message(with_environment(&[(name, text)])), expected, "{name}={text}");
    }
}

#[test]
fn a_variable_without_a_path_below_is_taken_and_reported() {
    let tree = with_environment(&[("APP__SERVER__PROT", "81"), ("APP__A__B", "x,y")]).unwrap();
    assert_eq!(tree.get("server.prot").unwrap(), 81);
    assert_eq!(tree.get("a.b").unwrap(), "x,y");
    let reported: Vec<_> = tree.unknown_variables().iter().map(|unknown| unknown.path.as_str()).collect();
    assert_eq!(reported, ["a.b", "server.prot"]);
    assert_eq!(tree.unknown_variables()[1].near.names(), ["server.port"]);
}

#[test]
fn a_variable_of_a_new_path_is_a_string_unless_it_is_a_whole_toml_value() {
    let cases = [
        ("42", json!(42)),
        ("'42'", json!("42")),
        ("[1, \"a\"]", json!([1, "a"])),
        ("42 apples", json!("42 apples")),
        ("1\n2", json!("1\n2")),
        ("{ a = 1 }", json!("{ a = 1 }")),
        ("2024-01-01", json!("2024-01-01")),
        ("inf", json!("inf")),
        ("99999999999999999999", json!("99999999999999999999")),
        (" spaced ", json!(" spaced ")),
        ("", json!("")),
    ];
    for (text, expected) in cases {
        let tree = with_environment(&[("APP__NEW", text)]).unwrap();
        assert_eq!(*tree.get("new").unwrap(), expected, "{text:?}");
    }
}

#[test]
fn an_over_nested_array_is_refused() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(with_file(format!("x = {}", nested(100_000))).is_err());
    let tree = with_environment(&[("APP__NEW", &nested(20_000))]).unwrap();
    assert!(tree.get("new").unwrap().is_string());
}

#[test]
fn a_variable_whose_name_makes_no_path_is_refused_with_its_name() {
    let expected = "\"1x\" in environment variable APP__1X is no config path: \
                    it has a segment that starts with '1' as character 1";
    assert_eq!(message(with_environment(&[("APP__1X", "1")])), expected);
    for name in ["APP__", "APP__A____B", "APP__A__", "APP__A B", "APP__Ü"] {
        let result = with_environment(&[(name, "1")]);
        assert!(matches!(result, Err(ConfigError::InvalidKey { .. })), "{name}: {result:?}");
    }
}

#[test]
fn two_variables_of_one_path_are_refused_with_both_names() {
    let environment = [("APP__Server__PORT", "1"), ("APP__SERVER__PORT", "2")];
    let expected = "environment variables APP__SERVER__PORT and APP__Server__PORT both set config path server.port";
    assert_eq!(message(with_environment(&environment)), expected);
}

#[test]
fn a_prefix_is_the_name_of_a_program_or_refused() {
    let named = sources().environment("my-app", variables(&[("MY_APP__SERVER__PORT", "7")])).unwrap();
    assert_eq!(named.load().unwrap().get("server.port").unwrap(), 7);
    for prefix in ["", "_", "9", "a b", "é"] {
        let result = sources().environment(prefix, []);
        assert!(matches!(result, Err(ConfigError::InvalidPrefix { .. })), "{prefix}");
    }
}

#[test]
fn debug_shows_no_values() {
    let sources = sources().environment("app", variables(&[("APP__SERVER__HOST", "hunter2")])).unwrap();
    let shown = format!("{sources:?} {:?}", sources.load().unwrap());
    assert!(shown.contains("APP__SERVER__HOST"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

// ---- other messages about layers ----

#[test]
fn a_file_of_an_unknown_ending_is_toml() {
    let (directory, path) = file("server.port = 81");
    for name in ["app.conf", "app"] {
        let other = directory.path().join(name);
        std::fs::copy(&path, &other).unwrap();
        assert_eq!(sources().file(other).load().unwrap().get("server.port").unwrap(), 81);
    }
}

#[test]
fn a_later_environment_replaces_an_earlier_one() {
    let first = sources().environment("app", variables(&[("APP__SERVER__PORT", "81")])).unwrap();
    let tree = first.environment("app", variables(&[("APP__SERVER__HOST", "other")])).unwrap().load().unwrap();
    assert_eq!((tree.get("server.port").unwrap(), tree.get("server.host").unwrap()), (&json!(80), &json!("other")));
}

#[test]
fn at_most_ten_names_are_listed_of_many_and_texts_are_shortened() {
    let many = |from: u32| (from..from + 30).map(|n| (format!("key{n}"), json!(n))).collect::<serde_json::Map<_, _>>();
    let mut defaults = many(0);
    defaults.insert("section".to_owned(), many(100).into());
    let tree = ConfigSources::new().defaults(defaults).unwrap().updatable("section").unwrap().load().unwrap();

    let Err(ConfigError::UnknownPath { top_level, .. }) = tree.get("quite.different") else { panic!("it is unknown") };
    assert_eq!(top_level.len(), 10);
    let Err(ConfigError::IsSection { keys, .. }) = ConfigChange::decide(&tree, "section", json!(1)) else {
        panic!("it is a section")
    };
    assert_eq!(keys.len(), 10);
    let Err(ConfigError::NotUpdatable { updatable, .. }) = ConfigChange::decide(&tree, "key1", json!(1)) else {
        panic!("it may not change")
    };
    assert_eq!(updatable.len(), 10);
    let Err(ConfigError::InvalidPath { path, .. }) = ConfigPath::new("A".repeat(1_000)) else { panic!("it is none") };
    assert!(path.chars().count() <= 64, "{path}");
}
