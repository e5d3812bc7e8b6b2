//! The reports that call for a restart.

use foundation::Restart;
use foundation::supervision::ExitReason;

use super::history::{Line, Reign};
use super::record::Reported;
use super::shape::Shape;

/// OTP's table, written once more.
pub(super) fn wants(restart: Restart, reason: &ExitReason) -> bool {
    match restart {
        Restart::Permanent => true,
        Restart::Transient => matches!(reason, ExitReason::Killed | ExitReason::Failed(_)),
        Restart::Temporary => false,
    }
}

/// The reports of one life of a supervisor after which a restart is due: an end after which the child's rule wants one,
/// or the failure of a restart. After giving up, or an auto-shutdown, nothing is due.
pub(super) fn causes<'a>(shape: &Shape, reign: &'a Reign<'a>) -> Vec<&'a Line<'a>> {
    let end = reign.lines.iter().position(|line| line.reported.is_the_end()).unwrap_or(reign.lines.len());
    let due = |line: &&Line<'_>| match line.reported {
        Reported::Exited(_, reason) => wants(shape.members[line.child].restart, reason),
        Reported::StartFailed(cause) => !line.requested && is_known(reign, line) && !cause.contains("was terminated"),
        _ => false,
    };
    reign.lines[..end].iter().filter(due).collect()
}

/// Whether an earlier report names this child: its first start is no restart.
fn is_known(reign: &Reign<'_>, line: &Line<'_>) -> bool {
    reign.lines.iter().any(|earlier| earlier.child == line.child && earlier.index < line.index)
}
