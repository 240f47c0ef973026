//! How a list of members is shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::views::View;
use crate::views::grid::{Grid, Paint, Tone, field, maybe, one_line, painted};

/// The members of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Members {
    /// [`crate::views::API_VERSION`].
    pub api_version: &'static str,
    /// `Members`.
    pub kind: &'static str,
    /// The cluster's id.
    pub cluster_id: String,
    /// Whose list it is.
    pub whose: Whose,
    /// The id of the member that answered.
    pub answered_by: String,
    /// The members, by name.
    pub members: Vec<MemberRow>,
}

/// Whose view a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Whose {
    /// The quorum agreed to it.
    Quorum,
    /// One member's own, without a quorum: it may be out of date.
    OneMember,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemberRow {
    /// Its id.
    pub id: String,
    /// Its name; absent until it has started for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The control-plane node it is on, if one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Whether it is a learner, without a vote.
    pub learner: bool,
    /// Whether it has ever started.
    pub started: bool,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

impl View for Members {
    fn table(&self, wide: bool, paint: Paint) -> String {
        let mut text = table(&self.members, wide, paint);
        if self.whose == Whose::OneMember {
            let name = self
                .members
                .iter()
                .find(|member| member.id == self.answered_by);
            let name = name
                .and_then(|member| member.name.as_deref())
                .unwrap_or(&self.answered_by);
            text.push_str(&painted("quorum lost", Tone::Bad, paint));
            text.push_str(&format!(
                ": this is {}'s own list, which may be out of date\n",
                one_line(name)
            ));
        }
        text
    }

    fn names(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.name.clone().unwrap_or_else(|| member.id.clone()))
            .collect()
    }
}

/// The members as a table.
pub(super) fn table(members: &[MemberRow], wide: bool, paint: Paint) -> String {
    let mut grid = Grid::new("MEMBER|NODE|ID|VOTE|STARTED|PEER URLS").and(wide, "CLIENT URLS");
    for member in members {
        let mut fields = vec![
            maybe(member.name.as_deref()),
            maybe(member.node.as_deref()),
            field(&member.id),
            if member.learner {
                field("learner").tone(Tone::Warn)
            } else {
                field("voter")
            },
            if member.started {
                field("yes")
            } else {
                field("never").tone(Tone::Warn)
            },
            field(member.peer_urls.join(",")),
        ];
        if wide {
            fields.push(field(member.client_urls.join(",")));
        }
        grid.row(fields);
    }
    grid.draw(paint)
}
