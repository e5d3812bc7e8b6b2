//! The rules of restarting, one after the other: a bakery of three levels, whose actors are ended by a script.
//!
//! ```text
//! cargo run --example supervision_tree
//! ```
//!
//! What to notice: the tree before and after each end, with a mark at every actor that is new, and between the two what
//! the supervisors reported, in its order. Nothing sleeps here: the script waits for reports.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use foundation::ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};
use foundation::supervision::{
    ChildError, ChildEvent, Report, Reporter, RestartCause, RestartIntensity, SupervisorSpec, Tree,
};
use foundation::{ChildSpec, Restart, Strategy, Supervisor, local_message};
use foundation_examples::{BoxError, Table, exit, heading};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A supervisor in the middle of the tree, with its workers in start order.
struct Department {
    id: &'static str,
    strategy: Strategy,
    workers: [(&'static str, Restart); 3],
}

const DEPARTMENTS: [Department; 3] = [
    Department {
        id: "counter",
        strategy: Strategy::OneForOne,
        workers: [("till_1", Restart::Permanent), ("till_2", Restart::Permanent), ("trainee", Restart::Temporary)],
    },
    Department {
        id: "kitchen",
        strategy: Strategy::OneForAll,
        workers: [("dough", Restart::Permanent), ("oven", Restart::Permanent), ("glaze", Restart::Permanent)],
    },
    Department {
        id: "delivery",
        strategy: Strategy::RestForOne,
        workers: [("orders", Restart::Permanent), ("route", Restart::Permanent), ("van", Restart::Transient)],
    },
];
/// Of a department, and long enough for a script that takes no time.
const INTENSITY: RestartIntensity = RestartIntensity::new(3, Duration::from_secs(60));
/// Of the bakery as a whole.
const TOP_INTENSITY: RestartIntensity = RestartIntensity::new(1, Duration::from_secs(60));

#[tokio::main]
async fn main() -> ExitCode {
    exit(run().await)
}

async fn run() -> Result<(), BoxError> {
    let (sender, reports) = mpsc::unbounded_channel();
    let bakery = Supervisor::start("bakery", bakery(sender)).await?;
    let mut script = Script { bakery, reports, seen: HashSet::new() };

    heading("The tree as it was started");
    script.began().await?;
    script.strategies().await?;
    script.restart_rules().await?;
    script.giving_up().await
}

// ---- the tree ----

fn bakery(sender: mpsc::UnboundedSender<Report>) -> SupervisorSpec {
    let departments = DEPARTMENTS.map(|Department { id, strategy, workers }| {
        let workers = workers.map(|(id, restart)| ChildSpec::worker(id, || (Worker, ())).restart(restart));
        ChildSpec::supervisor(id, SupervisorSpec::new(strategy).intensity(INTENSITY).children(workers))
    });
    // The supervisors below have no reporter of their own, so they use this one.
    SupervisorSpec::new(Strategy::OneForOne).intensity(TOP_INTENSITY).children(departments).reporter(ToScript(sender))
}

/// An actor that ends on request.
struct Worker;

enum WorkerMsg {
    Finish,
    Fail,
}
local_message!(WorkerMsg);

#[cfg_attr(feature = "async-trait", foundation::ractor::async_trait)]
impl Actor for Worker {
    type Msg = WorkerMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<WorkerMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<WorkerMsg>,
        message: WorkerMsg,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            WorkerMsg::Finish => myself.stop(None),
            WorkerMsg::Fail => return Err("it was asked to fail".into()),
        }
        Ok(())
    }
}

/// Passes the supervisors' reports on.
struct ToScript(mpsc::UnboundedSender<Report>);

impl Reporter for ToScript {
    fn report(&self, report: &Report) {
        // The script may have ended.
        let _ = self.0.send(report.clone());
    }
}

// ---- the script ----

struct Script {
    bakery: Supervisor,
    reports: mpsc::UnboundedReceiver<Report>,
    /// The actors that have been shown.
    seen: HashSet<ActorId>,
}

/// How an actor is made to end.
#[derive(Clone, Copy)]
enum End {
    Kill,
    Finish,
    Fail,
}

impl Script {
    async fn strategies(&mut self) -> Result<(), BoxError> {
        heading("One-for-one: till_1 is killed");
        self.end("counter", "till_1", End::Kill).await?;
        self.until("till_1", is_start).await?;
        self.show("Only the child that ended was started again; its siblings noticed nothing.").await?;

        heading("One-for-all: the oven is killed");
        self.end("kitchen", "oven", End::Kill).await?;
        self.until("glaze", is_start).await?;
        self.show("The others were stopped, the last started first, and then all were started in order.").await?;

        heading("Rest-for-one: the route is killed");
        self.end("delivery", "route", End::Kill).await?;
        self.until("van", is_start).await?;
        self.show("Restarted were the child that ended and those started after it; the orders live on.").await
    }

    async fn restart_rules(&mut self) -> Result<(), BoxError> {
        heading("Transient: the van has finished its work");
        self.end("delivery", "van", End::Finish).await?;
        self.until("van", is_final).await?;
        self.wait_until_gone("delivery", "van").await?;
        self.show("A transient child that ends normally stays stopped, and keeps its place in the order.").await?;

        heading("Temporary: the trainee fails");
        self.end("counter", "trainee", End::Fail).await?;
        self.until("trainee", is_final).await?;
        self.wait_until_gone("counter", "trainee").await?;
        self.show("A temporary child is never started again, however it ended: it is forgotten.").await
    }

    async fn giving_up(&mut self) -> Result<(), BoxError> {
        heading(format!("Restart intensity: till_2 is killed until the counter has enough ({INTENSITY})"));
        // One restart has been counted already: till_1's.
        for _ in 1..INTENSITY.max_restarts {
            self.end("counter", "till_2", End::Kill).await?;
            self.until("till_2", is_start).await?;
        }
        self.end("counter", "till_2", End::Kill).await?;
        self.until("counter", is_start).await?;
        self.show(
            "The counter stopped its children and itself; the bakery saw a child that ended, and started a new one.\n   \
             That has the children of the specification, the trainee included, and counts restarts from zero.",
        )
        .await?;

        heading("The tree as it draws itself: what each supervisor allows, and why each child ended the last time");
        println!("{}", self.bakery.tree().await);

        heading(format!("Escalation: the same once more, which is too much for the bakery too ({TOP_INTENSITY})"));
        for _ in 0..INTENSITY.max_restarts {
            self.end("counter", "till_2", End::Kill).await?;
            self.until("till_2", is_start).await?;
        }
        self.end("counter", "till_2", End::Kill).await?;
        self.until("counter", |happened| matches!(happened, ChildEvent::GaveUp { .. })).await?;
        self.bakery.wait_until_gone().await;
        self.print_remaining();
        let Err(error) = self.bakery.which_children().await else {
            return Err("the bakery has given up and still answers".into());
        };
        println!("\nA request for its children now fails: {error}.");
        println!("=> The top has no supervisor: all have stopped, in reverse order, and are gone.");
        Ok(())
    }

    /// Ends a worker.
    async fn end(&self, department: &str, worker: &str, end: End) -> Result<(), BoxError> {
        let absent = || format!("{worker} is not running");
        let actor = self.department(department).await?.child(worker).await?.ok_or_else(absent)?;
        match end {
            End::Kill => actor.kill(),
            End::Finish => ActorRef::from(actor).cast(WorkerMsg::Finish)?,
            End::Fail => ActorRef::from(actor).cast(WorkerMsg::Fail)?,
        }
        Ok(())
    }

    /// A handle on a department as it is now: each incarnation of a supervisor has its own.
    async fn department(&self, id: &str) -> Result<Supervisor, BoxError> {
        Ok(self.bakery.supervisor(id).await?.ok_or_else(|| format!("{id} is not running"))?)
    }

    /// Prints the reports up to the one that is waited for.
    async fn until(&mut self, child: &str, wanted: fn(&ChildEvent) -> bool) -> Result<(), BoxError> {
        loop {
            let next = timeout(Duration::from_secs(10), self.reports.recv()).await;
            let report = next?.ok_or("no supervisor is left to report")?;
            println!("  {}", in_words(&report));
            if report.child.as_str() == child && wanted(&report.happened) {
                return Ok(());
            }
        }
    }

    /// Prints the reports that were not waited for.
    fn print_remaining(&mut self) {
        while let Ok(report) = self.reports.try_recv() {
            println!("  {}", in_words(&report));
        }
    }

    /// Returns when a child that has ended is gone too. That is when a request to stop it is answered.
    async fn wait_until_gone(&self, department: &str, worker: &str) -> Result<(), BoxError> {
        match self.department(department).await?.terminate_child(worker).await {
            // It is forgotten, so it is gone.
            Err(ChildError::NotFound { .. }) => Ok(()),
            answer => Ok(answer?),
        }
    }

    // ---- showing ----

    async fn began(&mut self) -> Result<(), BoxError> {
        while self.reports.try_recv().is_ok() {}
        self.print_tree().await
    }

    async fn show(&mut self, rule: &str) -> Result<(), BoxError> {
        println!();
        self.print_tree().await?;
        println!("\n=> {rule}");
        Ok(())
    }

    async fn print_tree(&mut self) -> Result<(), BoxError> {
        let tree = self.bakery.tree().await;
        let mut table = Table::new([&*label(&tree), "actor", "restart rule", "restarts", ""]);
        let first = self.seen.is_empty();
        self.branches(&tree, "", first, &mut table);
        print!("{table}");
        Ok(())
    }

    fn branches(&mut self, tree: &Tree, indent: &str, first: bool, table: &mut Table<5>) {
        for (place, child) in tree.children.iter().enumerate() {
            let last = place + 1 == tree.children.len();
            let (twig, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let name = format!("{indent}{twig}{}", label(child));
            let (actor, new) = self.life(child);
            let mark = if new && !first { "new" } else { "" };
            let restart = child.restart.map(|restart| restart.to_string()).unwrap_or_default();
            table.row([&name, &actor, &restart, &child.restarts, &mark]);
            self.branches(child, &format!("{indent}{below}"), first, table);
        }
    }

    /// The current actor of a child, as text, and whether it is new.
    fn life(&mut self, child: &Tree) -> (String, bool) {
        match child.actor {
            Some(actor) => (actor.to_string(), self.seen.insert(actor)),
            None => (child.status.as_str().to_owned(), false),
        }
    }
}

fn label(tree: &Tree) -> String {
    match tree.supervision {
        Some(supervision) => format!("{} ({})", tree.id, supervision.strategy),
        None => tree.id.clone(),
    }
}

fn is_start(happened: &ChildEvent) -> bool {
    matches!(happened, ChildEvent::Started { .. })
}

fn is_final(happened: &ChildEvent) -> bool {
    matches!(happened, ChildEvent::NotRestarted { .. })
}

fn in_words(Report { supervisor, child, happened, .. }: &Report) -> String {
    let happened = match happened {
        ChildEvent::Started { actor, .. } => format!("started as {actor}"),
        ChildEvent::Exited { actor, reason, .. } => format!("{actor} ended ({reason})"),
        ChildEvent::Stopped { actor, .. } => format!("{actor} is stopped and gone"),
        ChildEvent::Restarting { cause, .. } => {
            let RestartCause { strategy, used, intensity, .. } = &**cause;
            format!("to be restarted, {strategy}, number {used} of at most {intensity}")
        }
        ChildEvent::NotRestarted { rule, .. } => format!("not to be restarted, since it is {rule}"),
        ChildEvent::GaveUp { cause } => {
            format!("one restart too many: {supervisor} gives up\n{cause}").replace('\n', "\n      ")
        }
        other => format!("{other:?}"),
    };
    format!("{supervisor}/{child}: {happened}")
}
