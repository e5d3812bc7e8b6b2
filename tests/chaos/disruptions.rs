//! Disruptions, one at a time, chosen by a seed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use fastrand::Rng;
use foundation::events::EventKind;
use foundation::names::ServiceName;
use foundation::{ConfigServer, EventStore, NewEvent, Telemetry};

use super::clients::{Request, pause};
use super::disk::FullDisk;
use super::world::World;

/// Events that are recorded to be damaged.
pub(crate) const VICTIM: EventKind = EventKind::from_static("victim");

/// The time of day, which can jump.
#[derive(Clone, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn now(&self) -> SystemTime {
        let seconds = self.0.load(Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
    }

    fn jump(&self, seconds: i64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy)]
enum Disruption {
    KillService,
    KillWorker,
    WorkerFails,
    WorkerPanics,
    FullDisk,
    DamagedRow,
    DatabaseAway,
    BadSettings,
    SettingsReplaced,
    ClockAhead,
    ClockBack,
}

use Disruption::*;

const ALL: [Disruption; 11] = [
    KillService,
    KillWorker,
    WorkerFails,
    WorkerPanics,
    FullDisk,
    DamagedRow,
    DatabaseAway,
    BadSettings,
    SettingsReplaced,
    ClockAhead,
    ClockBack,
];

/// Causes one disruption, and undoes it.
pub(crate) async fn disrupt(world: &mut World, random: &mut Rng) {
    let disruption = ALL[random.usize(..ALL.len())];
    println!("{:>8.3} s  {disruption:?}", world.begun.elapsed().as_secs_f64());
    match disruption {
        KillService => kill(world, &[EventStore::NAME, ConfigServer::NAME, Telemetry::NAME][random.usize(..3)]),
        KillWorker => kill(world, &world.workers[random.usize(..world.workers.len())].name().clone()),
        WorkerFails => order(world, random, Request::Fail),
        WorkerPanics => order(world, random, Request::Panic),
        FullDisk => full_disk(random).await,
        DamagedRow => damaged_row(world).await,
        DatabaseAway => database_away(world, random).await,
        BadSettings => bad_settings(world, random).await,
        SettingsReplaced => replace_settings(world, random.u32(1..1000)),
        ClockAhead => jump(world, random, 7 * 24 * 3600).await,
        ClockBack => jump(world, random, -3600).await,
    }
    pause(Duration::from_millis(random.u64(20..400))).await;
}

fn kill(world: &World, name: &ServiceName) {
    if let Ok(actor) = world.foundation.production().registry().lookup_any(name) {
        actor.cell().kill();
    }
}

fn order(world: &World, random: &mut Rng, what: Request) {
    let worker = &world.workers[random.usize(..world.workers.len())];
    let _ = world.foundation.production().via(worker).cast(what);
}

async fn full_disk(random: &mut Rng) {
    let _full = FullDisk::beyond(0);
    pause(Duration::from_millis(random.u64(100..1500))).await;
}

/// Damages a row without a guarantee, as a flipped bit on the disk would.
async fn damaged_row(world: &mut World) {
    let victim = NewEvent::of(VICTIM).payload("as it was").expect("a payload");
    let Ok(id) = world.foundation.events().append(victim).await else { return };
    let id = id.get();
    let database = world.database();
    let damaged = tokio::task::spawn_blocking(move || {
        let connection = rusqlite::Connection::open(database)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute("UPDATE events SET payload = '\"damaged\"' WHERE id = ?1", [id.cast_signed()])
    });
    if matches!(damaged.await, Ok(Ok(1))) {
        world.damaged.insert(id);
    }
}

/// The database's files are moved away for a while: no event that is acknowledged meanwhile may be lost.
async fn database_away(world: &World, random: &mut Rng) {
    let elsewhere = world.directory.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let files = database_files(&world.database());
    move_all(&files, &elsewhere);
    pause(Duration::from_millis(random.u64(50..800))).await;
    let there: Vec<_> = files.iter().map(|file| elsewhere.join(file.file_name().unwrap())).collect();
    move_all(&there, world.database().parent().unwrap());
}

/// The database and the files that SQLite keeps beside it.
fn database_files(database: &Path) -> Vec<PathBuf> {
    ["-shm", "-wal", ""].map(|end| format!("{}{end}", database.display()).into()).into()
}

fn move_all(files: &[PathBuf], to: &Path) {
    for file in files.iter().filter(|file| file.exists()) {
        fs::rename(file, to.join(file.file_name().unwrap())).unwrap();
    }
}

async fn bad_settings(world: &mut World, random: &mut Rng) {
    fs::write(world.settings(), "pace = ").unwrap();
    pause(Duration::from_millis(random.u64(50..600))).await;
    world.pace = random.u32(1..1000);
    fs::write(world.settings(), format!("pace = {}\n", world.pace)).unwrap();
}

/// As an editor or a deployment does: a new file in place of the old one.
fn replace_settings(world: &mut World, pace: u32) {
    let new = world.settings().with_extension("new");
    fs::write(&new, format!("pace = {pace}\n")).unwrap();
    fs::rename(&new, world.settings()).unwrap();
    world.pace = pace;
}

async fn jump(world: &World, random: &mut Rng, seconds: i64) {
    world.clock.jump(seconds);
    pause(Duration::from_millis(random.u64(100..600))).await;
    world.clock.jump(0);
}
