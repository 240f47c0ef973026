//! What etcd takes on its command line: a flag that it does not know, or a value that it cannot read, ends it at once. So both
//! are looked at before anything is stopped for them.

mod environment;
mod table;
mod value;

use std::fmt;

use etcd_datadir::restore::EtcdVersion;

use super::{Component, Edit};
pub use environment::{Effect, Variable};
use table::{ALL, Known};
use value::suggestion;

/// What a flag's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Any text.
    Text,
    /// True or false, in Go's words.
    Switch,
    /// A whole number, not below 0.
    Count,
    /// A whole number.
    Number,
    /// A time with its unit.
    Duration,
    /// A number, of hours or revisions, or a time with its unit.
    Retention,
    /// URLs with commas between them.
    Urls,
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// What is wrong about a flag for etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagProblem {
    /// No etcd that is known here has it.
    Unknown {
        /// The flag.
        flag: String,
        /// One with a name like it.
        resembles: Option<&'static str>,
    },
    /// The etcd of this version does not have it.
    OtherVersion {
        /// The flag.
        flag: String,
        /// The version.
        version: EtcdVersion,
        /// What there is in its place.
        instead: Option<&'static str>,
    },
    /// etcd cannot read its value.
    Value {
        /// The flag.
        flag: String,
        /// The value; none: none is given.
        value: Option<String>,
        /// What the value has to be.
        wanted: String,
        /// The value that was meant, perhaps.
        meant: Option<String>,
    },
}

impl fmt::Display for FlagProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { flag, .. } => {
                write!(f, "etcd has no flag --{flag}: it would not start")
            }
            Self::OtherVersion { flag, version, .. } => {
                write!(f, "etcd {version} has no flag --{flag}: it would not start")
            }
            Self::Value {
                flag,
                value: Some(value),
                wanted,
                ..
            } => write!(
                f,
                "--{flag}={value}: the value is {wanted}, and etcd would not start with this one"
            ),
            Self::Value { flag, wanted, .. } => {
                write!(f, "--{flag} has no value: it is {wanted}")
            }
        }
    }
}

impl std::error::Error for FlagProblem {}

impl FlagProblem {
    /// What was meant, perhaps.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { resembles, .. } => Some(format!("did you mean {}?", (*resembles)?)),
            Self::OtherVersion { instead, .. } => Some(format!("did you mean {}?", (*instead)?)),
            Self::Value { flag, meant, .. } => Some(format!("{flag}={}", meant.as_ref()?)),
        }
    }

    /// Whether a newer etcd than those known here may have it.
    pub fn is_about_the_name(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::OtherVersion { .. } => true,
            Self::Value { .. } => false,
        }
    }
}

impl Component {
    /// What etcd would not start with of these changes; nothing of other components is known.
    pub fn flag_problems(&self, edits: &[Edit]) -> Vec<FlagProblem> {
        if !self.is("etcd") {
            return Vec::new();
        }
        let new_image = edits.iter().find_map(|edit| match edit {
            Edit::SetImage { image } => Some(image.as_str()),
            Edit::SetFlag { .. } | Edit::UnsetFlag { .. } => None,
        });
        let version = new_image.or(self.image()).and_then(version_of_image);
        let problem = |edit: &Edit| match edit {
            Edit::SetFlag { flag, value } => {
                let value = value.as_ref().map(super::FlagValue::as_str);
                check(flag.as_str(), value, version).err()
            }
            Edit::UnsetFlag { .. } | Edit::SetImage { .. } => None,
        };
        edits.iter().filter_map(problem).collect()
    }
}

/// Whether some etcd has this flag.
fn is_known(flag: &str) -> bool {
    find(flag).is_some()
}

fn find(flag: &str) -> Option<&'static Known> {
    ALL.iter().find(|known| known.name == flag)
}

/// The version of etcd in an image, by its tag; none: the tag is no version.
fn version_of_image(image: &str) -> Option<EtcdVersion> {
    let name = image.split('@').next()?;
    let (_, tag) = name.rsplit('/').next()?.split_once(':')?;
    EtcdVersion::parse(tag)
}

fn check(flag: &str, value: Option<&str>, version: Option<EtcdVersion>) -> Result<(), FlagProblem> {
    let Some(known) = find(flag) else {
        return Err(FlagProblem::Unknown {
            flag: flag.to_owned(),
            resembles: resembling(flag, version),
        });
    };
    if let Some(version) = version.filter(|version| !known.is_in(*version)) {
        return Err(FlagProblem::OtherVersion {
            flag: flag.to_owned(),
            version,
            instead: instead(flag, version),
        });
    }
    let wrong = |meant| FlagProblem::Value {
        flag: flag.to_owned(),
        value: value.map(str::to_owned),
        wanted: known.kind.to_string(),
        meant,
    };
    match value {
        None if known.kind == Kind::Switch => Ok(()),
        None => Err(wrong(None)),
        // kubelet puts a value there that is not known here.
        Some(value) if value.contains("$(") || known.kind.takes(value) => Ok(()),
        Some(value) => Err(wrong(suggestion(known.kind, value))),
    }
}

impl Known {
    /// Whether the etcd of a version has it. Versions before 3.4 and those of another major one are not known here.
    fn is_in(&self, version: EtcdVersion) -> bool {
        let until = self.until.is_none_or(|until| version.minor <= until);
        version.major != 3 || version.minor < 4 || (version.minor >= self.since && until)
    }
}

/// The flag of an etcd whose name is most like this one.
fn resembling(flag: &str, version: Option<EtcdVersion>) -> Option<&'static str> {
    let there = ALL
        .iter()
        .filter(|known| version.is_none_or(|version| known.is_in(version)));
    let distance = |known: &&Known| strsim::damerau_levenshtein(known.name, flag);
    let nearest = there.min_by_key(distance)?;
    (distance(&nearest) <= flag.len() / 3).then_some(nearest.name)
}

/// The same flag before or after it was held to be experimental.
fn instead(flag: &str, version: EtcdVersion) -> Option<&'static str> {
    let other = match flag.strip_prefix("experimental-") {
        Some(name) => find(name),
        None => find(&format!("experimental-{flag}")),
    };
    other
        .filter(|known| known.is_in(version))
        .map(|known| known.name)
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    const ETCD: &str = include_str!("../../tests/manifests/kubeadm-1.36-etcd.yaml");

    fn set(flag: &str, value: &str) -> Edit {
        Edit::SetFlag {
            flag: flag.parse().unwrap(),
            value: Some(value.parse().unwrap()),
        }
    }

    /// What is said of a change of kubeadm's etcd 3.6.
    fn said(flag: &str, value: &str) -> Option<(String, Option<String>)> {
        let manifest = Manifest::parse(ETCD.as_bytes()).unwrap();
        let component = manifest.component("etcd").unwrap();
        let problems = component.flag_problems(&[set(flag, value)]);
        let problem = problems.first()?;
        Some((problem.to_string(), problem.hint()))
    }

    #[test]
    fn a_flag_that_etcd_does_not_have_is_told_before_anything_is_stopped() {
        for (typed, meant) in [
            ("qouta-backend-bytes", "quota-backend-bytes"),
            ("quota-backend-byte", "quota-backend-bytes"),
            ("snapshot-cuont", "snapshot-count"),
        ] {
            let (message, hint) = said(typed, "1").unwrap();
            assert_eq!(
                message,
                format!("etcd has no flag --{typed}: it would not start")
            );
            assert_eq!(hint.unwrap(), format!("did you mean {meant}?"));
        }
        let (_, hint) = said("tea-time", "1").unwrap();
        assert_eq!(hint, None);
    }

    #[test]
    fn a_flag_of_another_version_is_told() {
        let (message, hint) = said("enable-v2", "true").unwrap();
        assert_eq!(
            message,
            "etcd 3.6 has no flag --enable-v2: it would not start"
        );
        assert_eq!(hint, None);
        let version = |minor| Some(EtcdVersion { major: 3, minor });
        let problem = check("corrupt-check-time", Some("1h"), version(5)).unwrap_err();
        assert_eq!(
            problem.hint().unwrap(),
            "did you mean experimental-corrupt-check-time?"
        );
        assert!(problem.is_about_the_name());
        let problem = check("experimental-corrupt-check-time", Some("1h"), version(7));
        assert_eq!(
            problem.unwrap_err().hint().unwrap(),
            "did you mean corrupt-check-time?"
        );
        assert!(check("enable-v2", Some("true"), None).is_ok());
        assert!(check("data-dir", Some("/d"), version(99)).is_ok());
    }

    #[test]
    fn a_value_that_etcd_cannot_read_is_told() {
        for (flag, value, meant) in [
            ("quota-backend-bytes", "8Gi", Some("8589934592")),
            ("quota-backend-bytes", "8G", Some("8000000000")),
            ("heartbeat-interval", "abc", None),
            ("heartbeat-interval", "500ms", Some("500")),
            ("election-timeout", "5s", Some("5000")),
            ("auto-compaction-retention", "8x", None),
            ("auto-compaction-mode", "periodical", None),
            ("grpc-keepalive-timeout", "20", Some("20s")),
            ("enable-pprof", "yes", Some("true")),
            (
                "listen-metrics-urls",
                "127.0.0.1:2381",
                Some("http://127.0.0.1:2381"),
            ),
            ("snapshot-count", "-1", None),
        ] {
            let (message, hint) = said(flag, value).unwrap_or_else(|| panic!("{flag}={value}"));
            assert!(
                message.starts_with(&format!("--{flag}={value}: ")),
                "{message}"
            );
            assert_eq!(hint, meant.map(|meant| format!("{flag}={meant}")), "{flag}");
        }
        for (flag, value) in [
            ("quota-backend-bytes", "8589934592"),
            ("quota-backend-bytes", "-1"),
            ("quota-backend-bytes", "$(QUOTA)"),
            ("auto-compaction-retention", "8"),
            ("auto-compaction-retention", "1h30m"),
            (
                "listen-client-urls",
                "https://127.0.0.1:2379,https://[fd00::1]:2379",
            ),
            ("enable-pprof", "F"),
            ("name", "-"),
        ] {
            assert_eq!(said(flag, value), None, "{flag}={value}");
        }
        let none = check("quota-backend-bytes", None, None).unwrap_err();
        assert_eq!(
            none.to_string(),
            "--quota-backend-bytes has no value: it is a whole number"
        );
        assert!(check("enable-pprof", None, None).is_ok());
    }

    #[test]
    fn what_kubeadm_gives_etcd_is_taken() {
        for text in [
            include_str!("../../tests/manifests/kubeadm-1.24-etcd.yaml"),
            include_str!("../../tests/manifests/kubeadm-1.29-etcd.yaml"),
            include_str!("../../tests/manifests/kubeadm-1.31-etcd.yaml"),
            include_str!("../../tests/manifests/kubeadm-1.33-etcd.yaml"),
            ETCD,
        ] {
            let manifest = Manifest::parse(text.as_bytes()).unwrap();
            let component = manifest.component("etcd").unwrap();
            let given = component.given().unwrap();
            let edits: Vec<Edit> = given.iter().map(|one| set(&one.name, &one.value)).collect();
            assert!(!edits.is_empty());
            assert_eq!(component.flag_problems(&edits), []);
        }
    }

    #[test]
    fn another_component_may_have_any_flag() {
        let text = include_str!("../../tests/manifests/kubeadm-1.36-kube-apiserver.yaml");
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let component = manifest.component("kube-apiserver").unwrap();
        assert_eq!(component.flag_problems(&[set("v", "4")]), []);
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(ALL.is_sorted_by(|one, next| one.name < next.name));
        assert!(is_known("feature-gates") && !is_known("version"));
    }
}
