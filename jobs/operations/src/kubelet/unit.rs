//! systemd's unit files and environment files, as far as they say with which command line a service is started.
//!
//! The rules are those of `systemd.syntax(7)`, `systemd.service(5)` and `systemd.exec(5)`. Nothing is read from disk here,
//! and no text makes this fail: what is not understood is passed by. A line, a word and a value are cut at [`UNIT_BYTES`].

use crate::limits::UNIT_BYTES;
use std::collections::BTreeMap;

/// So many words and variables are taken.
const MOST: usize = 10_000;

/// What the files of a unit say of its service, taken in one after another: the unit's own first, then its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// `ExecStart=`, the last one.
    exec: String,
    /// `Environment=`, in its order.
    environment: Vec<(String, String)>,
    /// `EnvironmentFile=`, in its order.
    files: Vec<String>,
}

impl Unit {
    /// Takes in a file.
    pub(crate) fn read(&mut self, text: &str) {
        let mut in_service = false;
        for line in logical_lines(text) {
            let line = line.trim();
            if line.starts_with('[') {
                in_service = line == "[Service]";
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| in_service) else {
                continue;
            };
            self.take(key.trim_end(), value.trim_start());
        }
    }

    /// Takes in a setting. An empty value clears what was set before.
    fn take(&mut self, key: &str, value: &str) {
        match (key, value) {
            ("ExecStart", _) => value.clone_into(&mut self.exec),
            ("Environment", "") => self.environment.clear(),
            ("Environment", _) => self.environment.extend(assignments(value)),
            ("EnvironmentFile", "") => self.files.clear(),
            ("EnvironmentFile", _) => self.files.push(value.to_owned()),
            _ => {}
        }
    }

    /// The environment files, without the sign that one may be missing.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().take(MOST);
        files.map(|file| file.trim_start_matches('-').trim())
    }

    /// The command line with these environment files' texts, in the order of [`Unit::files`]; none: nothing is started.
    pub(crate) fn command_line(&self, files: &[String]) -> Option<Vec<String>> {
        let mut environment: BTreeMap<String, String> = self.environment.iter().cloned().collect();
        // What a file sets goes before what the unit sets.
        environment.extend(files.iter().flat_map(|text| variables(text)));
        let exec = self.exec.trim_start_matches(['@', '-', ':', '+', '!', '|']);
        let words = expanded(exec, &environment);
        (!words.is_empty()).then_some(words)
    }
}

/// The variables in an environment file, in its order.
///
/// Its rules are not those of units: an escaped line break leaves nothing, quotes go over lines, and no comment is in a value.
pub(crate) fn variables(text: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), cut(text).trim_start());
    while !rest.is_empty() && found.len() < MOST {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let assignment = rest.split_once('=');
        rest = match assignment {
            Some((name, text)) if !line.starts_with(['#', ';']) && line.contains('=') => {
                let (value, next) = value(text);
                if is_name(name.trim()) {
                    found.push((name.trim().to_owned(), value));
                }
                next.trim_start()
            }
            _ => after.trim_start(),
        };
    }
    found
}

/// A value of an environment file, and what follows it.
fn value(text: &str) -> (String, &str) {
    let mut value = String::new();
    // Up to where it is kept: blanks at its end are none of it unless they are quoted.
    let mut end = 0;
    let mut quote = None;
    // Whether a quote opens here: only where a value, or a part of it, begins.
    let mut begins = true;
    let mut chars = text.chars();
    while let Some(one) = chars.next() {
        match (one, quote) {
            ('\n', None) => break,
            ('\\', None | Some('"')) => match chars.next() {
                None | Some('\n') => continue,
                Some(next) => {
                    if quote.is_some() && !"\"\\$`".contains(next) {
                        value.push('\\');
                    }
                    value.push(next);
                    end = value.len();
                    begins = false;
                }
            },
            (one, Some(open)) if one == open => {
                (quote, begins, end) = (None, true, value.len());
            }
            ('"' | '\'', None) if begins => quote = Some(one),
            (one, None) if begins && one.is_whitespace() => {}
            (one, _) => {
                value.push(one);
                if quote.is_some() || !one.is_whitespace() {
                    end = value.len();
                    begins = false;
                }
            }
        }
    }
    value.truncate(end);
    (value, chars.as_str())
}

/// The lines of a file: one that ends with a backslash goes on in the next, and comments are none.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut begun: Option<String> = None;
    for line in cut(text).lines() {
        // A comment between the parts of a line does not end it.
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        let whole = match begun.take() {
            Some(before) => format!("{before} {part}"),
            None => part.to_owned(),
        };
        match goes_on {
            true => begun = Some(whole),
            false => lines.push(whole),
        }
    }
    lines.extend(begun);
    lines
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(UNIT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A variable's name, as systemd takes it.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The assignments in `Environment=`: words, each `NAME=VALUE`, quoted as a whole where the value has spaces.
fn assignments(value: &str) -> Vec<(String, String)> {
    let words = split(value).into_iter();
    let assignment = |word: Word| {
        let (name, value) = word.text.split_once('=')?;
        is_name(name).then(|| (name.to_owned(), value.to_owned()))
    };
    words.filter_map(assignment).collect()
}

/// A word of a command line, and whether it stood in quotes: then a variable that it is made of stays one word.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

/// Splits at white space; quotes hold together, a backslash takes the next character as it is.
fn split(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut current: Option<Word> = None;
    let mut quote: Option<char> = None;
    let mut chars = text.chars();
    while let Some(one) = chars.next() {
        if words.len() >= MOST {
            break;
        }
        let begun = || Word {
            text: String::new(),
            quoted: false,
        };
        match (one, quote) {
            ('\\', _) => {
                let word = current.get_or_insert_with(begun);
                word.text.extend(chars.next().map(escaped));
            }
            (one, Some(open)) if one == open => quote = None,
            (one, Some(_)) => current.get_or_insert_with(begun).text.push(one),
            ('"' | '\'', None) => {
                quote = Some(one);
                current.get_or_insert_with(begun).quoted = true;
            }
            (one, None) if one.is_whitespace() => words.extend(current.take()),
            (one, None) => current.get_or_insert_with(begun).text.push(one),
        }
    }
    words.extend(current);
    words
}

/// What a backslash and a character mean, of those that occur in command lines.
fn escaped(one: char) -> char {
    match one {
        'n' => '\n',
        't' => '\t',
        's' => ' ',
        other => other,
    }
}

/// The words of a command line with their variables: `$NAME` as a word becomes as many words as its value has, `${NAME}`
/// stays in its word, `$$` is a dollar and `%%` a percent sign.
fn expanded(exec: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let (mut words, mut length) = (Vec::new(), 0_usize);
    for word in split(cut(exec)) {
        let name = word.text.strip_prefix('$').filter(|name| is_name(name));
        let new: Vec<String> = match name.filter(|_| !word.quoted) {
            Some(name) => {
                let value = environment
                    .get(name)
                    .map(String::as_str)
                    .unwrap_or_default();
                split(cut(value))
                    .into_iter()
                    .map(|word| word.text)
                    .collect()
            }
            None => vec![substituted(&word.text, environment)],
        };
        length += new.iter().map(String::len).sum::<usize>();
        words.extend(new);
        if words.len() >= MOST || length >= UNIT_BYTES {
            break;
        }
    }
    words
}

fn substituted(word: &str, environment: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find(['$', '%']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let variable = from
            .strip_prefix("${")
            .and_then(|inner| inner.split_once('}'));
        if let Some((name, after)) = variable {
            out.push_str(
                environment
                    .get(name)
                    .map(String::as_str)
                    .unwrap_or_default(),
            );
            rest = after;
        } else if let Some(after) = from.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some(after) = from.strip_prefix("%%") {
            out.push('%');
            rest = after;
        } else {
            let mut chars = from.chars();
            out.extend(chars.next());
            rest = chars.as_str();
        }
        if out.len() >= UNIT_BYTES {
            break;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Debian's and kubeadm's unit with its drop-in.
    const UNIT: &str = "[Unit]\nDescription=kubelet\nExecStart=/not/this\n\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n\n[Install]\nWantedBy=multi-user.target\n";
    const KUBEADM: &str = "# Note: This dropin only works with kubeadm and kubelet v1.11+\n[Service]\nEnvironment=\"KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf\"\nEnvironment=\"KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml\"\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n";

    fn unit(texts: &[&str]) -> Unit {
        let mut unit = Unit::default();
        for text in texts {
            unit.read(text);
        }
        unit
    }

    #[test]
    fn kubeadms_unit_gives_kubelets_command_line() {
        let unit = unit(&[UNIT, KUBEADM]);
        let files: Vec<&str> = unit.files().collect();
        assert_eq!(
            files,
            ["/var/lib/kubelet/kubeadm-flags.env", "/etc/default/kubelet"]
        );
        let texts = [
            "KUBELET_KUBEADM_ARGS=\"--hostname-override=cp-one --v=2\"\n".to_owned(),
            "# extra\nKUBELET_EXTRA_ARGS=--node-labels='a=b' --x\n".to_owned(),
        ];
        assert_eq!(
            unit.command_line(&texts).unwrap(),
            [
                "/usr/bin/kubelet",
                "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf",
                "--kubeconfig=/etc/kubernetes/kubelet.conf",
                "--config=/var/lib/kubelet/config.yaml",
                "--hostname-override=cp-one",
                "--v=2",
                "--node-labels=a=b",
                "--x",
            ]
        );
    }

    #[test]
    fn a_drop_in_takes_back_and_sets_anew() {
        let unit = unit(&[
            UNIT,
            KUBEADM,
            "[Service]\nEnvironmentFile=\nEnvironment=\nExecStart=\nExecStart=-/opt/kubelet --config \\\n# in between\n  /etc/kubelet.yaml \\\n --name=\"a b\" '--other=$$x' 100%% ${HOME}/x\n",
        ]);
        assert_eq!(unit.files().count(), 0);
        assert_eq!(
            unit.command_line(&[]).unwrap(),
            [
                "/opt/kubelet",
                "--config",
                "/etc/kubelet.yaml",
                "--name=a b",
                "--other=$x",
                "100%",
                "/x"
            ]
        );
        assert_eq!(Unit::default().command_line(&[]), None);
    }

    #[test]
    fn variables_of_files_are_read_as_systemd_does() {
        let text = "A=1\n  B = two words  \nC='a \"b\"'\nD=\"a \\\"b\\\"\"\n;E=1\nno line\n1F=x\nG=a\\\nb\nH=\nI=\"x\ny\"\nJ=a \\\n#b\n";
        let found = variables(text);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "a \"b\""),
                ("D", "a \"b\""),
                ("G", "ab"),
                ("H", ""),
                ("I", "x\ny"),
                ("J", "a #b"),
            ]
        );
    }

    #[test]
    fn variables_that_name_each_other_grow_nothing() {
        let many = "$A ".repeat(50_000);
        let unit = unit(&[&format!(
            "[Service]\nEnvironment=\"A=$A $A $A\"\nExecStart=x {many}\n"
        )]);
        assert!(unit.command_line(&[]).unwrap().len() < 2 * MOST);
    }

    proptest! {
        #[test]
        fn any_text_is_a_unit_and_an_environment(
            unit in "(\\[Service\\]\n|ExecStart=|Environment=|EnvironmentFile=|\\$\\{|\\$A|%|\\\\|\"|'|\n| |[ -~é]){0,80}",
            file in "([A-Z]{1,3}=|\\\\|\"|'|\n|#| |[ -~é]){0,60}",
        ) {
            let mut found = Unit::default();
            found.read(&unit);
            let _ = found.files().count();
            let _ = found.command_line(std::slice::from_ref(&file));
            let _ = variables(&file);
        }

        #[test]
        fn a_value_without_marks_is_read_back(name in "[A-Z_]{1,8}", value in "[a-z0-9/=:.,-]{0,20}") {
            for text in [format!("{name}={value}\n"), format!("{name}=\"{value}\"\n"), format!("{name}='{value}'\n")] {
                prop_assert_eq!(variables(&text), vec![(name.clone(), value.clone())]);
            }
        }
    }
}
