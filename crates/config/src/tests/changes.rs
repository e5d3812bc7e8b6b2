//! Changes at run time, and the errors for those that are not allowed.

use super::*;

fn changed(tree: &ConfigTree, path: &str, new: Value) -> ConfigTree {
    tree.apply(&ConfigChange::decide(tree, path, new).unwrap()).unwrap()
}

#[test]
fn a_change_makes_a_new_tree_and_leaves_the_old_one() {
    let old = tree();
    let new = changed(&old, "server.port", json!(81));
    assert_eq!(old, tree());
    assert_eq!(new.get("server.port").unwrap(), 81);
    assert_eq!(new.origin("server.port").unwrap(), ValueOrigin::Override);
    assert_eq!(new.origin("server").unwrap(), ValueOrigin::Override);
    assert_eq!(new.generation(), old.generation() + 1);
    let overrides: Vec<_> = new.overrides().map(|(path, value)| (path.as_str(), value)).collect();
    assert_eq!(overrides, [("server.port", &json!(81))]);
}

#[test]
fn a_reset_shows_the_value_below_again() {
    let (_directory, path) = file("server.port = 81");
    let loaded = sources().file(path).load().unwrap();
    let twice = changed(&changed(&loaded, "server.port", json!(82)), "server.port", json!(83));
    let change = ConfigChange::reset(&twice, "server.port").unwrap();
    assert_eq!((&change.old, &change.new), (&json!(83), &json!(81)));
    let reset = twice.apply(&change).unwrap();
    assert_eq!(reset.origin("server.port").unwrap(), loaded.origin("server.port").unwrap());
    assert_eq!(reset.overrides().count(), 0);
}

#[test]
fn setting_the_value_below_is_a_reset() {
    let new = changed(&changed(&tree(), "server.timeout", json!(9)), "server.timeout", json!(1.5));
    assert_eq!(new.origin("server.timeout").unwrap(), ValueOrigin::Default);
}

#[test]
fn a_change_to_the_same_value_is_a_no_op_and_keeps_the_generation() {
    let tree = changed(&tree(), "server.timeout", json!(2.0));
    for same in [json!(2.0), json!(2)] {
        let change = ConfigChange::decide(&tree, "server.timeout", same).unwrap();
        assert!(change.is_noop());
        assert_eq!(tree.apply(&change).unwrap(), tree);
    }
    assert!(ConfigChange::reset(&tree, "server.port").unwrap().is_noop());
}

#[test]
fn what_was_null_takes_any_single_value_and_can_be_reset() {
    let tree = changed(&tree(), "server.motd", json!("hello"));
    assert_eq!(
        message(ConfigChange::decide(&tree, "server.motd", json!(1))),
        "config path server.motd wants string, found integer (an update at run time)"
    );
    let reset = tree.apply(&ConfigChange::reset(&tree, "server.motd").unwrap()).unwrap();
    assert_eq!(*reset.get("server.motd").unwrap(), Value::Null);
}

#[test]
fn a_change_of_the_type_is_refused_with_both_types() {
    let cases = [
        ("server.port", json!("x"), "server.port wants integer, found string"),
        ("server.port", json!(1.5), "server.port wants integer, found float"),
        ("server.port", json!(null), "server.port wants integer, found nothing"),
        ("server.port", json!({}), "server.port wants integer, found section"),
        ("server.peers", json!({ "a": 1 }), "server.peers wants array, found section"),
        ("server.motd", json!({ "a": 1 }), "server.motd wants single value, found section"),
    ];
    for (path, new, expected) in cases {
        let expected = format!("config path {expected} (an update at run time)");
        assert_eq!(message(ConfigChange::decide(&tree(), path, new)), expected);
    }
}

#[test]
fn a_section_is_not_replaced_and_the_values_in_it_are_named() {
    let expected = "config path database is a section; name one of its values: database.host, database.pool.size";
    assert_eq!(message(ConfigChange::decide(&tree(), "database", json!(1))), expected);
    assert_eq!(message(ConfigChange::decide(&tree(), "database", defaults())), expected);
    assert_eq!(message(ConfigChange::reset(&tree(), "database")), expected);
}

#[test]
fn a_change_or_reset_of_an_unknown_path_is_refused_with_what_is_near() {
    let expected = "unknown config path server.prt; did you mean server.port?";
    assert_eq!(message(ConfigChange::decide(&tree(), "server.prt", json!(1))), expected);
    assert_eq!(message(ConfigChange::reset(&tree(), "server.prt")), expected);
}

#[test]
fn a_change_that_was_decided_on_another_value_is_refused() {
    let old = tree();
    let change = ConfigChange::decide(&old, "server.port", json!(81)).unwrap();
    let meanwhile = changed(&old, "server.port", json!(82));
    let expected = "the value at config path server.port is no longer the one that this change was decided on";
    assert_eq!(message(meanwhile.apply(&change)), expected);
}

#[test]
fn a_forged_change_is_refused() {
    let forged = |text| tree().apply(&serde_json::from_value::<ConfigChange>(text).unwrap());
    let expected = "config path server.port wants integer, found string (an update at run time)";
    assert_eq!(message(forged(json!({ "path": "server.port", "old": 80, "new": "x" }))), expected);
    let error = message(forged(json!({ "path": "server.new", "old": null, "new": 1 })));
    assert!(error.starts_with("unknown config path server.new"), "{error}");
    let path = json!({ "path": "../x", "old": 1, "new": 2 });
    assert!(serde_json::from_value::<ConfigChange>(path).is_err());
}

#[test]
fn a_recorded_change_is_replayed_by_deciding_it_again() {
    let change = ConfigChange::decide(&tree(), "server.port", json!(81)).unwrap();
    let recorded = serde_json::to_string(&change).unwrap();
    let change: ConfigChange = serde_json::from_str(&recorded).unwrap();
    let anew = with_file("server.port = 99").unwrap();
    let replayed = changed(&anew, change.path.as_str(), change.new);
    assert_eq!(replayed.get("server.port").unwrap(), 81);
}
