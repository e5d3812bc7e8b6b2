//! Random configurations against a naive model.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// The leaves of a configuration: path to value.
type Flat = BTreeMap<&'static str, Value>;

const PATHS: [&str; 7] = ["a", "b.flag", "b.ratio", "b.text", "c.d.list", "c.d.number", "e.f.g.text"];

/// A value of the type that a path always has here.
fn value_of(path: &'static str) -> BoxedStrategy<Value> {
    match path.rsplit('.').next().unwrap() {
        "flag" => any::<bool>().prop_map(Value::from).boxed(),
        "ratio" => (-1000..1000i32).prop_map(|n| json!(f64::from(n) / 8.0)).boxed(),
        "text" => "[ -~é]{0,6}".prop_map(Value::from).boxed(),
        "list" => vec(0..9i64, 0..3).prop_map(Value::from).boxed(),
        _ => any::<i64>().prop_map(Value::from).boxed(),
    }
}

fn leaf() -> impl Strategy<Value = (&'static str, Value)> {
    select(&PATHS[..]).prop_flat_map(|path| value_of(path).prop_map(move |value| (path, value)))
}

fn flat() -> impl Strategy<Value = Flat> {
    vec(leaf(), 0..7).prop_map(|leaves| leaves.into_iter().collect())
}

/// Any value at all, of any type.
fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        Just(json!(1.5)),
        "[a-z]{0,2}".prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-c]", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn nested(flat: &Flat) -> Value {
    let mut root = json!({});
    for (path, value) in flat {
        let mut place = &mut root;
        for key in path.split('.') {
            place = &mut place[key];
        }
        *place = value.clone();
    }
    root
}

fn toml_text(flat: &Flat) -> String {
    flat.iter().map(|(path, value)| format!("{path} = {}\n", toml_value(value))).collect()
}

fn toml_value(value: &Value) -> String {
    toml::Value::try_from(value).unwrap().to_string()
}

fn environment(flat: &Flat) -> Vec<(String, String)> {
    let name = |path: &str| format!("APP__{}", path.replace('.', "__").to_uppercase());
    // Text of a path that has no type below is given as TOML, or "true" would become a boolean.
    flat.iter().map(|(path, value)| (name(path), toml_value(value))).collect()
}

fn load(defaults: &Flat, file_layer: &Flat, variables: Vec<(String, String)>) -> ConfigTree {
    let (_directory, path) = file(toml_text(file_layer));
    let sources = ConfigSources::new().defaults(nested(defaults)).unwrap().file(path);
    let sources = ["a", "b", "c", "e"].iter().fold(sources, |sources, path| sources.updatable(path).unwrap());
    sources.environment("app", variables).unwrap().load().unwrap()
}

proptest! {
    #[test]
    fn each_value_is_that_of_the_highest_layer_that_has_one(
        defaults in flat(), file_layer in flat(), top in flat(),
    ) {
        let mut variables = environment(&top);
        for ((_, text), (path, value)) in variables.iter_mut().zip(&top) {
            let known = defaults.contains_key(path) || file_layer.contains_key(path);
            if let (true, Some(plain)) = (known, value.as_str()) {
                *text = plain.to_owned();
            }
        }
        let tree = load(&defaults, &file_layer, variables);

        let mut model = defaults.clone();
        model.extend(file_layer.clone());
        model.extend(top.clone());
        prop_assert_eq!(tree.root(), &nested(&model));
        prop_assert!(tree.paths().map(ConfigPath::as_str).eq(model.keys().copied()));
        for path in model.keys() {
            let layer = match tree.origin(path).unwrap() {
                ValueOrigin::Environment(_) => &top,
                ValueOrigin::File { .. } => &file_layer,
                _ => &defaults,
            };
            prop_assert_eq!(Some(tree.get(path).unwrap()), layer.get(path));
        }
    }

    #[test]
    fn changes_then_resets_restore_everything(base in flat(), changes in vec(leaf(), 0..10)) {
        let loaded = load(&base, &Flat::new(), Vec::new());
        let mut tree = loaded.clone();
        let mut model = base.clone();
        for (path, new) in changes {
            match ConfigChange::decide(&tree, path, new.clone()) {
                Ok(change) => {
                    tree = tree.apply(&change).unwrap();
                    model.insert(path, new);
                }
                Err(_) => prop_assert!(!base.contains_key(path)),
            }
            prop_assert_eq!(tree.root(), &nested(&model));
        }
        for path in base.keys() {
            prop_assert_eq!(tree.origin(path).unwrap() == ValueOrigin::Override, model[path] != base[path]);
            tree = tree.apply(&ConfigChange::reset(&tree, path).unwrap()).unwrap();
            prop_assert_eq!(tree.get(path).unwrap(), &base[path]);
            prop_assert_eq!(tree.origin(path).unwrap(), loaded.origin(path).unwrap());
        }
        prop_assert_eq!(tree.overrides().count(), 0);
    }

    #[test]
    fn a_change_keeps_the_type_or_is_refused_and_changes_nothing(
        path in prop_oneof![select(&PATHS[..]), select(vec!["b", "c.d", "x", "", "b..text"])],
        new in any_value(),
    ) {
        let base: Flat = [
            ("a", json!(1)), ("b.flag", json!(true)), ("b.ratio", json!(0.5)), ("b.text", Value::Null),
            ("c.d.list", json!([1])), ("c.d.number", json!(1)), ("e.f.g.text", json!("x")),
        ].into();
        let before = load(&base, &Flat::new(), Vec::new());
        let kept = before.clone();
        if let Ok(change) = ConfigChange::decide(&before, path, new) {
            let after = before.apply(&change).unwrap();
            prop_assert!(base.contains_key(path));
            prop_assert_eq!(after.get(path).unwrap(), &change.new);
            let same_type = std::mem::discriminant(&change.old) == std::mem::discriminant(&change.new);
            prop_assert!(same_type || change.old.is_null());
            prop_assert!(!change.new.is_object());
            prop_assert!(after.paths().eq(before.paths()));
        }
        prop_assert_eq!(before, kept);
    }

    #[test]
    fn layers_of_any_shape_load_or_say_why(
        layers in vec(any_value(), 0..4), toml in "[a-c.=\\[\\]{}\" 0-9\n]{0,30}",
        names in vec("[A-C_]{1,6}", 0..4),
    ) {
        let (_directory, path) = file(&toml);
        let variables = names.into_iter().map(|name| (format!("APP__{name}"), toml.clone()));
        let objects = layers.into_iter().filter(Value::is_object);
        let sources = objects.fold(ConfigSources::new(), |sources, layer| sources.defaults(layer).unwrap());
        match sources.file(path).environment("app", variables).unwrap().load() {
            Ok(tree) => {
                for path in tree.paths() {
                    prop_assert!(!tree.get(path).unwrap().is_object());
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
