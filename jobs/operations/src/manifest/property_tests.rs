//! Edits of manifests that nobody wrote.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_yaml::Value;

use super::golden_tests::{ALL, edited, image, on, parse, set, unset};
use super::*;

/// How a generated manifest is written.
#[derive(Debug, Clone)]
struct Look {
    end: &'static str,
    begin: &'static str,
    last_end: bool,
    indent: usize,
    layout: Layout,
    /// For each word: its quotes, and what stands behind and before it.
    words: Vec<(Quotes, &'static str, &'static str)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    Block,
    Line,
    Lines { comma_at_end: bool, bracket: bool },
}

#[derive(Debug, Clone, Copy)]
enum Quotes {
    None,
    Single,
    Double,
}

const BEHIND: [&str; 4] = ["", "   ", " # why", "\t# - --x=y, \"]"];
const BEFORE: [&str; 3] = ["", "# - not: a word, [", "\n#"];

fn look() -> impl Strategy<Value = Look> {
    let layout = prop_oneof![
        4 => Just(Layout::Block),
        2 => Just(Layout::Line),
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(comma_at_end, bracket)| Layout::Lines { comma_at_end, bracket }),
    ];
    let word = (
        select(vec![
            Quotes::None,
            Quotes::None,
            Quotes::Single,
            Quotes::Double,
        ]),
        select(BEHIND.as_slice()),
        select(BEFORE.as_slice()),
    );
    (
        select(vec!["\n", "\r\n"]),
        select(vec!["", "\u{feff}", "---\n", "# a comment: [\n\n"]),
        any::<bool>(),
        0..5_usize,
        layout,
        prop::collection::vec(word, 24),
    )
        .prop_map(|(end, begin, last_end, indent, layout, words)| Look {
            end,
            begin,
            last_end,
            indent,
            layout,
            words,
        })
}

impl Look {
    fn word(&self, at: usize, word: &str) -> String {
        let plain = |c: char| c.is_ascii_alphabetic() || "-=/.".contains(c);
        match self.words[at].0 {
            // What always reads as itself.
            Quotes::None if word.starts_with(['-', '/']) && word.chars().all(plain) => {
                word.to_owned()
            }
            Quotes::None | Quotes::Single => format!("'{}'", word.replace('\'', "''")),
            Quotes::Double => serde_json::to_string(word).unwrap(),
        }
    }

    fn list(&self, out: &mut String, key: &str, first: usize, words: &[String]) {
        let indent = " ".repeat(4 + self.indent);
        let written = |n: usize| self.word(first + n, &words[n]);
        match self.layout {
            Layout::Block => {
                *out += &format!("    {key}:\n");
                for n in 0..words.len() {
                    let (_, behind, before) = self.words[first + n];
                    if !before.is_empty() {
                        *out +=
                            &format!("{indent}{}\n", before.replace('\n', &format!("\n{indent}")));
                    }
                    *out += &format!(
                        "{indent}-{}{}{behind}\n",
                        " ".repeat(1 + self.indent),
                        written(n)
                    );
                }
            }
            Layout::Line => {
                let words: Vec<_> = (0..words.len()).map(written).collect();
                *out += &format!(
                    "    {key}: [{}]\n",
                    words.join([", ", ",  ", " , "][self.indent % 3])
                );
            }
            Layout::Lines {
                comma_at_end,
                bracket,
            } => {
                *out += &format!("    {key}: [\n");
                for n in 0..words.len() {
                    let (_, behind, before) = self.words[first + n];
                    if !before.is_empty() {
                        *out +=
                            &format!("{indent}{}\n", before.replace('\n', &format!("\n{indent}")));
                    }
                    let last = n + 1 == words.len();
                    let comma = if last && !comma_at_end { "" } else { "," };
                    let (behind, end) = if last && bracket {
                        ("", "]\n")
                    } else {
                        (behind, "\n")
                    };
                    *out += &format!("{indent}{}{comma}{behind}{end}", written(n));
                }
                if !bracket {
                    *out += "    ]\n";
                }
            }
        }
    }

    /// A manifest whose container runs these words.
    fn manifest(&self, command: &[String], args: &[String], image_last: bool) -> String {
        let mut text = format!(
            "{}kind: Pod # yes\nmetadata:\n  name: &x etcd\nspec:\n  hostNetwork: on\n  containers:\n  - name: *x\n",
            self.begin
        );
        if !image_last {
            text += "    image: \"etcd:1\"\n";
        }
        self.list(&mut text, "command", 0, command);
        if !args.is_empty() {
            self.list(&mut text, "args", command.len(), args);
        }
        if image_last {
            text += "    image: etcd:1 # the image\n  - {name: other, image: x, args: [--a=b]}\nstatus: {}\n";
        }
        let text = text.replace('\n', self.end);
        if self.last_end {
            text
        } else {
            text.trim_end().to_owned()
        }
    }
}

/// Flags whose names differ, each with a value, joined or in two words.
fn flags() -> impl Strategy<Value = Vec<(String, String, bool)>> {
    let value = prop_oneof![value(), "[a-z0-9/]{1,9}"];
    prop::collection::btree_map("x[a-z-]{1,6}", (value, any::<bool>()), 1..8).prop_map(|flags| {
        let flags = flags.into_iter().map(|(name, (value, joined))| {
            // In two words only what is no flag itself.
            let joined = joined || value.starts_with('-');
            (name, value, joined)
        });
        flags.collect()
    })
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9:/.,=-]{0,20}",
        "[ -~]{0,12}",
        "[^\\p{C}$]{0,8}",
        select(vec![
            "true",
            "8589934592",
            "~",
            "on",
            "a: b",
            "a #b",
            "- a",
            "1:2",
            "it's",
            "\"q\"",
            "\\"
        ])
        .prop_map(str::to_owned),
    ]
    // Variables are another matter, and `--` has a meaning of its own.
    .prop_filter("plain", |value| !value.contains('$') && value != "--")
}

fn words(flags: &[(String, String, bool)]) -> Vec<String> {
    let mut words = Vec::new();
    for (name, value, joined) in flags {
        if *joined {
            words.push(format!("--{name}={value}"));
        } else {
            words.extend([format!("--{name}"), value.clone()]);
        }
    }
    words
}

/// A manifest and its flags.
fn manifest() -> impl Strategy<Value = (String, Vec<(String, String, bool)>)> {
    (
        look(),
        flags(),
        any::<Index>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(look, flags, split, in_order, image_last)| {
            let mut flags = flags;
            if !in_order {
                flags.reverse();
            }
            // Neither of the lists is left without a flag.
            let split = split.index(flags.len()).max(usize::from(flags.len() > 1));
            let (first, second) = flags.split_at(split);
            let mut command = vec!["/bin/etcd".to_owned()];
            command.extend(words(first));
            let args = match second.len() {
                1 if first.is_empty() => {
                    command.extend(words(second));
                    Vec::new()
                }
                _ => words(second),
            };
            (look.manifest(&command, &args, image_last), flags)
        })
}

/// The flags of the first container, as another reader sees them.
fn read_flags(text: &str) -> Vec<(String, String)> {
    let value: Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    let container = &value["spec"]["containers"][0];
    let words: Vec<String> = ["command", "args"]
        .iter()
        .filter_map(|key| container.get(key)?.as_sequence())
        .flatten()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect();
    let given = crate::flags::given(&words).unwrap();
    given
        .into_iter()
        .map(|flag| (flag.name, flag.value))
        .collect()
}

/// The value with the first container's words and image taken out.
fn rest(text: &str) -> Value {
    let mut value: Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).unwrap();
    let container = value["spec"]["containers"][0].as_mapping_mut().unwrap();
    for key in ["command", "args", "image"] {
        container.remove(key);
    }
    value
}

proptest! {
    #[test]
    fn a_new_flag_comes_and_goes((text, flags) in manifest(), name in "[a-z][a-z-]{0,6}", value in value()) {
        prop_assume!(flags.iter().all(|(other, ..)| *other != name));
        let once = edited(&text, "etcd", &[set(&name, &value)]);
        let mut given = read_flags(&once);
        let at = given.iter().position(|(other, _)| *other == name).unwrap();
        prop_assert_eq!(given.remove(at).1, &*value);
        prop_assert_eq!(given, read_flags(&text));
        prop_assert_eq!(rest(&once), rest(&text));
        prop_assert_eq!(&edited(&once, "etcd", &[set(&name, &value)]), &once);
        prop_assert_eq!(edited(&once, "etcd", &[unset(&name)]), &*text);
        // Nothing that was there goes: of a list in brackets, a last word gets a comma.
        let mut left = once.lines().map(|line| line.replace(',', ""));
        let in_line = |line: &str| line.contains(": [") || line.trim_end().ends_with(']');
        let lines = text
            .lines()
            .all(|line| in_line(line) || left.any(|other| other == line.replace(',', "")));
        prop_assert!(lines);
    }

    #[test]
    fn a_flag_changes_and_changes_back((text, flags) in manifest(), which in any::<Index>(), value in value()) {
        let (name, old, joined) = which.get(&flags);
        // Then two words become one, and that a comment may prevent.
        let may_be_refused = !joined && value.starts_with('-');
        if may_be_refused && parse(&text).edit("etcd", &set(name, &value)).is_err() {
            return Ok(());
        }
        let once = edited(&text, "etcd", &[set(name, &value)]);
        let wanted: Vec<_> = read_flags(&text)
            .into_iter()
            .map(|(other, old)| if other == *name { (other, value.clone()) } else { (other, old) })
            .collect();
        prop_assert_eq!(read_flags(&once), wanted);
        prop_assert_eq!(rest(&once), rest(&text));
        prop_assert_eq!(&edited(&once, "etcd", &[set(name, &value)]), &once);
        let back = edited(&once, "etcd", &[set(name, old)]);
        prop_assert_eq!(read_flags(&back), read_flags(&text));
        prop_assert_eq!(&edited(&text, "etcd", &[set(name, old)]), &text);
        // Only one line is another; two words may have become one.
        if !value.starts_with('-') {
            let differ = once.lines().zip(text.lines()).filter(|(one, other)| one != other).count();
            prop_assert!(differ <= 1 && once.lines().count() == text.lines().count());
        }
    }

    #[test]
    fn an_image_changes_alone((text, _) in manifest(), name in "[a-z]([a-z0-9./:@_-]{0,20}[a-z0-9])?") {
        let once = edited(&text, "etcd", &[image(&name)]);
        let component = parse(&once).component("etcd").unwrap();
        prop_assert_eq!(component.image(), Some(&*name));
        prop_assert_eq!(read_flags(&once), read_flags(&text));
        prop_assert_eq!(rest(&once), rest(&text));
        // A plain one may have needed quotes, and keeps them.
        let back = edited(&once, "etcd", &[image("etcd:1")]);
        prop_assert_eq!(back.replace(['\'', '"'], ""), text.replace(['\'', '"'], ""));
    }

    #[test]
    fn a_flag_that_is_removed_is_gone((text, flags) in manifest(), which in any::<Index>()) {
        let (name, ..) = which.get(&flags);
        let Ok(once) = parse(&text).edit("etcd", &unset(name)) else {
            // Comments between words in brackets, or the only word of a list.
            return Ok(());
        };
        let mut wanted = read_flags(&text);
        wanted.retain(|(other, _)| other != name);
        let once = once.manifest.text;
        prop_assert_eq!(read_flags(&once), wanted);
        prop_assert_eq!(rest(&once), rest(&text));
        prop_assert_eq!(&edited(&once, "etcd", &[unset(name)]), &once);
    }

    #[test]
    fn no_bytes_make_trouble(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
        prop_assert!(Manifest::parse(&bytes).is_err());
        for text in [text.clone(), format!("kind: Pod\nspec: {{containers: [{{name: etcd, command: [{text}]}}]}}")] {
            try_everything(text.as_bytes());
        }
    }

    /// What a slip of the editor makes of a real manifest, and what somebody would do who means harm.
    #[test]
    fn broken_manifests_make_no_trouble(
        which in select(ALL.as_slice()),
        slips in prop::collection::vec((any::<Index>(), 0..12_usize, slip()), 1..6),
    ) {
        let mut bytes = which.1.as_bytes().to_vec();
        for (at, length, new) in slips {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, new.bytes());
        }
        try_everything(&bytes);
    }
}

fn slip() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "",
            "\n",
            "\r",
            "\t",
            "- ",
            "'",
            "\"",
            "[",
            "]",
            "{",
            "}",
            "&a ",
            "*a",
            "<<: *a\n",
            "!!str ",
            "|\n",
            ">-\n",
            "#",
            "---\n",
            "...\n",
            ": ",
            "? ",
            "\u{feff}",
            "\u{85}",
            "\u{2028}",
            "%YAML 1.1\n",
            "@",
            "  ",
            ", ",
            "\\",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ]
}

/// Reads and edits; whatever comes out is proved by the code itself, here it must only come to an end.
fn try_everything(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else {
        return;
    };
    let edits = [
        set("name", "it's: #1"),
        set("quota-backend-bytes", "8"),
        unset("data-dir"),
        unset("secure-port"),
        on("force-new-cluster"),
        image("etcd:2"),
    ];
    for component in ["etcd", "kube-apiserver"] {
        for edit in &edits {
            let Ok(edited) = manifest.edit(component, edit) else {
                continue;
            };
            let again = edited.manifest.edit(component, edit).unwrap();
            assert!(!again.changed, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn real_manifests_take_every_edit_and_give_it_back() {
    for (component, text) in ALL {
        let given = parse(text).component(component).unwrap().given().unwrap();
        for flag in given {
            let there = set(&flag.name, &flag.value);
            assert_eq!(edited(text, component, &[there]), text);
        }
        if !text.contains("--config-file") {
            for new in [
                set("quota-backend-bytes", "8"),
                set("zzz", "a: b"),
                on("aaa"),
            ] {
                let once = edited(text, component, std::slice::from_ref(&new));
                let (Edit::SetFlag { flag, .. } | Edit::UnsetFlag { flag }) = new else {
                    continue;
                };
                assert_ne!(once, text);
                assert_eq!(edited(&once, component, &[unset(flag.as_str())]), text);
            }
        }
    }
}
