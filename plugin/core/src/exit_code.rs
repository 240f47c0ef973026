//! The exit codes: what scripts go by. `plugin/docs/output.md` and the README say the same.

use std::fmt;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, and healthy.
    Healthy = 0,
    /// It was tried and failed; also: the user's rights do not suffice.
    Failed = 1,
    /// What was typed cannot be meant, or the kubeconfig cannot be used.
    Usage = 2,
    /// Done, but the cluster is degraded or a check warns.
    Degraded = 3,
    /// The quorum is lost, or data is damaged.
    QuorumLostOrDamaged = 4,
    /// Refused by a safety check, or not confirmed.
    Refused = 5,
    /// Nothing could be reached.
    NothingReached = 6,
    /// Ctrl-C or a signal ended it: 128 and the number of SIGINT, as in a shell.
    Interrupted = 130,
}

impl ExitCode {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl PartialEq<u8> for ExitCode {
    fn eq(&self, code: &u8) -> bool {
        self.code() == *code
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Verdict};

    /// Each with how its line begins in the table, and with its words in the README.
    const DOCUMENTED: [(ExitCode, &str, &str); 8] = [
        (ExitCode::Healthy, "done, and healthy", "done and healthy"),
        (ExitCode::Failed, "it was tried and failed", "it failed"),
        (ExitCode::Usage, "usage", "usage"),
        (
            ExitCode::Degraded,
            "done, but the cluster is degraded",
            "done, but degraded",
        ),
        (
            ExitCode::QuorumLostOrDamaged,
            "the quorum is lost",
            "quorum lost or data damaged",
        ),
        (
            ExitCode::Refused,
            "refused by a safety check",
            "refused by a safety check",
        ),
        (
            ExitCode::NothingReached,
            "nothing could be reached",
            "nothing could be reached",
        ),
        (ExitCode::Interrupted, "interrupted", "interrupted"),
    ];

    #[test]
    fn the_documents_say_the_same() {
        let page = include_str!("../../docs/output.md");
        let rows = page.lines().filter_map(|line| {
            let (code, meaning) = line.strip_prefix("| ")?.split_once(" | ")?;
            Some((code.parse::<u8>().ok()?, meaning))
        });
        let rows: Vec<(u8, &str)> = rows.collect();
        assert_eq!(rows.len(), DOCUMENTED.len(), "{rows:?}");
        let readme = include_str!("../../../README.md").replace('\n', " ");
        for ((code, meaning), (exit, begins, words)) in rows.into_iter().zip(DOCUMENTED) {
            assert_eq!(exit, code, "{meaning}");
            assert!(meaning.starts_with(begins), "{code}: {meaning}");
            assert!(
                readme.contains(&format!("{code} {words}")),
                "{code} {words}"
            );
        }
    }

    #[test]
    fn each_ending_has_its_code() {
        let verdicts = [
            Verdict::Healthy,
            Verdict::Degraded,
            Verdict::QuorumLostOrDamaged,
            Verdict::NothingReached,
        ];
        assert_eq!(verdicts.map(|one| one.exit_code().code()), [0, 3, 4, 6]);
        let kinds = [
            ErrorKind::Failed,
            ErrorKind::NotAllowed,
            ErrorKind::Usage,
            ErrorKind::Degraded,
            ErrorKind::QuorumLostOrDamaged,
            ErrorKind::Refused,
            ErrorKind::NothingReached,
            ErrorKind::Interrupted,
        ];
        let codes = kinds.map(|one| one.exit_code().code());
        assert_eq!(codes, [1, 1, 2, 3, 4, 5, 6, 130]);
    }
}
