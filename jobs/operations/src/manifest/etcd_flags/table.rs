//! etcd's flags: which releases have them, and what their values are. The table is `flags.txt`.

use std::sync::LazyLock;

use super::Kind;

/// A flag of etcd.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownFlag {
    /// The first 3.x that has it; 4: that or an older one.
    pub(super) since: u64,
    /// The last 3.x that has it; none: the newest that is known here has it.
    pub(super) until: Option<u64>,
    /// Its name.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// How the feature is switched on that the flag stands for, from its last release on.
    pub(super) feature: Option<&'static str>,
}

/// All flags, in the order of their names.
pub(super) static ALL: LazyLock<Vec<KnownFlag>> = LazyLock::new(|| {
    let lines = include_str!("flags.txt").lines();
    lines.filter_map(known).collect()
});

/// The flag of a line; none: the line is a comment.
fn known(line: &'static str) -> Option<KnownFlag> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let (since, until) = words.next()?.split_once('-')?;
    Some(KnownFlag {
        since: since.parse().ok()?,
        until: until.parse().ok(),
        name,
        kind: kind(words.next()?)?,
        feature: words.next(),
    })
}

fn kind(word: &'static str) -> Option<Kind> {
    Some(match word.split_once(':').unwrap_or((word, "")) {
        ("text", _) => Kind::Text,
        ("switch", _) => Kind::Switch,
        ("count", _) => Kind::Count,
        ("count32", _) => Kind::SmallCount,
        ("number", _) => Kind::Number,
        ("duration", _) => Kind::Duration,
        ("retention", _) => Kind::Retention,
        ("urls", _) => Kind::Urls,
        ("one-of", all) => Kind::OneOf(all),
        ("any-case", all) => Kind::AnyCase(all),
        _ => return None,
    })
}
