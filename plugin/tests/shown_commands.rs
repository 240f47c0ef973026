//! Commands that are shown for copying are built of words ([`etcd_operations::shell::CommandLine`]), which quotes them: none
//! is written with a name put into its text.

use std::collections::BTreeSet;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;

use clap::CommandFactory;

/// What a command or a flag with a value begins with.
const BEGINNINGS: [&str; 36] = [
    "kubectl ",
    "systemctl ",
    "crictl ",
    "journalctl ",
    "kubeadm ",
    "ssh ",
    "ssh-keygen ",
    "ssh-add ",
    "sudo ",
    "mv ",
    "rm ",
    "cp ",
    "ls ",
    "du ",
    "find /",
    "chown ",
    "chmod ",
    "mkdir ",
    "umount ",
    "ip addr",
    "cat ",
    "tar ",
    "curl ",
    "etcdctl ",
    "etcdutl ",
    "openssl ",
    "scp ",
    "tail ",
    "helm ",
    "kill ",
    "touch ",
    "--user ",
    "--ssh ",
    "--without ",
    "--master ",
    "--endpoint ",
];

/// What ends a command in a sentence.
const ENDS: [char; 6] = [';', ',', ')', '`', '\'', '\n'];

/// Words that no command has before what is put into it: the text is a sentence.
const OF_SENTENCES: [&str; 15] = [
    "a", "and", "as", "does", "for", "gave", "in", "is", "it", "not", "of", "on", "says", "the",
    "with",
];

/// All source files of a crate but those of tests.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_tests =
            name.contains("tests") || name.contains("samples") || name.contains("fixtures");
        if path.is_dir() && !of_tests {
            sources(&path, found);
        } else if name.ends_with(".rs") && !of_tests {
            found.push(path);
        }
    }
}

/// A source up to its tests. `mod tests;` only names another file: what follows it is read.
fn without_tests(source: &str) -> &str {
    const BEGINS: &str = "#[cfg(test)]\nmod ";
    let mut all = source.match_indices(BEGINS).map(|(at, _)| at);
    let has_body = |at: &usize| {
        let line = source[at + BEGINS.len()..].lines().next();
        line.is_some_and(|line| line.contains('{'))
    };
    &source[..all.find(has_body).unwrap_or(source.len())]
}

/// The texts in quotes of a source file, up to its tests.
fn literals(source: &str) -> Vec<String> {
    let mut chars = without_tests(source).chars().peekable();
    let mut found = Vec::new();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => drop(chars.by_ref().find(|c| *c == '\n')),
            ('\'', _) => character(&mut chars),
            ('r', Some('#' | '"')) => found.extend(raw(&mut chars)),
            ('"', _) => found.push(quoted(&mut chars)),
            _ => {}
        }
    }
    found
}

/// Behind a quote that begins a character or a lifetime.
fn character(chars: &mut Peekable<Chars<'_>>) {
    let mut ahead = chars.clone();
    let length = match (ahead.next(), ahead.next()) {
        (Some('\\'), Some(_)) => 2 + ahead.position(|c| c == '\'').unwrap_or(0) + 1,
        (Some(_), Some('\'')) => 2,
        _ => 0,
    };
    chars.by_ref().take(length).for_each(drop);
}

fn quoted(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n') => text.push('\n'),
                Some(c) => text.push(c),
                None => {}
            },
            c => text.push(c),
        }
    }
    text
}

fn raw(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut end = String::from("\"");
    while chars.next_if_eq(&'#').is_some() {
        end.push('#');
    }
    chars.next_if_eq(&'"')?;
    let mut text = String::new();
    while !text.ends_with(&end) {
        text.push(chars.next()?);
    }
    text.truncate(text.len() - end.len());
    Some(text)
}

/// Whether a command in a text has something put into it.
fn is_filled_in(text: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| {
        text.match_indices(beginning).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let is_word = before.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '.');
            let rest = &text[at + beginning.len()..];
            let command = rest.split(ENDS).next().unwrap_or_default();
            // A new sentence.
            let command = command.split(". ").next().unwrap_or_default();
            is_word
                && command
                    .split_once('{')
                    .is_some_and(|(words, _)| !is_sentence(words))
        })
    })
}

fn is_sentence(words: &str) -> bool {
    let mut words = words.split_whitespace();
    words.any(|word| OF_SENTENCES.contains(&word.trim_end_matches(':')))
}

#[test]
fn no_command_is_shown_with_a_name_put_into_its_text() {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src",
        "core/src",
        "../jobs/operations/src",
        "../jobs/agent/src",
        "../jobs/datadir/src",
    ] {
        sources(&plugin.join(folder), &mut files);
    }
    assert!(files.len() > 200, "{}", files.len());
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("a source can be read");
        let filled = literals(&source)
            .into_iter()
            .filter(|text| is_filled_in(text));
        found.extend(filled.map(|text| format!("{}: {text}", file.display())));
    }
    assert!(
        found.is_empty(),
        "etcd_operations::shell::CommandLine quotes:\n{}",
        found.join("\n")
    );
}

/// The crates under the command line: they advise with types, and the command line says how that is typed.
const LIBRARIES: [&str; 4] = [
    "core/src",
    "../jobs/operations/src",
    "../jobs/agent/src",
    "../jobs/datadir/src",
];

/// Flags that etcd, crictl and journalctl have as well, which libraries name.
const OF_OTHERS: [&str; 5] = [
    "initial-cluster",
    "initial-advertise-peer-urls",
    "wal-dir",
    "tail",
    "since",
];

/// A flag of `etcd-job` itself, in the file that starts another `etcd-job`.
const OF_JOB: (&str, &str) = ("jobs/agent/src/run.rs", "--folder");

/// The flags of a command and of those below it, but those that are kubectl's own; and the names of the commands.
fn names(command: &clap::Command, flags: &mut BTreeSet<String>, commands: &mut BTreeSet<String>) {
    for arg in command.get_arguments() {
        let is_kubectls = arg.get_help_heading() == Some("Connection (as kubectl's own)");
        let flag = arg.get_long().filter(|_| !is_kubectls);
        flags.extend(
            flag.filter(|flag| !OF_OTHERS.contains(flag))
                .map(str::to_owned),
        );
    }
    for below in command.get_subcommands() {
        commands.insert(below.get_name().to_owned());
        names(below, flags, commands);
    }
}

/// A command or flag of this program's in a text. Where it is built of parts, one of them is its beginning. A command is seen
/// behind `kubectl etcd` only: its words alone may be any sentence's.
fn named(text: &str, flags: &BTreeSet<String>, commands: &BTreeSet<String>) -> Option<String> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let command = text.split("kubectl etcd ").skip(1).find_map(|rest| {
        let word = rest.split(ends).next()?;
        commands.contains(word).then(|| word.to_owned())
    });
    command.or_else(|| {
        text.match_indices("--").find_map(|(at, _)| {
            let begins = text[..at].chars().next_back().is_none_or(ends);
            let word = text[at + 2..].split(ends).next()?;
            (begins && flags.contains(word)).then(|| word.to_owned())
        })
    })
}

#[test]
fn no_library_knows_the_name_of_a_command_or_a_flag() {
    let (mut flags, mut commands) = (BTreeSet::new(), BTreeSet::new());
    let mut whole = kubectl_etcd::cli::Cli::command();
    whole.build();
    names(&whole, &mut flags, &mut commands);
    assert!(flags.len() > 40 && commands.contains("disarm"), "{flags:?}");
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in LIBRARIES {
        sources(&plugin.join(folder), &mut files);
    }
    assert!(files.len() > 200, "{}", files.len());
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).expect("a source can be read");
        for text in literals(&source) {
            if text == OF_JOB.1 && file.ends_with(OF_JOB.0) {
                continue;
            }
            if let Some(name) = named(&text, &flags, &commands) {
                found.push(format!("{}: {name}: {text:.120}", file.display()));
            }
        }
    }
    assert!(
        found.is_empty(),
        "etcd_operations::advice has types for them:\n{}",
        found.join("\n")
    );
}

#[test]
fn what_is_advised_is_there_to_be_typed() {
    let source = include_str!("../src/advice.rs");
    let (mut flags, mut commands) = (BTreeSet::new(), BTreeSet::new());
    let mut whole = kubectl_etcd::cli::Cli::command();
    whole.build();
    names(&whole, &mut flags, &mut commands);
    let all = literals(source);
    assert!(all.len() > 50, "{}", all.len());
    for text in all {
        if let Some(path) = text.strip_prefix("kubectl etcd ") {
            let mut command = &whole;
            for word in path.split(' ') {
                command = command.find_subcommand(word).expect(path);
            }
        } else if let Some(flag) = text.strip_prefix("--") {
            let kubectls = ["as", "context", "kubeconfig", "server", "user"];
            assert!(flags.contains(flag) || kubectls.contains(&flag), "{flag}");
        }
    }
}

#[test]
fn examples_in_help_fit_into_100_columns() {
    // Prose is broken by clap.
    fn long(command: &clap::Command, found: &mut Vec<String>) {
        let help = command.get_after_help().map(ToString::to_string);
        for line in help.unwrap_or_default().lines() {
            if line.starts_with(' ') && line.chars().count() > 100 {
                found.push(format!("{}: {line}", command.get_name()));
            }
        }
        command.get_subcommands().for_each(|one| long(one, found));
    }
    let mut found = Vec::new();
    long(&kubectl_etcd::cli::Cli::command(), &mut found);
    assert!(
        found.is_empty(),
        "they would be broken in the middle:\n{}",
        found.join("\n")
    );
}

#[test]
fn what_is_put_into_a_command_is_seen() {
    for text in [
        "run kubectl etcd member replace {name} --ssh",
        "mv {0} {0}.old",
        "--ssh {node}=ADDRESS says",
    ] {
        assert!(is_filled_in(text), "{text}");
    }
    for text in [
        "{command} says which",
        "`kubectl etcd status` shows {node}",
        "kubectl etcd defrag; {hint}",
        "{name}: see kubectl etcd status",
        "confirm {x}",
        "sudo for {user} takes a password",
        "etcdctl in {pod} gave no answer",
    ] {
        assert!(!is_filled_in(text), "{text}");
    }
    let source = "let x = format!(\"mv {a} \\\n   b\", '\"', '\\''); // \"rm {a}\"\nlet y: &'static str = r#\"cp {b}\"#;\n#[cfg(test)]\nmod tests { \"rm {c}\" }";
    assert_eq!(literals(source), ["mv {a} b", "cp {b}"]);
    let in_other_file = "#[cfg(test)]\nmod tests;\nlet x = \"mv {a}\";";
    assert_eq!(literals(in_other_file), ["mv {a}"]);
}
