//! What undo does after which step. The rules stand in the table of the actions, and for people in ARCHITECTURE.md. A step that
//! never began is in neither: there is nothing to undo.

use crate::plan_id::PlanKind;

/// What undo does for one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undo {
    /// Nothing: the step left nothing that would have to be undone, or what it left goes with the whole cluster.
    Nothing,
    /// The action restores what was there before.
    Revert,
    /// The same; but what etcd wrote since stays in its place as long as other members count on it: until the learner that the
    /// plan added is removed again.
    RevertUnlessMember,
    /// Nothing is undone, and undo says that nobody knows how far the step came.
    Unknown,
    /// Nothing is undone, and undo says what stays: etcd has no way back.
    Stays,
}

/// What undo does for the steps of one action.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UndoRule {
    tried: Undo,
    done: Undo,
    in_plan: Option<(PlanKind, Undo)>,
}

/// However far the step came.
pub(super) const fn always(undo: Undo) -> UndoRule {
    tried_or_done(undo, undo)
}

/// Whether it was only tried, and may have been done all the same, or is done.
pub(super) const fn tried_or_done(tried: Undo, done: Undo) -> UndoRule {
    UndoRule {
        tried,
        done,
        in_plan: None,
    }
}

impl UndoRule {
    /// In plans of one kind it is this.
    pub(super) const fn but_in(mut self, kind: PlanKind, undo: Undo) -> Self {
        self.in_plan = Some((kind, undo));
        self
    }

    /// What undo does in a plan of a kind.
    pub(crate) fn of(self, kind: PlanKind, was_done: bool) -> Undo {
        match self.in_plan {
            Some((other, undo)) if other == kind => undo,
            _ if was_done => self.done,
            _ => self.tried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RULES;
    use super::*;

    /// The table of the documents.
    const ARCHITECTURE: &str = include_str!("../../../../../ARCHITECTURE.md");

    fn words(undo: Undo) -> &'static str {
        match undo {
            Undo::Nothing => "nothing",
            Undo::Revert => "revert",
            Undo::RevertUnlessMember => "revert, but the data of a member stays",
            Undo::Unknown => "say that nobody knows how far it came",
            Undo::Stays => "say that it stays",
        }
    }

    #[test]
    fn what_other_members_count_on_and_what_a_recovery_undoes_as_a_whole_are_exceptions() {
        use crate::plan_id::PlanKind::{Manifest, Recover, Replace, Restore};
        let rule = |name: &str| {
            let mut rules = RULES.iter();
            let (_, rule, _) = rules.find(|(action, ..)| *action == name).unwrap();
            *rule
        };
        let swap = rule("SwapData");
        assert_eq!(swap.of(Replace, true), Undo::RevertUnlessMember);
        for kind in [Restore, Recover, Manifest] {
            assert_eq!(swap.of(kind, true), Undo::Revert);
        }
        for action in ["Promote", "RemoveMember"] {
            let rule = rule(action);
            assert_eq!(rule.of(Replace, true), Undo::Stays, "{action}");
            assert_eq!(rule.of(Replace, false), Undo::Unknown, "{action}");
            assert_eq!(rule.of(Recover, true), Undo::Nothing, "{action}");
        }
        assert_eq!(rule("AddLearner").of(Recover, true), Undo::Nothing);
        assert_eq!(rule("AddLearner").of(Replace, true), Undo::Revert);
    }

    #[test]
    fn the_documents_say_what_undo_does_for_every_action() {
        let mut table = String::new();
        for (action, rule, how) in RULES {
            let in_plan = rule.in_plan.map_or(String::new(), |(kind, undo)| {
                format!("{}: {}", kind.name(), words(undo))
            });
            let (tried, done) = (words(rule.tried), words(rule.done));
            table.push_str(&format!(
                "| {action} | {done} | {tried} | {in_plan} | {how} |\n"
            ));
        }
        assert!(ARCHITECTURE.contains(&table), "put this there:\n{table}");
    }
}
