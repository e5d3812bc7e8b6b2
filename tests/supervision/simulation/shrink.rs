//! Makes a failing script short: every part that is not needed for the failure is removed.

use super::script::{Ending, Script, Step};

/// The maximal number of plays of a script while it is made shorter.
const PLAYS: usize = 400;

/// The shortest failing script that is found by leaving out steps, then single operations.
pub(super) fn shrink(script: &Script, fails: impl Fn(&Script) -> bool) -> Script {
    let mut shrinking = Shrinking { best: script.clone(), left: PLAYS, fails };
    let mut size = script.steps.len();
    while size > 0 {
        shrinking.without_steps(size);
        size /= 2;
    }
    shrinking.without_operations();
    shrinking.without_members();
    shrinking.with(|script| script.rests = false);
    shrinking.with(|script| script.ending = Ending::Shutdown);
    shrinking.without_steps(1);
    shrinking.best
}

struct Shrinking<F> {
    best: Script,
    left: usize,
    fails: F,
}

impl<F: Fn(&Script) -> bool> Shrinking<F> {
    /// Keeps a change if the script still fails.
    fn with(&mut self, change: impl FnOnce(&mut Script)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        if self.left == 0 || changed == self.best {
            return false;
        }
        self.left -= 1;
        let fails = (self.fails)(&changed);
        if fails {
            self.best = changed;
        }
        fails
    }

    fn without_steps(&mut self, size: usize) {
        let mut end = self.best.steps.len();
        while end > 0 {
            let begin = end.saturating_sub(size);
            self.with(|script| drop(script.steps.drain(begin..end)));
            end = begin;
        }
    }

    fn without_operations(&mut self) {
        for step in (0..self.best.steps.len()).rev() {
            for op in (0..self.best.steps[step].ops.len()).rev() {
                self.with(|script| {
                    script.steps[step].ops.remove(op);
                });
            }
        }
        self.with(|script| script.steps.retain(|Step { ops, .. }| !ops.is_empty()));
    }

    /// A member is not removed, which would rename the others: it is made one that is started only on request.
    fn without_members(&mut self) {
        for who in (1..self.best.shape.members.len()).rev() {
            self.with(|script| script.shape.members[who].extra = true);
        }
    }
}
