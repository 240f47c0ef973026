//! etcd's command line as static pods have it: `--flag=value` and `--flag value`, and `ETCD_…` in the environment.
//!
//! The parser knows Kubernetes' side of it (`command`, `args`, `$(VAR)`) and Go's (one dash or two, switches that take no
//! value). It reads kube-apiserver's command line as well, for `--etcd-servers`. What etcd's own flags mean for a
//! [`crate::target::Target`] is in [`pod`].

use std::collections::BTreeMap;

mod line;
pub mod pod;

pub use line::{GivenFlag, Written, given};
pub(crate) use line::{first_flag, plain_name};
pub use pod::{
    ContainerFacts, HostVolume, Mount, PodFacts, TargetError, named_volumes, target_from_pod,
};
pub(crate) use pod::{etcd_container, named_paths, path_of_mount};

/// etcd's switches: `--flag` alone means true, and the word after it is not their value (Go's `flag` package).
/// A switch that is not listed here is only misread when a word that is no flag follows it, which etcd would refuse.
const SWITCHES: [&str; 16] = [
    "auto-tls",
    "client-cert-auth",
    "cors-allow-credentials",
    "debug",
    "enable-grpc-gateway",
    "enable-log-rotation",
    "enable-pprof",
    "enable-v2",
    "experimental-initial-corrupt-check",
    "force-new-cluster",
    "peer-auto-tls",
    "peer-client-cert-auth",
    "peer-skip-client-san-verification",
    "pre-vote",
    "strict-reconfig-check",
    "unsafe-no-fsync",
];

/// Programs whose arguments are not theirs alone: what they run cannot be told from flags.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];

/// Why a command line cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// A shell runs the program: its flags are inside a script.
    #[error("the container runs `{0}`: a script's flags are not read")]
    Shell(String),
}

/// The flags of a program, by name without dashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    given: BTreeMap<String, Vec<String>>,
    env: BTreeMap<String, String>,
}

impl Flags {
    /// Reads a container's `command`, `args` and plain environment values.
    ///
    /// The words before the first flag are the program and what starts it (`tini -- etcd …`). `$(VAR)` is replaced
    /// as kubelet does it: an unknown variable stays as it is written, `$$(VAR)` becomes `$(VAR)`.
    ///
    /// # Errors
    /// [`FlagError::Shell`] when a shell starts the program.
    pub fn parse(
        command: &[String],
        args: &[String],
        env: &[(String, String)],
    ) -> Result<Self, FlagError> {
        let env: BTreeMap<String, String> = env.iter().cloned().collect();
        let words: Vec<String> = command.iter().chain(args).cloned().collect();
        let words = expand_in(&words, &env);
        let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for flag in line::given(&words)? {
            given.entry(flag.name).or_default().push(flag.value);
        }
        Ok(Self { given, env })
    }

    /// A flag's value: the last one on the command line, else `ETCD_<FLAG>` of the environment (etcd's own order).
    pub fn get(&self, name: &str) -> Option<&str> {
        let given = self.given.get(name).and_then(|values| values.last());
        given.or_else(|| self.in_env(name)).map(String::as_str)
    }

    /// Whether a switch is on, by Go's words for true.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }

    /// etcd's variable for a flag and its value, if the environment has it. It counts where the flag is not given.
    pub fn variable(&self, name: &str) -> Option<(String, String)> {
        let value = self.in_env(name)?;
        Some((variable_of(name), value.clone()))
    }

    /// A flag that takes a list: its parts, without white space and empty ones. Given several times, the parts add up,
    /// as kube-apiserver does it; for etcd the last one counts, so ask [`Flags::get`] for its flags or use this where
    /// both mean the same.
    pub fn list(&self, name: &str) -> Vec<&str> {
        match self.given.get(name) {
            Some(values) => values.iter().flat_map(|value| parts(value)).collect(),
            None => self
                .in_env(name)
                .map(|value| parts(value).collect())
                .unwrap_or_default(),
        }
    }

    fn in_env(&self, name: &str) -> Option<&String> {
        // etcd takes an empty variable as not set.
        self.env
            .get(&variable_of(name))
            .filter(|value| !value.is_empty())
    }
}

/// etcd's variable for a flag.
pub(crate) fn variable_of(flag: &str) -> String {
    format!("ETCD_{}", flag.to_uppercase().replace('-', "_"))
}

/// Whether a switch with this value is on, by Go's words for true.
pub(crate) fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The parts of a comma-separated list.
pub(crate) fn parts(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

pub(crate) fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// A command line as the program is started with it, from the words of the manifest.
pub(crate) fn expand_all(words: &[String], env: &[(String, String)]) -> Vec<String> {
    expand_in(words, &env.iter().cloned().collect())
}

fn expand_in(words: &[String], env: &BTreeMap<String, String>) -> Vec<String> {
    words.iter().map(|word| expand(word, env)).collect()
}

/// Kubernetes' `$(VAR)`.
fn expand(word: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let named = rest
            .strip_prefix("$(")
            .and_then(|inner| inner.split_once(')'));
        match named.and_then(|(name, after)| env.get(name).map(|value| (value, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn parse(text: &str) -> Flags {
        Flags::parse(&words(text), &[], &[]).unwrap()
    }

    #[test]
    fn both_ways_to_write_a_value_and_switches() {
        let flags = parse(
            "etcd --name=a -data-dir /d --force-new-cluster --client-cert-auth=false --max-txn-ops -1",
        );
        assert_eq!(flags.get("name"), Some("a"));
        assert_eq!(flags.get("data-dir"), Some("/d"));
        assert_eq!(flags.get("max-txn-ops"), Some("-1"));
        assert!(flags.is_on("force-new-cluster"));
        assert!(!flags.is_on("client-cert-auth"));
        assert!(!flags.is_on("peer-client-cert-auth"));
    }

    #[test]
    fn the_program_is_found_behind_what_starts_it() {
        assert_eq!(
            parse("/sbin/tini -- /usr/local/bin/etcd --name=b").get("name"),
            Some("b")
        );
        assert_eq!(
            parse("--name etcd --data-dir=/d").get("name"),
            Some("etcd"),
            "args alone"
        );
        let shell = Flags::parse(
            &words("/bin/sh -c"),
            &["exec etcd --name=x".to_owned()],
            &[],
        );
        assert_eq!(shell, Err(FlagError::Shell("/bin/sh".into())));
    }

    #[test]
    fn the_command_line_wins_over_the_environment() {
        let env = [
            ("ETCD_NAME".to_owned(), "env".to_owned()),
            ("ETCD_DATA_DIR".to_owned(), "/env".to_owned()),
        ];
        let flags = Flags::parse(&words("etcd --name=line"), &[], &env).unwrap();
        assert_eq!(flags.get("name"), Some("line"));
        assert_eq!(flags.get("data-dir"), Some("/env"));
    }

    #[test]
    fn variables_are_replaced_as_kubelet_does_it() {
        let env = [("IP".to_owned(), "10.0.0.1".to_owned())];
        let args = words("--a=http://$(IP):1 --b=$$(IP) --c=$(NONE) --d=5$ --e=$(IP");
        let flags = Flags::parse(&words("etcd"), &args, &env).unwrap();
        let got: Vec<_> = ["a", "b", "c", "d", "e"]
            .iter()
            .map(|name| flags.get(name).unwrap())
            .collect();
        assert_eq!(got, ["http://10.0.0.1:1", "$(IP)", "$(NONE)", "5$", "$(IP"]);
    }

    #[test]
    fn an_apiserver_names_its_etcd() {
        let flags = parse(
            "kube-apiserver --etcd-servers=https://a:2379,https://b:2379 --etcd-servers https://c:2379",
        );
        assert_eq!(
            flags.list("etcd-servers"),
            ["https://a:2379", "https://b:2379", "https://c:2379"]
        );
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_trouble(words in prop::collection::vec("[-$()=a-z/, 0-9é]{0,12}", 0..12)) {
            if let Ok(flags) = Flags::parse(&words, &[], &[("A".into(), "b".into())]) {
                prop_assert!(flags.given.keys().all(|name| name.starts_with(|c: char| c.is_ascii_alphabetic())));
            }
        }

        #[test]
        fn what_is_written_either_way_reads_the_same(
            pairs in prop::collection::btree_map("x[a-z-]{1,12}", "[a-zA-Z0-9/:.,]{1,20}", 0..8),
            joined in prop::collection::vec(any::<bool>(), 8),
        ) {
            let mut line = vec!["etcd".to_owned()];
            for ((name, value), joined) in pairs.iter().zip(joined) {
                match joined {
                    true => line.push(format!("--{name}={value}")),
                    false => line.extend([format!("--{name}"), value.clone()]),
                }
            }
            let flags = Flags::parse(&line, &[], &[]).unwrap();
            for (name, value) in &pairs {
                prop_assert_eq!(flags.get(name), Some(value.as_str()));
            }
        }
    }
}
