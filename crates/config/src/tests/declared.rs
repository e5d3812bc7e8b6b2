//! What is declared: sections with types, what may change, and secrets.

use garde::Validate;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Pool {
    #[garde(range(min = 1))]
    min: u32,
    #[garde(custom(not_below(&self.min)))]
    max: u32,
    password: SecretString,
    #[garde(inner(length(min = 2)))]
    hosts: Vec<String>,
}

fn not_below(min: &u32) -> impl FnOnce(&u32, &()) -> garde::Result + '_ {
    move |max, ()| if max < min { Err(garde::Error::new(format!("{max} is below min"))) } else { Ok(()) }
}

impl ConfigSection for Pool {
    const PATH: &'static str = "database.pool";
    const UPDATABLE: &'static [&'static str] = &["min", "max", "hosts", "password"];
    const SECRETS: &'static [&'static str] = &["password"];

    fn defaults() -> Value {
        json!({ "min": 1, "max": 4, "password": "hunter2", "hosts": ["aa", "bb"] })
    }
}

fn pool() -> ConfigSources {
    ConfigSources::new().section::<Pool>().unwrap()
}

fn set(tree: &ConfigTree, changes: &[(&str, Value)]) -> Result<ConfigTree, ConfigError> {
    let decided = changes.iter().map(|(path, new)| ConfigChange::decide(tree, path, new.clone()));
    tree.apply_all(&decided.collect::<Result<Vec<_>, _>>()?)
}

fn override_file(content: &str) -> (TempDir, ConfigSources) {
    let (directory, path) = file(content);
    (directory, pool().file(path))
}

// ---- sections ----

#[test]
fn a_declared_section_is_read_with_its_defaults() {
    let section = pool().load().unwrap().section::<Pool>().unwrap();
    assert_eq!((section.min, section.max, section.password.expose_secret()), (1, 4, "hunter2"));
}

#[test]
fn a_section_that_was_not_declared_is_refused_with_path_and_type() {
    let said = message(tree().section::<Pool>());
    assert!(said.starts_with("config section database.pool was not declared as "), "{said}");
    assert!(said.contains("Pool; ConfigSources::section does that"), "{said}");
}

#[test]
fn a_section_that_is_not_valid_is_not_loaded_and_all_that_is_wrong_is_named() {
    let (_directory, sources) = override_file("[database.pool]\nmin = 0\nhosts = ['aa', 'b']");
    let said = message(sources.load());
    assert!(said.starts_with("config section database.pool is not valid: "), "{said}");
    assert!(said.contains("database.pool.min: lower than 1 ("), "{said}");
    assert!(said.contains("app.toml, line 2)"), "{said}");
    assert!(said.contains("database.pool.hosts[1]: length is lower than 2"), "{said}");
}

#[test]
fn a_section_that_cannot_be_read_is_not_loaded() {
    let (_directory, sources) = override_file("[database.pool]\nhosts = [1]");
    assert_eq!(
        message(sources.load()),
        "config path database.pool.hosts[0] wants a string, found integer (file app.toml, line 2)"
    );
}

#[test]
fn several_changes_are_validated_as_a_whole_and_lead_to_one_generation() {
    let tree = pool().load().unwrap();
    // Each alone would be fine in one order only.
    assert!(set(&tree, &[("database.pool.min", json!(8))]).is_err());
    let both = [("database.pool.min", json!(8)), ("database.pool.max", json!(9))];
    let next = set(&tree, &both).unwrap();
    let section = next.section::<Pool>().unwrap();
    assert_eq!((section.min, section.max, next.generation()), (8, 9, 2));
    assert_eq!(tree.section::<Pool>().unwrap().min, 1);
}

#[test]
fn of_several_changes_none_is_made_if_one_is_refused() {
    let tree = pool().load().unwrap();
    let wrong = [("database.pool.max", json!(9)), ("database.pool.min", json!("many"))];
    assert!(set(&tree, &wrong).is_err());
    let stale = ConfigChange { old: json!(5), ..ConfigChange::decide(&tree, "database.pool.max", json!(6)).unwrap() };
    assert!(matches!(tree.apply_all(&[stale]), Err(ConfigError::Stale { .. })));
}

#[test]
fn a_section_that_nothing_has_changed_is_not_read_again() {
    let sources = pool().defaults(json!({ "other": 1 })).unwrap().updatable("other").unwrap();
    let tree = sources.load().unwrap();
    let next = set(&tree, &[("other", json!(2))]).unwrap();
    assert!(std::sync::Arc::ptr_eq(&tree.section::<Pool>().unwrap(), &next.section::<Pool>().unwrap()));
    let next = set(&tree, &[("database.pool.max", json!(5))]).unwrap();
    assert_eq!(next.section::<Pool>().unwrap().max, 5);
}

#[test]
fn a_section_type_with_a_path_that_is_none_is_refused() {
    #[derive(Deserialize, Validate)]
    struct Wrong {}
    impl ConfigSection for Wrong {
        const PATH: &'static str = "no/path";
    }
    assert!(matches!(ConfigSources::new().section::<Wrong>(), Err(ConfigError::InvalidPath { .. })));
}

// ---- what may change ----

#[test]
fn what_was_not_declared_to_be_updatable_is_refused_with_what_may() {
    let sources = pool().defaults(json!({ "server": { "port": 80 } })).unwrap();
    let tree = sources.load().unwrap();
    let expected = "config path server.port may not change at run time; \
                    what may: database.pool.hosts, database.pool.max, database.pool.min";
    assert_eq!(message(ConfigChange::decide(&tree, "server.port", json!(81))), expected);
    assert_eq!(message(ConfigChange::reset(&tree, "server.port")), expected);
    let paths: Vec<_> = tree.updatable_paths().map(ConfigPath::as_str).collect();
    assert_eq!(paths, ["database.pool.hosts", "database.pool.max", "database.pool.min"]);

    let nothing = ConfigSources::new().defaults(json!({ "a": 1 })).unwrap().load().unwrap();
    let expected = "config path a may not change at run time; nothing was declared to be updatable";
    assert_eq!(message(ConfigChange::decide(&nothing, "a", json!(2))), expected);
}

#[test]
fn a_section_that_may_change_does_not_cover_its_namesake() {
    let sources = ConfigSources::new().defaults(json!({ "ab": 1, "a": { "b": 1 } })).unwrap();
    let tree = sources.updatable("a").unwrap().load().unwrap();
    assert!(tree.updatable_paths().map(ConfigPath::as_str).eq(["a.b"]));
}

#[test]
fn a_value_that_is_too_large_or_too_deep_is_not_set() {
    let tree = tree();
    let large = ConfigChange::decide(&tree, "server.host", json!("x".repeat(70_000)));
    assert!(message(large).starts_with("the value at config path server.host (an update at run time) has 70002 bytes"));
    let deep = (0..17).fold(Value::Null, |inner, _| json!([inner]));
    assert!(matches!(ConfigChange::decide(&tree, "server.peers", deep), Err(ConfigError::OverLimit { .. })));
}

// ---- secrets ----

#[test]
fn a_secret_is_not_set_at_run_time() {
    let expected = "config path database.pool.password is a secret, and what is set at run time is recorded; \
                    change it in its file instead";
    let tree = pool().load().unwrap();
    assert_eq!(message(ConfigChange::decide(&tree, "database.pool.password", json!("x"))), expected);
}

#[test]
fn a_secret_shows_in_no_export_error_or_debug() {
    let tree = pool().load().unwrap();
    let exported = tree.export().to_string();
    assert!(exported.contains("[redacted]") && !exported.contains("hunter2"), "{exported}");
    assert_eq!(tree.get("database.pool.password").unwrap(), "hunter2");
    let debug = format!("{tree:?} {:?} {:?}", pool(), tree.section::<Pool>().unwrap());
    assert!(!debug.contains("hunter2"), "{debug}");

    // Numbers are shown in errors, but not those of secrets.
    let pin = ConfigSources::new().defaults(json!({ "a": { "pin": 123_456 } })).unwrap().secret("a.pin").unwrap();
    let pin = pin.load().unwrap();
    let expected = "config path a.pin wants u8, found a secret of another type (the defaults)";
    assert_eq!(message(pin.get_as::<u8>("a.pin")), expected);

    // A hand-written `Deserialize` may reveal its input.
    #[derive(Debug)]
    struct Telling;
    impl<'de> Deserialize<'de> for Telling {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let given = Value::deserialize(deserializer)?;
            Err(serde::de::Error::custom(format!("I do not like {given}")))
        }
    }
    for path in ["a", "a.pin"] {
        let said = message(pin.get_as::<Telling>(path));
        assert_eq!(said, format!("config path {path} cannot be read: it does not fit, and is a secret (the defaults)"));
    }
    assert!(!message(pin.root_as::<Telling>()).contains("123456"));
}

#[test]
fn a_validation_does_not_report_the_value_of_a_secret_either() {
    #[derive(Debug, Deserialize, Validate)]
    struct Api {
        #[garde(custom(weak))]
        key: String,
    }
    fn weak(key: &String, (): &()) -> garde::Result {
        Err(garde::Error::new(format!("{key} is weak")))
    }
    impl ConfigSection for Api {
        const PATH: &'static str = "api";
        const SECRETS: &'static [&'static str] = &["*"];

        fn defaults() -> Value {
            json!({ "key": "hunter2" })
        }
    }
    let said = message(ConfigSources::new().section::<Api>().unwrap().load());
    assert_eq!(said, "config section api is not valid: api.key: not valid, and a secret (the defaults)");
}

// ---- layers that are loaded again ----

fn rebased(
    before: &str,
    change: impl Fn(&ConfigTree) -> ConfigTree,
    after: &str,
) -> Result<Vec<ConfigChange>, ConfigError> {
    let (_directory, path) = file(before);
    let sources = pool().file(&path);
    let tree = change(&sources.load().unwrap());
    std::fs::write(&path, after).unwrap();
    let (next, changes) = tree.rebase(&sources.load()?)?;
    assert_eq!(next.generation(), tree.generation() + u64::from(!changes.is_empty()));
    Ok(changes)
}

#[test]
fn loading_again_keeps_the_overrides_and_tells_what_else_has_changed() {
    let with_override = |tree: &ConfigTree| set(tree, &[("database.pool.max", json!(9))]).unwrap();
    let changes =
        rebased("database.pool.max = 5", with_override, "database.pool.max = 7\ndatabase.pool.min = 2").unwrap();
    let reported: Vec<_> = changes.iter().map(|it| (it.path.as_str(), it.old.clone(), it.new.clone())).collect();
    assert_eq!(reported, [("database.pool.min", json!(1), json!(2))]);
}

#[test]
fn loading_again_tells_of_a_secret_without_its_values() {
    let changes = rebased("", Clone::clone, "database.pool.password = 'swordfish'").unwrap();
    assert_eq!((&changes[0].old, &changes[0].new), (&json!("[redacted]"), &json!("[redacted]")));
}

#[test]
fn loading_the_same_again_changes_nothing() {
    assert_eq!(rebased("database.pool.max = 5", Clone::clone, "# moved\ndatabase.pool.max = 5"), Ok(Vec::new()));
}

#[test]
fn loading_again_is_refused_as_a_whole() {
    let with_override = |tree: &ConfigTree| set(tree, &[("database.pool.max", json!(5))]).unwrap();
    // Valid by itself, but not below the override.
    let not_valid = rebased("", with_override, "database.pool.min = 6\ndatabase.pool.max = 7");
    assert!(matches!(not_valid, Err(ConfigError::InvalidSection { .. })), "{not_valid:?}");
    let fixed = rebased("other = 1", Clone::clone, "other = 2\ndatabase.pool.max = 7");
    assert!(matches!(fixed, Err(ConfigError::NotUpdatable { .. })), "{fixed:?}");
    let (_directory, path) = file("extra = 1");
    let sources = ConfigSources::new().file(&path).updatable("extra").unwrap();
    let tree = set(&sources.load().unwrap(), &[("extra", json!(2))]).unwrap();
    std::fs::write(&path, "").unwrap();
    let expected = "config path extra was set at run time and is gone from the files; reset it first";
    assert_eq!(message(tree.rebase(&sources.load().unwrap())), expected);
}

#[test]
fn an_override_that_says_what_the_files_say_now_stays_one() {
    let (_directory, path) = file("");
    let sources = pool().file(&path);
    let tree = set(&sources.load().unwrap(), &[("database.pool.max", json!(9))]).unwrap();
    std::fs::write(&path, "database.pool.max = 9").unwrap();
    let (next, changes) = tree.rebase(&sources.load().unwrap()).unwrap();
    assert_eq!((next.overrides().count(), changes.len()), (1, 0));
    assert_eq!(next.origin("database.pool.max").unwrap(), ValueOrigin::Override);
}
