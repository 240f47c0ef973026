//! Whether a process is the one a manifest asks for, by its own command line.

use std::fmt;

use crate::flags::base_name;

/// The command line that kubelet gives a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandLine {
    /// Its words, with `$(VAR)` replaced.
    words: Vec<String>,
    /// Whether the first word is the program, and not what the image has before these.
    with_program: bool,
}

impl CommandLine {
    pub(super) fn new(words: Vec<String>, with_program: bool) -> Self {
        Self {
            words,
            with_program,
        }
    }

    /// In what a process differs from it. None: it is this one.
    ///
    /// An image may have a program of its own that starts the one that is meant, so what stands before is not all looked
    /// at.
    pub(super) fn differs(&self, process: &[String]) -> Option<Differs> {
        let (program, words) = match self.words.split_first() {
            Some((program, words)) if self.with_program => (Some(program), words),
            _ => (None, self.words.as_slice()),
        };
        let lacks = |word: &String| Differs::Lacks { word: word.clone() };
        let Some((before, given)) = split_behind(process, words.len()) else {
            let missing = words.iter().find(|word| !process.contains(word));
            return missing.or(program).map(lacks);
        };
        let mut pairs = words.iter().zip(given);
        if let Some((word, _)) = pairs.find(|(word, given)| !is_meant(word, given)) {
            let has = |word: &String| process.iter().any(|given| is_meant(word, given));
            return words
                .iter()
                .find(|word| !has(word))
                .or(Some(word))
                .map(lacks);
        }
        match (before, program) {
            ([.., last], None) if last.starts_with('-') => {
                Some(Differs::Has { word: last.clone() })
            }
            ([_, .., last], Some(program)) if base_name(last) != base_name(program) => {
                Some(Differs::Has { word: last.clone() })
            }
            _ => None,
        }
    }
}

/// Its last so many words, and those before.
fn split_behind(process: &[String], words: usize) -> Option<(&[String], &[String])> {
    process.split_at_checked(process.len().checked_sub(words)?)
}

/// In what a process is another one than the manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Differs {
    /// A word of the manifest is not where it should be.
    Lacks {
        /// Which.
        word: String,
    },
    /// It has a word that the manifest has not.
    Has {
        /// Which.
        word: String,
    },
    /// Its container was made of another image.
    Image {
        /// Which.
        image: String,
    },
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lacks { word } => write!(f, "without {word}"),
            Self::Has { word } => write!(f, "with {word}"),
            Self::Image { image } => write!(f, "from the image {image}"),
        }
    }
}

/// Whether a word was given. A variable that is not known here (the pod's address, say) can be anything.
fn is_meant(word: &str, given: &str) -> bool {
    match word.split_once("$(") {
        Some((known, rest)) => {
            let behind = rest.rsplit_once(')').map_or("", |(_, behind)| behind);
            given.len() >= known.len() + behind.len()
                && given.starts_with(known)
                && given.ends_with(behind)
        }
        None => word == given,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn other_flags_are_another_process() {
        let line = CommandLine::new(words("etcd --name=a --quota=2"), true);
        let differs = |process: &str| line.differs(&words(process)).map(|one| one.to_string());
        for same in ["etcd", "/usr/bin/etcd", "/start", "/bin/sh /bin/etcd"] {
            assert_eq!(differs(&format!("{same} --name=a --quota=2")), None);
        }
        for (other, told) in [
            ("etcd --name=a --quota=1", "without --quota=2"),
            ("etcd --quota=1 --name=a", "without --quota=2"),
            ("etcd --quota=2 --name=a", "without --name=a"),
            ("etcd --name=a", "without --quota=2"),
            ("etcd", "without --name=a"),
            ("runc init", "without --name=a"),
            ("etcd --new --name=a --quota=2", "with --new"),
            ("etcd --new yes --name=a --quota=2", "with yes"),
        ] {
            assert_eq!(differs(other).as_deref(), Some(told), "{other}");
        }
    }

    #[test]
    fn the_images_own_program_may_stand_before() {
        let line = CommandLine::new(words("--name=a --ip=$(IP):1"), false);
        let differs = |process: &str| line.differs(&words(process)).map(|one| one.to_string());
        assert_eq!(differs("/usr/bin/etcd --name=a --ip=10.0.0.1:1"), None);
        assert_eq!(
            differs("/usr/bin/etcd --name=a --ip=10.0.0.1:2").as_deref(),
            Some("without --ip=$(IP):1")
        );
        assert_eq!(
            differs("/usr/bin/etcd --x --name=a --ip=:1").as_deref(),
            Some("with --x")
        );
    }

    proptest! {
        #[test]
        fn every_process_is_its_own(line in prop::collection::vec("[-a-z=/$()]{0,8}", 1..6), before in prop::collection::vec("[a-z]{1,4}", 0..3)) {
            let meant = CommandLine::new(line.clone(), true);
            let process: Vec<String> = before.into_iter().chain(line).collect();
            prop_assert_eq!(meant.differs(&process), None);
        }

        #[test]
        fn one_word_more_or_other_is_seen(line in prop::collection::vec("--[a-z]{1,8}", 2..6), at in any::<prop::sample::Index>(), more in any::<bool>()) {
            let meant = CommandLine::new(std::iter::once("etcd".to_owned()).chain(line.clone()).collect(), true);
            let mut process = line;
            let at = at.index(process.len());
            match more {
                true => process.insert(at, "--other-word".to_owned()),
                false => process[at] = "--other-word".to_owned(),
            }
            process.insert(0, "etcd".to_owned());
            prop_assert!(meant.differs(&process).is_some());
        }
    }
}
