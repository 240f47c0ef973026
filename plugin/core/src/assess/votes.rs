//! What a change of the members does to the quorum.

use schemars::JsonSchema;
use serde::Serialize;

use super::model::Quorum;
use crate::format::counted;

/// Votes: how many there are, and how many of them may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Votes {
    /// Members with a vote.
    pub voters: usize,
    /// Those of them that are healthy.
    pub healthy: usize,
    /// How many make a quorum.
    pub needed: usize,
    /// Whether so many are healthy.
    pub holds: bool,
    /// How many of the healthy ones may fail before it is lost.
    pub may_fail: usize,
}

/// A change of who votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoteChange {
    /// None: what has no vote comes or goes.
    None,
    /// One more, which is healthy or not.
    OneMore {
        /// Whether it is.
        healthy: bool,
    },
    /// One less, which was healthy or not.
    OneLess {
        /// Whether it was.
        healthy: bool,
    },
}

impl Votes {
    /// So many voters, so many of them healthy.
    fn new(voters: usize, healthy: usize) -> Self {
        let needed = voters / 2 + 1;
        Self {
            voters,
            healthy,
            needed,
            holds: voters > 0 && healthy >= needed,
            may_fail: healthy.saturating_sub(needed),
        }
    }

    /// As they are.
    pub fn of(quorum: Quorum) -> Self {
        Self::new(quorum.voters, quorum.healthy_voters)
    }

    /// As they are after a change.
    #[must_use]
    pub fn after(self, change: VoteChange) -> Self {
        match change {
            VoteChange::None => self,
            VoteChange::OneMore { healthy } => {
                Self::new(self.voters + 1, self.healthy + usize::from(healthy))
            }
            VoteChange::OneLess { healthy } => Self::new(
                self.voters.saturating_sub(1),
                self.healthy.saturating_sub(usize::from(healthy)),
            ),
        }
    }

    /// In a sentence: `2 of 3 members healthy, 2 needed, no further failure is tolerated`.
    pub fn words(self) -> String {
        let ending = match (self.holds, self.may_fail) {
            (false, _) => "the quorum is lost".to_owned(),
            (true, 0) if self.healthy == self.voters => "no failure is tolerated".to_owned(),
            (true, 0) => "no further failure is tolerated".to_owned(),
            (true, 1) => "one may fail".to_owned(),
            (true, count) => format!("{count} may fail"),
        };
        format!(
            "{} of {} healthy, {} needed, {ending}",
            self.healthy,
            counted(self.voters, "voting member"),
            self.needed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_cost_of_a_change_is_told() {
        let three = Votes::new(3, 2);
        assert_eq!(
            three.words(),
            "2 of 3 voting members healthy, 2 needed, no further failure is tolerated"
        );
        let less = three.after(VoteChange::OneLess { healthy: false });
        assert_eq!(
            less.words(),
            "2 of 2 voting members healthy, 2 needed, no failure is tolerated"
        );
        let lost = three.after(VoteChange::OneLess { healthy: true });
        assert!(!lost.holds);
        assert_eq!(
            lost.words(),
            "1 of 2 voting members healthy, 2 needed, the quorum is lost"
        );
        let unstarted = Votes::new(1, 1).after(VoteChange::OneMore { healthy: false });
        assert!(!unstarted.holds, "one of two is no majority");
        assert!(
            !Votes::new(1, 1)
                .after(VoteChange::OneLess { healthy: true })
                .holds
        );
    }

    proptest! {
        #[test]
        fn a_quorum_holds_when_more_than_half_are_healthy(voters in 0usize..12, sick in 0usize..12) {
            let healthy = voters.saturating_sub(sick);
            let votes = Votes::new(voters, healthy);
            prop_assert_eq!(votes.holds, healthy * 2 > voters);
            if votes.holds {
                prop_assert!((healthy - votes.may_fail) * 2 > voters);
                prop_assert!((healthy - votes.may_fail - 1) * 2 <= voters);
            }
        }

        #[test]
        fn one_more_and_one_less_is_as_before(voters in 1usize..12, sick in 0usize..12, healthy: bool) {
            let votes = Votes::new(voters, voters.saturating_sub(sick));
            let there_and_back = votes.after(VoteChange::OneMore { healthy }).after(VoteChange::OneLess { healthy });
            prop_assert_eq!(there_and_back, votes);
        }
    }
}
