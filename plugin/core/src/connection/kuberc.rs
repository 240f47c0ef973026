//! kubectl's own settings, as far as they say which login plugins may run: `credentialPluginPolicy` in `~/.kube/kuberc`.
//!
//! A kubeconfig from elsewhere may name any program. Who has told kubectl which ones may run means all that read it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use etcd_datadir::disk::read_up_to;
use serde::Deserialize;

use super::reading::first_document;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Which login plugins may run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Policy {
    /// All.
    #[default]
    AllowAll,
    /// None.
    DenyAll,
    /// These: names that are looked for in `PATH`, or paths.
    Allowlist(Vec<String>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Kuberc {
    credential_plugin_policy: Option<String>,
    credential_plugin_allowlist: Option<Vec<Entry>>,
}

/// Kubernetes 1.35 called it `name`, later ones `command`.
#[derive(Deserialize, Default)]
struct Entry {
    name: Option<String>,
    command: Option<String>,
}

impl Policy {
    /// Reads what kubectl would read: `KUBERC`, which may be `off`, else `~/.kube/kuberc`.
    ///
    /// # Errors
    /// What is wrong with it: a wall that cannot be read is none.
    pub(super) fn of_user(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, String> {
        let named = variable("KUBERC").filter(|path| !path.is_empty());
        let off = named.as_ref().is_some_and(|path| path == "off")
            || variable("KUBECTL_KUBERC").is_some_and(|value| value == "false");
        let usual = || Some(PathBuf::from(variable("HOME")?).join(".kube/kuberc"));
        match (off, named.map(PathBuf::from).or_else(usual)) {
            (false, Some(path)) => Self::read(&path),
            _ => Ok(Self::AllowAll),
        }
    }

    fn read(path: &Path) -> Result<Self, String> {
        let wrong = |what: &str| format!("kubectl's settings {} {what}", path.display());
        match read_up_to(path, LARGEST) {
            Ok(text) => Self::parse(&text).map_err(|what| wrong(&what)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::AllowAll),
            Err(error) => Err(wrong(&format!("cannot be read: {error}"))),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let read: Kuberc =
            first_document(text).map_err(|error| format!("are not understood: {error}"))?;
        let policy = read.credential_plugin_policy.unwrap_or_default();
        let list = read.credential_plugin_allowlist;
        match (policy.as_str(), list) {
            ("" | "AllowAll", None) => Ok(Self::AllowAll),
            ("DenyAll", None) => Ok(Self::DenyAll),
            ("" | "AllowAll" | "DenyAll", Some(_)) => Err(format!(
                "have a credentialPluginAllowlist, but the credentialPluginPolicy {policy:?}"
            )),
            ("Allowlist", None) => Err("have no credentialPluginAllowlist".to_owned()),
            ("Allowlist", Some(list)) => Self::allowlist(list),
            _ => Err(format!(
                "have the unknown credentialPluginPolicy {policy:?}"
            )),
        }
    }

    fn allowlist(list: Vec<Entry>) -> Result<Self, String> {
        let commands = list.into_iter().map(|entry| {
            let full = |text: Option<String>| text.filter(|text| !text.is_empty());
            let command = full(entry.command).or(full(entry.name));
            command.ok_or("have an empty entry in their credentialPluginAllowlist")
        });
        let commands: Vec<String> = commands.collect::<Result<_, _>>()?;
        match commands.is_empty() {
            true => Err("have an empty credentialPluginAllowlist".to_owned()),
            false => Ok(Self::Allowlist(commands)),
        }
    }

    /// Whether this plugin may run.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn allows(&self, command: &str) -> Result<(), String> {
        self.allows_in(command, &std::env::var_os("PATH").unwrap_or_default())
    }

    fn allows_in(&self, command: &str, path: &OsString) -> Result<(), String> {
        let allowed = match self {
            Self::AllowAll => return Ok(()),
            Self::DenyAll => {
                return Err(
                    "is not allowed: kubectl's settings (kuberc) have credentialPluginPolicy: DenyAll"
                        .to_owned(),
                );
            }
            Self::Allowlist(allowed) => allowed,
        };
        let command = cleaned(command);
        let found = program(&command, path);
        let is_it = |entry: &String| {
            let entry = cleaned(entry);
            entry == command
                || found.as_ref().is_some_and(|found| {
                    *found == entry || program(&entry, path).as_ref() == Some(found)
                })
        };
        match allowed.iter().any(is_it) {
            true => Ok(()),
            false => Err(
                "is not allowed: the credentialPluginAllowlist of kubectl's settings (kuberc) does not have it".to_owned(),
            ),
        }
    }
}

/// A path without `.` and double slashes.
fn cleaned(text: &str) -> PathBuf {
    let parts = Path::new(text).components();
    parts.filter(|part| *part != Component::CurDir).collect()
}

/// The program of this name: with a slash it is a path, without one the first in `PATH`.
fn program(command: &Path, path: &OsString) -> Option<PathBuf> {
    let is_program = |file: &Path| {
        let found = file.metadata();
        found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if command.components().count() > 1 || command.has_root() {
        return is_program(command).then(|| command.to_owned());
    }
    let mut folders = std::env::split_paths(path).map(|folder| folder.join(command));
    folders.find(|file| is_program(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Policy, String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".kube")).unwrap();
        std::fs::write(home.path().join(".kube/kuberc"), text).unwrap();
        let home = home.path().as_os_str().to_owned();
        Policy::of_user(|name| (name == "HOME").then(|| home.clone()))
    }

    #[test]
    fn kubectls_settings_are_read_as_kubectl_reads_them() {
        assert_eq!(
            of("apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\naliases: []\n"),
            Ok(Policy::AllowAll)
        );
        assert_eq!(of(""), Ok(Policy::AllowAll));
        assert_eq!(of("credentialPluginPolicy: DenyAll"), Ok(Policy::DenyAll));
        let list = "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist:\n- name: aws\n- command: /opt/login\n";
        assert_eq!(
            of(list),
            Ok(Policy::Allowlist(vec!["aws".into(), "/opt/login".into()]))
        );
        assert_eq!(Policy::of_user(|_| None), Ok(Policy::AllowAll));
    }

    #[test]
    fn settings_that_contradict_themselves_are_refused() {
        for text in [
            "credentialPluginPolicy: Allowlist",
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: []",
            "credentialPluginPolicy: Allowlist\ncredentialPluginAllowlist: [{}]",
            "credentialPluginPolicy: DenyAll\ncredentialPluginAllowlist: [{name: aws}]",
            "credentialPluginAllowlist: [{name: aws}]",
            "credentialPluginPolicy: Sometimes",
            "credentialPluginPolicy: [",
        ] {
            let what = of(text).unwrap_err();
            assert!(what.contains(".kube/kuberc"), "{text}: {what}");
        }
    }

    #[test]
    fn kuberc_can_be_elsewhere_or_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "credentialPluginPolicy: DenyAll").unwrap();
        let path = file.path().as_os_str().to_owned();
        let of = |name: &'static str, value: OsString| {
            Policy::of_user(move |asked| (asked == name).then(|| value.clone()))
        };
        assert_eq!(of("KUBERC", path), Ok(Policy::DenyAll));
        assert_eq!(of("KUBERC", "off".into()), Ok(Policy::AllowAll));
    }

    #[test]
    fn only_what_the_list_has_may_run() {
        let folder = tempfile::tempdir().unwrap();
        let login = folder.path().join("login");
        std::fs::write(&login, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&login, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().as_os_str().to_owned();
        let absolute = login.to_str().unwrap().to_owned();
        for (list, command, may) in [
            ("login", "login", true),
            ("login", absolute.as_str(), true),
            (absolute.as_str(), "login", true),
            ("other", "login", false),
            ("login", "/elsewhere/login", false),
            ("login", "other", false),
            ("./login", "login", true),
        ] {
            let policy = Policy::Allowlist(vec![list.to_owned()]);
            assert_eq!(
                policy.allows_in(command, &path).is_ok(),
                may,
                "{list} {command}"
            );
        }
        assert!(Policy::DenyAll.allows_in("login", &path).is_err());
        assert!(Policy::AllowAll.allows_in("login", &path).is_ok());
    }
}
