//! The contract of every log.

use proptest::prelude::*;

use super::*;
use crate::log::{contract, model};

/// A way to open one log, again and again; one is dropped before the next is opened.
fn place() -> impl FnMut() -> Box<dyn EventLog> {
    let file = TestFile::new();
    move || {
        let options = SqliteOptions::default().limits(contract::limits());
        Box::new(SqliteLog::open(file.path(), "production", options).unwrap())
    }
}

#[test]
fn it_keeps_the_contract_of_a_log() {
    for (name, test) in contract::TESTS {
        println!("{name}");
        test(&mut place());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_naive_list_does(steps in model::steps()) {
        model::live(&steps, &mut place());
    }
}
