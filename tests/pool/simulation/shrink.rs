//! Makes a failing script short: every step that is not needed for the failure is removed.

use super::script::Script;

/// The maximal number of plays of a script while it is made shorter.
const PLAYS: usize = 200;

/// The shortest failing script that is found by leaving out steps: half of them at once, then fewer.
pub(super) fn shrink(script: &Script, fails: impl Fn(&Script) -> bool) -> Script {
    let (mut best, mut left) = (script.clone(), PLAYS);
    let mut size = best.steps.len();
    while size > 0 {
        let mut end = best.steps.len();
        while end > 0 && left > 0 {
            let begin = end.saturating_sub(size);
            let mut shorter = best.clone();
            drop(shorter.steps.drain(begin..end));
            left -= 1;
            if fails(&shorter) {
                best = shorter;
            }
            end = begin;
        }
        size /= 2;
    }
    best
}
