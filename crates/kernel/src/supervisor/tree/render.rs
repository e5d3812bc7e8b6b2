//! Rendering of trees: as lines of text, and as a graph for Graphviz.

use std::fmt::{self, Write};

use super::{Tree, TreeStatus};
use crate::supervisor::child_rules::ChildKind;

/// Longer texts, of a failure for example, are cut here. Fixed, since it is the width of a rendering: the whole text is
/// in the rendered [`Tree`].
const MAX_TEXT: usize = 60;

/// The columns of a line before the last, which has no limit.
const COLUMNS: usize = 4;

impl fmt::Display for Tree {
    /// A line for each actor: its place in the tree, the actor, its state, its restart rule, and further details.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let mut further = vec![(self, String::new(), String::new())];
        while let Some((tree, prefix, indent)) = further.pop() {
            lines.push(line(tree, &prefix));
            // The last child goes first onto the stack.
            for (place, child) in tree.children.iter().enumerate().rev() {
                let last = place + 1 == tree.children.len();
                let (prefix, below) = if last { ("└── ", "    ") } else { ("├── ", "│   ") };
                further.push((child, format!("{indent}{prefix}"), format!("{indent}{below}")));
            }
        }
        let mut widths = [0; COLUMNS];
        for (columns, _) in &lines {
            for (width, column) in widths.iter_mut().zip(columns) {
                *width = (*width).max(column.chars().count());
            }
        }
        for (place, (columns, notes)) in lines.iter().enumerate() {
            let mut line = String::new();
            for (column, width) in columns.iter().zip(widths) {
                write!(line, "{column:width$}  ")?;
            }
            let newline = if place > 0 { "\n" } else { "" };
            write!(f, "{newline}{}", format!("{line}{notes}").trim_end())?;
        }
        Ok(())
    }
}

fn line(tree: &Tree, prefix: &str) -> ([String; COLUMNS], String) {
    let actor = tree.actor.map(|actor| actor.to_string()).unwrap_or_else(|| "–".to_owned());
    let restart = tree.restart.map(|restart| restart.to_string()).unwrap_or_default();
    let label = format!("{prefix}{}", on_one_line(&tree.id));
    ([label, actor, tree.status.as_str().to_owned(), restart], notes(tree).join("; "))
}

fn notes(tree: &Tree) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(tree.supervision.map(|supervision| supervision.to_string()));
    if tree.significant {
        notes.push("significant".to_owned());
    }
    if let Some(name) = tree.name.as_ref().filter(|name| **name != tree.id) {
        notes.push(format!("registered as {name}"));
    }
    if tree.direct {
        notes.push("spawned directly".to_owned());
    }
    if let Some(left) = tree.backoff {
        notes.push(format!("starts in {left:.1?}"));
    }
    match tree.restarts {
        0 => {}
        1 => notes.push("restarted once".to_owned()),
        times => notes.push(format!("restarted {times} times")),
    }
    if let Some(reason) = &tree.last_exit {
        notes.push(format!("last exit: {}", on_one_line(&reason.to_string())));
    }
    notes
}

/// Without line breaks and the like, and not too long.
fn on_one_line(text: &str) -> String {
    let mut line: String = text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        line.push('…');
    }
    line
}

// Here and not with the type: the value knows nothing of how it is drawn.
impl Tree {
    /// The tree as a graph in Graphviz's language: `dot -Tsvg`. Supervisors are boxes, workers are ellipses; actors
    /// that do not run are dashed.
    pub fn to_dot(&self) -> String {
        let mut dot = String::from(
            "digraph supervision {\n  graph [ordering=out];\n  \
             node [fontname=\"sans-serif\", fontsize=10, style=filled, fillcolor=\"#eef4ea\"];\n",
        );
        let mut further = vec![(self, None)];
        let mut number = 0;
        while let Some((tree, parent)) = further.pop() {
            node(tree, number, parent, &mut dot);
            further.extend(tree.children.iter().rev().map(|child| (child, Some(number))));
            number += 1;
        }
        dot.push_str("}\n");
        dot
    }
}

fn node(tree: &Tree, number: usize, parent: Option<usize>, dot: &mut String) {
    let shape = match tree.kind {
        ChildKind::Supervisor => "box",
        ChildKind::Worker => "ellipse",
    };
    let looks = match tree.status {
        TreeStatus::Running => "",
        TreeStatus::Stopped => ", style=\"filled,dashed\", fillcolor=\"#eeeeee\"",
        _ => ", style=\"filled,dashed\", fillcolor=\"#fbe9d0\"",
    };
    let lines: Vec<String> = label(tree).iter().map(|line| quoted(line)).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(dot, "  n{number} [shape={shape}{looks}, label=\"{}\"];", lines.join("\\n"));
    if let Some(parent) = parent {
        let _ = writeln!(dot, "  n{parent} -> n{number};");
    }
}

fn label(tree: &Tree) -> Vec<String> {
    let mut lines = vec![on_one_line(&tree.id)];
    let actor = tree.actor.map(|actor| format!("{actor} ")).unwrap_or_default();
    let restart = tree.restart.map(|restart| format!(", {restart}")).unwrap_or_default();
    lines.push(format!("{actor}{}{restart}", tree.status.as_str()));
    lines.extend(notes(tree));
    lines
}

/// As the inside of a quoted string of Graphviz's language, where a backslash begins an escape.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::exit::ExitReason;
    use crate::supervisor::child_rules::{AutoShutdown, Restart};
    use crate::supervisor::restart::{RestartIntensity, Strategy};
    use crate::supervisor::tree::Supervision;

    fn child(id: &str, kind: ChildKind, status: TreeStatus) -> Tree {
        let mut child = Tree::leaf(id.to_owned(), kind, status, None);
        child.restart = Some(Restart::Permanent);
        child
    }

    fn sample() -> Tree {
        let intensity = RestartIntensity::default();
        let auto_shutdown = AutoShutdown::AnySignificant;
        let supervision = Some(Supervision { strategy: Strategy::OneForAll, auto_shutdown, intensity, used: 2 });
        let failed = ExitReason::Failed("said \"no\"\nand \\ went".into());
        let mut waiting = child("b", ChildKind::Worker, TreeStatus::Restarting);
        (waiting.backoff, waiting.restarts) = (Some(Duration::from_millis(1500)), 2);
        waiting.last_exit = Some(failed);
        let mut named = child("a", ChildKind::Worker, TreeStatus::Running);
        (named.name, named.significant) = (Some("clerk".into()), true);
        let inner = child("inner", ChildKind::Supervisor, TreeStatus::Silent);
        let mut top = child("top", ChildKind::Supervisor, TreeStatus::Running);
        (top.supervision, top.children, top.restart) = (supervision, vec![named, inner, waiting], None);
        top
    }

    #[test]
    fn a_tree_is_drawn_in_aligned_columns_with_what_there_is_to_say_at_the_end() {
        assert_eq!(
            sample().to_string(),
            "top        –  running                one-for-all, 3 restarts within 5s (2 used), \
             stops when any significant children have ended\n\
             ├── a      –  running     permanent  significant; registered as clerk\n\
             ├── inner  –  silent      permanent\n\
             └── b      –  restarting  permanent  \
             starts in 1.5s; restarted 2 times; last exit: failed: said \"no\" and \\ went"
        );
    }

    #[test]
    fn a_graph_has_a_node_for_each_actor_an_edge_for_each_child_and_quotes_what_it_has_to() {
        let dot = sample().to_dot();
        for (line, text) in [
            ("n0", "[shape=box, label=\"top\\nrunning"),
            ("n1", "[shape=ellipse, label=\"a\\nrunning, permanent\\nsignificant\\nregistered as clerk\"]"),
            ("n3", "said \\\"no\\\" and \\\\ went\"]"),
        ] {
            let line = dot.lines().find(|found| found.starts_with(&format!("  {line} ["))).unwrap();
            assert!(line.contains(text), "{line}");
        }
        let edges: Vec<&str> = dot.lines().filter(|line| line.contains("->")).collect();
        assert_eq!(edges, ["  n0 -> n1;", "  n0 -> n2;", "  n0 -> n3;"]);
    }

    #[test]
    fn a_text_of_any_length_and_with_line_breaks_stays_on_its_line() {
        let long = "x\n".repeat(1000);
        assert_eq!(on_one_line(&long).chars().count(), MAX_TEXT + 1);
        assert!(!on_one_line(&long).contains('\n'));
        assert_eq!(on_one_line("short"), "short");
    }
}
