//! What is recorded, is read back; and a process that starts from the same file and the same records has the same values
//! as the running one.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use foundation_events::{Event, EventId, NewEvent};
use garde::Validate;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::server::step::{Step, checkpoint};
use crate::server::transaction::Proposal;
use crate::{ConfigError, ConfigSection, ConfigSources, ConfigTree, Transaction, ValueOrigin};

// ---- records ----

fn recorded(events: impl IntoIterator<Item = NewEvent>) -> Vec<Arc<Event>> {
    let event = |(id, event): (u64, NewEvent)| {
        Arc::new(event.source(SERVER).record(EventId::new(id).unwrap(), "production", UNIX_EPOCH))
    };
    (1..).zip(events).map(event).collect()
}

fn event(kind: RecordKind, payload: &Recorded) -> NewEvent {
    NewEvent::of(kind.event_kind()).payload(payload).unwrap()
}

fn change(path: &str, new: &str) -> ConfigChange {
    ConfigChange { path: ConfigPath::new(path).unwrap(), old: Value::Null, new: json!(new), reset: false }
}

fn changes() -> impl Strategy<Value = Vec<ConfigChange>> {
    vec(("[a-z]{1,9}", "[ -~é\n]{0,40}").prop_map(|(path, new)| change(&path, &new)), 2..30)
}

fn parts_of(kind: RecordKind, parts: Vec<Recorded>) -> Vec<NewEvent> {
    let correlation = Uuid::now_v7();
    parts.iter().map(|part| event(kind, part).correlation(correlation)).collect()
}

proptest! {
    #[test]
    fn the_baseline_is_the_newest_checkpoint_or_without_one_the_first_update(
        kinds in vec(select(RecordKind::ALL.to_vec()), 0..12),
    ) {
        let one = Recorded::new(&[change("a", "x")], &ChangeNote::default());
        let events = recorded(kinds.iter().map(|kind| event(*kind, &one)));
        let place = |at: Option<usize>| at.and_then(|at| EventId::new(at as u64 + 1));
        let checkpoint = place(kinds.iter().rposition(|kind| *kind == RecordKind::Checkpoint));
        let expected = checkpoint.or(place(kinds.iter().position(|kind| *kind == RecordKind::Update)));
        prop_assert_eq!(baseline(&records(&events)), expected);
    }

    #[test]
    fn what_is_split_is_joined_again_and_no_part_is_larger_than_it_may_be(
        changes in changes(), author in "[ -~]{0,20}", max_bytes in 0..2_000_usize,
    ) {
        let note = ChangeNote::by(author);
        let parts = Recorded::split(&changes, &note, max_bytes);
        for part in &parts {
            prop_assert!(bytes(part) <= max_bytes || part.clone().into_changes().len() == 1);
        }
        let count = parts.len() as u64;
        let events = recorded(parts_of(RecordKind::Checkpoint, parts));
        let [joined] = <[Record; 1]>::try_from(records(&events)).unwrap();
        prop_assert_eq!(joined.changes.unwrap(), changes);
        prop_assert_eq!((joined.first.get(), joined.event.get(), joined.note), (1, count, note));
    }

    /// Whichever part of a record in several events is lost, its other parts count for nothing, and the records
    /// around it are read in full.
    #[test]
    fn a_record_of_which_a_part_is_missing_counts_for_nothing(
        changes in changes(), lost in vec(any::<bool>(), 30), swapped in any::<bool>(),
    ) {
        let around = event(RecordKind::Update, &Recorded::new(&[change("around", "x")], &ChangeNote::default()));
        let mut parts = parts_of(RecordKind::Checkpoint, Recorded::split(&changes, &ChangeNote::default(), 100));
        let whole = parts.len();
        let mut keep = lost.into_iter().map(|lost| !lost);
        parts.retain(|_| keep.next().unwrap());
        if swapped {
            parts.reverse();
        }
        prop_assume!((parts.len() < whole || swapped) && whole > 1);
        let events = recorded([around.clone()].into_iter().chain(parts).chain([around]));
        let records = records(&events);
        let (checkpoints, updates): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| record.kind == RecordKind::Checkpoint);
        prop_assert!(checkpoints.iter().all(|record| record.changes.is_err()));
        prop_assert!(updates.len() == 2 && updates.iter().all(|record| record.changes.is_ok()));
        prop_assert_eq!(baseline(&records), Some(EventId::FIRST));
    }
}

#[test]
fn what_others_have_recorded_is_no_baseline() {
    let foreign = NewEvent::of(RecordKind::Checkpoint.event_kind()).source("shop").record(
        EventId::FIRST,
        "production",
        UNIX_EPOCH,
    );
    assert_eq!(baseline(&records(&[Arc::new(foreign)])), None);
}

// ---- processes ----

/// Two values that are valid together only.
#[derive(Deserialize, Validate)]
struct Pair {
    #[garde(skip)]
    low: i64,
    #[garde(custom(not_below(&self.low)))]
    high: i64,
}

fn not_below(low: &i64) -> impl FnOnce(&i64, &()) -> garde::Result + '_ {
    move |high, ()| if high < low { Err(garde::Error::new("lower than low")) } else { Ok(()) }
}

impl ConfigSection for Pair {
    const PATH: &'static str = "pair";
    const UPDATABLE: &'static [&'static str] = &["*"];

    fn defaults() -> Value {
        json!({ "low": 0, "high": 9 })
    }
}

const PATHS: [&str; 4] = ["pair.low", "pair.high", "number", "any"];

/// An operation on a configuration.
#[derive(Debug, Clone)]
enum Happening {
    Update(Vec<(&'static str, Value)>),
    Reset(&'static str),
    ResetAll,
    /// The file has this content, and is read again.
    Reload(Value),
    /// A checkpoint is recorded, in parts of so many bytes, and the records before it are pruned or not.
    Checkpoint(usize, bool),
    /// The process ends, and the next one starts.
    Restart,
}

/// The content of a file: types that change, values that go, and bounds that are not valid with every override.
fn file() -> impl Strategy<Value = Value> {
    let number = prop_oneof![(0..4_i64).prop_map(Value::from), (0..4_i32).prop_map(|n| json!(f64::from(n) + 0.5))];
    let any = prop_oneof![Just(Value::Null), (0..4_i64).prop_map(Value::from), "[ab]".prop_map(Value::from)];
    (0..5_i64, 4..9_i64, option::weighted(0.8, number), option::weighted(0.8, any)).prop_map(
        |(low, high, number, any)| {
            let mut file = json!({ "pair": { "low": low, "high": high } });
            number.into_iter().for_each(|number| file["number"] = number);
            any.into_iter().for_each(|any| file["any"] = any);
            file
        },
    )
}

fn happening() -> impl Strategy<Value = Happening> {
    let value = prop_oneof![(0..9_i64).prop_map(Value::from), Just(json!(1.5)), "[ab]".prop_map(Value::from)];
    prop_oneof![
        6 => vec((select(&PATHS[..]), value), 1..3).prop_map(Happening::Update),
        2 => select(&PATHS[..]).prop_map(Happening::Reset),
        1 => Just(Happening::ResetAll),
        4 => file().prop_map(Happening::Reload),
        1 => (0..200_usize, any::<bool>()).prop_map(|(bytes, forgets)| Happening::Checkpoint(bytes, forgets)),
        1 => Just(Happening::Restart),
    ]
}

/// A process, its records, and the file that it took last.
struct Process {
    tree: ConfigTree,
    file: Value,
    recorded: Vec<Arc<Event>>,
    next_id: u64,
}

impl Process {
    fn start(file: Value) -> Self {
        Self { tree: load(&file).unwrap(), file, recorded: Vec::new(), next_id: 1 }
    }

    fn live(&mut self, happening: Happening) {
        match happening {
            Happening::Update(values) => self.change(|transaction| {
                values.iter().fold(transaction, |transaction, (path, value)| transaction.set(path, value))
            }),
            Happening::Reset(path) => self.change(|transaction| transaction.reset(path)),
            Happening::ResetAll => self.take(Step::propose(&self.tree, &Proposal::ResetAll)),
            Happening::Reload(file) => {
                let step = load(&file).and_then(|loaded| Step::reload(&self.tree, &loaded));
                if step.is_ok() {
                    self.file = file;
                }
                self.take(step);
            }
            Happening::Checkpoint(bytes, forgets) => self.checkpoint(bytes, forgets),
            Happening::Restart => self.tree = self.next_process(),
        }
    }

    fn change(&mut self, build: impl FnOnce(Transaction) -> Transaction) {
        self.take(Step::propose(&self.tree, &build(Transaction::default()).try_into().unwrap()));
    }

    /// A refused step changes and records nothing.
    fn take(&mut self, step: Result<Step, ConfigError>) {
        let Ok(step) = step else { return };
        if let Some(kind) = step.kind {
            self.record(kind, vec![Recorded::new(&step.changes, &ChangeNote::default())]);
        }
        self.tree = step.next;
    }

    fn checkpoint(&mut self, bytes: usize, forgets: bool) {
        if forgets {
            self.recorded.clear();
        }
        let changes = checkpoint(&self.tree);
        self.record(RecordKind::Checkpoint, Recorded::split(&changes, &ChangeNote::default(), bytes));
    }

    fn record(&mut self, kind: RecordKind, parts: Vec<Recorded>) {
        let correlation = Uuid::now_v7();
        for part in parts {
            let event = part.event(kind, correlation).unwrap();
            let id = EventId::new(self.next_id).unwrap();
            self.recorded.push(Arc::new(event.record(id, "production", UNIX_EPOCH)));
            self.next_id += 1;
        }
    }

    fn next_process(&self) -> ConfigTree {
        let loaded = load(&self.file).unwrap();
        let (step, _) = Step::replay(&loaded, &records(&self.recorded));
        step.map_or(loaded, |step| step.next)
    }
}

fn load(file: &Value) -> Result<ConfigTree, ConfigError> {
    let sources = ConfigSources::new().section::<Pair>()?.defaults(file)?;
    sources.updatable("number")?.updatable("any")?.load()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happened_a_fresh_start_from_the_same_file_and_records_has_the_same_values(
        first in file(), happenings in vec(happening(), 0..20),
    ) {
        let mut process = Process::start(first);
        for happening in happenings {
            process.live(happening);
            let (running, fresh) = (&process.tree, process.next_process());
            prop_assert_eq!(fresh.root(), running.root());
            prop_assert!(fresh.overrides().eq(running.overrides()));
            let origins = |tree: &ConfigTree| tree.paths().map(|path| tree.origin(path)).collect::<Vec<_>>();
            prop_assert_eq!(origins(&fresh), origins(running));
        }
    }
}

#[test]
fn an_override_stays_while_the_file_says_the_same_and_a_reset_is_one_even_then() {
    let mut process = Process::start(json!({ "number": 1 }));
    process.live(Happening::Update(vec![("number", json!(2))]));
    process.live(Happening::Reload(json!({ "number": 2 })));
    assert_eq!(process.tree.origin("number").unwrap(), ValueOrigin::Override);
    process.live(Happening::Reload(json!({ "number": 3 })));
    assert_eq!(
        (process.tree.get("number").unwrap(), process.next_process().get("number").unwrap()),
        (&json!(2), &json!(2))
    );

    process.live(Happening::Reload(json!({ "number": 2 })));
    let reset = ConfigChange::reset(&process.tree, "number").unwrap();
    assert!(!reset.is_noop() && reset.old == reset.new);
    process.live(Happening::Reset("number"));
    process.live(Happening::Reload(json!({ "number": 3 })));
    assert_eq!(
        (process.tree.get("number").unwrap(), process.next_process().get("number").unwrap()),
        (&json!(3), &json!(3))
    );
}

#[test]
fn a_reset_is_recorded_as_one_and_not_as_the_value_that_it_led_to() {
    let mut process = Process::start(json!({ "number": 1 }));
    process.live(Happening::Update(vec![("number", json!(2))]));
    process.live(Happening::Update(vec![("number", json!(1))]));
    assert_eq!(process.recorded[1].payload, json!({ "path": "number", "old": 2, "new": 1, "reset": true }));
    process.file = json!({ "number": 3 });
    assert_eq!(process.next_process().get("number").unwrap(), 3);
}

#[test]
fn changes_that_are_valid_together_only_are_made_by_the_next_process_whatever_their_order() {
    let mut process = Process::start(json!({ "pair": { "low": 0, "high": 8 } }));
    process.live(Happening::Update(vec![("pair.low", json!(7))]));
    process.live(Happening::Update(vec![("pair.high", json!(9))]));
    // Now the first one would not be valid without the second.
    process.live(Happening::Reload(json!({ "pair": { "low": 0, "high": 5 } })));
    assert_eq!(process.tree.get("pair").unwrap(), &json!({ "low": 7, "high": 9 }));
    assert_eq!(process.next_process().get("pair").unwrap(), &json!({ "low": 7, "high": 9 }));
}
