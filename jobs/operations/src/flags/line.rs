//! A command line word by word: which of them are flags, and how each is written.

use super::{FlagError, SHELLS, SWITCHES, base_name};

/// How a flag and its value are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// `--flag=value`, in one word.
    Joined,
    /// `--flag` alone: a switch that is on.
    Bare,
    /// `--flag` and its value as the next word.
    NextWord,
}

/// A flag as it stands on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFlag {
    /// Its name without dashes. `_` is `-`: that is how the programs of Kubernetes take it, and no flag of etcd has one.
    pub name: String,
    /// Its value, `true` for a bare one.
    pub value: String,
    /// The place of its word on the line, the program being at 0.
    pub at: usize,
    /// How it is written.
    pub written: Written,
}

/// The flags of a command line in their order. The words before the first one are the program and what starts it
/// (`tini -- etcd …`).
///
/// # Errors
/// [`FlagError::Shell`] when a shell starts the program.
pub fn given(words: &[String]) -> Result<Vec<GivenFlag>, FlagError> {
    if let Some(program) = words
        .first()
        .filter(|word| SHELLS.contains(&base_name(word)))
    {
        return Err(FlagError::Shell(program.clone()));
    }
    let mut given = Vec::new();
    let mut at = first_flag(words);
    while let Some(word) = words.get(at) {
        if let Some(flag) = flag_of(word) {
            given.push(read(flag, at, words));
        }
        at += match given.last() {
            Some(last) if last.at == at && last.written == Written::NextWord => 2,
            _ => 1,
        };
    }
    Ok(given)
}

fn read(flag: &str, at: usize, words: &[String]) -> GivenFlag {
    let (name, value, written) = match flag.split_once('=') {
        Some((name, value)) => (name, value, Written::Joined),
        None => {
            let next = words.get(at + 1).filter(|_| !SWITCHES.contains(&flag));
            match next.filter(|next| flag_of(next).is_none() && *next != "--") {
                Some(next) => (flag, next.as_str(), Written::NextWord),
                None => (flag, "true", Written::Bare),
            }
        }
    };
    GivenFlag {
        name: plain_name(name),
        value: value.to_owned(),
        at,
        written,
    }
}

/// A flag's name as it is compared.
pub(crate) fn plain_name(name: &str) -> String {
    name.replace('_', "-")
}

/// The flag's name (and value) behind one or two dashes; none for other words. Negative numbers are values.
pub(super) fn flag_of(word: &str) -> Option<&str> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        .then_some(name)
}

/// Where the program's own flags begin.
pub(crate) fn first_flag(words: &[String]) -> usize {
    let program = words.iter().position(|word| {
        matches!(base_name(word), "etcd" | "kube-apiserver") && flag_of(word).is_none()
    });
    let flag = words
        .iter()
        .position(|word| flag_of(word).is_some())
        .unwrap_or(words.len());
    // `--name etcd` is no program.
    match program {
        Some(program) if program < flag => program + 1,
        _ => flag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_knows_its_word_and_how_it_is_written() {
        let words: Vec<String> =
            "tini -- etcd --name=a --data-dir /d -force-new-cluster --max_txn_ops -1"
                .split(' ')
                .map(str::to_owned)
                .collect();
        let seen: Vec<_> = given(&words)
            .unwrap()
            .into_iter()
            .map(|flag| (flag.name, flag.value, flag.at, flag.written))
            .collect();
        let flag =
            |name: &str, value: &str, at, written| (name.to_owned(), value.to_owned(), at, written);
        assert_eq!(
            seen,
            [
                flag("name", "a", 3, Written::Joined),
                flag("data-dir", "/d", 4, Written::NextWord),
                flag("force-new-cluster", "true", 6, Written::Bare),
                flag("max-txn-ops", "-1", 7, Written::NextWord),
            ]
        );
    }
}
