//! A connection to a host that has the program, and one question over it.

use std::os::unix::process::ExitStatusExt;

use etcd_operations::advice;
use etcd_operations::advice::{Advice, Choice};
use etcd_operations::failure::Failure;
use etcd_operations::wire::answer::HostAnswer;
use etcd_operations::wire::{Ask, LineError, Progress};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use openssh::{Child, ChildStderr, OwningCommand, Session, Stdio};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::candidate::Candidate;
use super::destination::Destination;
use super::error::{SshError, SshErrorKind};
use super::options::{SshOptions, at_address};
use super::{master, upload};
use crate::answers::{AnswerError, Answered, answer};
use crate::carried::carried;
use crate::limits;
use crate::lines::LinesError;
use crate::outcome::{Notice, NoticeSink};

/// So much of what a host says on standard error is told, in bytes.
const LAST_WORDS: u64 = 4096;

/// A connection to a host that has the program.
pub(super) struct Link {
    pub(super) host: String,
    session: Session,
    /// Whether the program is started through sudo.
    sudo: bool,
}

impl Link {
    /// Connects to the first of its addresses that answers.
    pub(super) async fn open(
        candidate: &Candidate,
        options: &SshOptions,
        notices: &NoticeSink,
    ) -> Result<Self, SshError> {
        let host = candidate.name();
        let (destinations, not_used) = destinations(candidate, options).await;
        let mut destinations = destinations.iter();
        let (mut first, mut tried) = (None, FuturesUnordered::new());
        // One after another; of one that is silent the end is not waited for.
        loop {
            match destinations.next() {
                Some(destination) => tried.push(master::open(host, destination, options)),
                None if tried.is_empty() => break,
                None => {}
            }
            let ended = match destinations.len() {
                0 => tried.next().await,
                _ => timeout(limits::SSH_SILENT, tried.next())
                    .await
                    .unwrap_or_default(),
            };
            let error = match ended {
                None => continue,
                Some(Ok(session)) => return Self::over(host, session, notices).await,
                Some(Err(error)) => error,
            };
            if error.kind != SshErrorKind::Unreachable {
                return Err(or_by_alias(error, not_used));
            }
            first.get_or_insert(error);
        }
        let error = first.unwrap_or_else(|| no_address(candidate));
        Err(or_by_alias(error, not_used))
    }

    async fn over(host: &str, session: Session, notices: &NoticeSink) -> Result<Self, SshError> {
        let mut link = Self {
            host: host.to_owned(),
            session,
            sudo: false,
        };
        let (code, printed, said) = link.run(&upload::look(), b"").await?;
        let seen = upload::seen(host, &printed, &carried()).map_err(|error| match code {
            0 => error,
            _ => SshError::new(error.kind, format!("{} {said}", error.message)),
        })?;
        tracing::debug!(host, user = seen.user, "connected over ssh");
        link.sudo = !seen.root;
        if !seen.program {
            let told = format!(
                "{host}: bringing the program there ({} MB)",
                carried().program_size / 1_000_000
            );
            (notices)(Notice::Told(told.into()));
            let (code, _, said) = link.run(&upload::bring(), upload::bytes()?).await?;
            if code != 0 {
                let message = format!("{host}: the program could not be uploaded: {said}");
                return Err(SshError::new(SshErrorKind::Program, message).hint(
                    "its file system for /var/lib needs some 20 MB and must not be read-only",
                ));
            }
        }
        Ok(link)
    }

    /// A command, as root once it is known whether that takes sudo.
    fn command(&self, words: &[String]) -> OwningCommand<&Session> {
        let sudo = ["sudo".to_owned(), "-n".to_owned(), "--".to_owned()];
        let sudo = if self.sudo { &sudo[..] } else { &[] };
        let mut all = sudo.iter().chain(words);
        let program = all.next().cloned().unwrap_or_default();
        let mut command = self.session.command(program);
        command
            .args(all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts the program there.
    pub(super) async fn start(&self, words: &[&str]) -> Result<Child<&Session>, SshError> {
        let words: Vec<String> = std::iter::once(upload::path())
            .chain(words.iter().map(|&word| word.to_owned()))
            .collect();
        let spawned = self.command(&words).spawn().await;
        spawned.map_err(|cause| SshError::lost(&self.host).caused_by(cause))
    }

    /// Runs a command to its end: its exit code, what it printed, and what it said on standard error.
    async fn run(&self, words: &[String], input: &[u8]) -> Result<(i32, String, String), SshError> {
        let lost = |cause: openssh::Error| SshError::lost(&self.host).caused_by(cause);
        let mut child = self.command(words).spawn().await.map_err(lost)?;
        let stdin = child.stdin().take();
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let sent = async move {
            if let Some(mut stdin) = stdin {
                // One that ends before it has read everything says why.
                let _ = stdin.write_all(input).await;
            }
        };
        let printed = async move {
            let mut printed = Vec::new();
            if let Some(stdout) = stdout {
                let _ = stdout.take(LAST_WORDS).read_to_end(&mut printed).await;
            }
            String::from_utf8_lossy(&printed).into_owned()
        };
        let ((), printed, said) = futures::join!(sent, printed, last_words(stderr));
        let code = match child.wait().await {
            Ok(status) => status.code().unwrap_or(128 + status.signal().unwrap_or(0)),
            Err(openssh::Error::Remote(_)) => 127,
            Err(cause) => return Err(lost(cause)),
        };
        Ok((code, printed, said))
    }

    /// Asks the host once.
    pub(super) async fn ask(
        &self,
        ask: &Ask,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<HostAnswer, SshError> {
        let text = serde_json::to_vec(ask).map_err(|error| {
            let message = format!("{}: the request cannot be written: {error}", self.host);
            SshError::new(SshErrorKind::Program, message).caused_by(error)
        })?;
        let mut child = self.start(&["host"]).await?;
        if let Some(mut stdin) = child.stdin().take() {
            // One that does not read it says why.
            let _ = stdin.write_all(&text).await;
        }
        self.answer(child, progress).await
    }

    /// What the program answers in lines.
    pub(super) async fn answer(
        &self,
        mut child: Child<&Session>,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<HostAnswer, SshError> {
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let lines = async {
            match stdout {
                Some(stdout) => last_line(stdout, progress).await,
                None => Ok(None),
            }
        };
        match with_last_words(lines, last_words(stderr)).await {
            Ok((Some(ended), _)) => ended.map_err(|failure| SshError::failed(&self.host, failure)),
            Ok((None, said)) => Err(self.ended(child, &said).await),
            Err(failure) => Err(SshError::failed(&self.host, failure)),
        }
    }

    /// Why a program ended without its last word.
    pub(super) async fn ended(&self, child: Child<&Session>, said: &str) -> SshError {
        let host = &self.host;
        let code = match child.wait().await {
            Ok(status) => status.code(),
            Err(openssh::Error::Remote(_)) => Some(127),
            // Also when it was killed there, which cannot be told from this; asked again it says so.
            Err(_) => None,
        };
        let (Some(code), Ok(())) = (code, self.session.check().await) else {
            return SshError::lost(host);
        };
        let error = SshError::new(
            SshErrorKind::Program,
            format!("{host}: the program ended there with {code} and no answer: {said}"),
        );
        match code {
            126 | 127 => error.hint(format!(
                "try again: another version of kubectl etcd may have put its own program in this one's place; else, can {} be \
                 executed there? /var may be mounted noexec",
                upload::path()
            )),
            _ => error,
        }
    }
}

/// The addresses to try, in order. A name that the user's own ssh configuration knows comes first: it may say much more
/// than where the host is. One that is not used: what to type to use it.
async fn destinations(
    candidate: &Candidate,
    options: &SshOptions,
) -> (Vec<Destination>, Option<Advice>) {
    let mut all = candidate.addresses.clone();
    let Some(alias) = candidate.alias() else {
        return (all, None);
    };
    let Some(leads_to) = master::leads(&alias, options).await else {
        return (all, None);
    };
    if candidate.may_be_called(&leads_to) {
        all.insert(0, Destination::from(alias));
        return (all, None);
    }
    let hint = advice![
        format!(
            "ssh's configuration leads {alias} to {leads_to}, which is no address of that member: "
        ),
        Choice::Ssh.with(format_args!("{alias}={alias}")),
        " takes it",
    ];
    (all, Some(hint))
}

/// What would help to get in may be in the part of ssh's configuration that was not used.
fn or_by_alias(error: SshError, not_used: Option<Advice>) -> SshError {
    let Some(alias) = not_used else {
        return error;
    };
    match error.kind {
        SshErrorKind::Unreachable | SshErrorKind::NotAllowed => {
            let hint = match error.hint.clone() {
                Some(hint) => hint.and("; ").and(alias),
                None => alias,
            };
            error.hint(hint)
        }
        _ => error,
    }
}

/// Nobody says where it is, or nothing that was said is an address.
fn no_address(candidate: &Candidate) -> SshError {
    let host = candidate.name();
    let left_out = candidate.left_out.iter().map(ToString::to_string);
    let left_out: Vec<String> = left_out.collect();
    let message = match left_out.is_empty() {
        true => format!("{host}: its address is not known"),
        false => format!("{host}: its address is not known: {}", left_out.join("; ")),
    };
    SshError::new(SshErrorKind::Unreachable, message)
        .hint(advice![at_address(host), " says where it is"])
}

/// Tells the progress and gives back the answer; none: it was cut.
async fn last_line(
    stdout: impl AsyncRead + Unpin,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Option<Answered>, Failure> {
    // What the user's shell prints at a login.
    let foreign = |text: String| tracing::debug!(text, "not ours");
    match answer(stdout, progress, foreign).await {
        Err(AnswerError::Lines(LinesError::Io(_))) => Ok(None),
        Err(error @ AnswerError::Lines(LinesError::TooLong)) => {
            Err(Failure::other(format!("the program there prints {error}")))
        }
        Err(AnswerError::Line(error)) => Err(not_understood(&error)),
        Ok(answered) => Ok(answered),
    }
}

/// The program there is the plugin's own: it was put there by its digest. One of another version has taken its place since.
fn not_understood(error: &LineError) -> Failure {
    let failure = Failure::other(match error {
        LineError::Malformed(cause) => format!("the program there {error}: {cause}"),
        LineError::OtherVersion { .. } | LineError::Foreign { .. } => {
            format!("the program there {error}")
        }
    });
    failure.hint("run it again: the plugin puts its own program there")
}

/// What came in lines, and the last words. After a failure nobody waits for those: whoever prints what is no line may
/// also never end its standard error.
async fn with_last_words<T>(
    lines: impl Future<Output = Result<T, Failure>>,
    words: impl Future<Output = String>,
) -> Result<(T, String), Failure> {
    futures::try_join!(lines, async { Ok(words.await) })
}

/// What is said on standard error, up to its end.
pub(super) async fn last_words(stderr: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(mut stderr) = stderr {
        let _ = (&mut stderr).take(LAST_WORDS).read_to_end(&mut said).await;
        // The rest, so that nobody waits for a reader.
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&said).trim().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use etcd_operations::wire::{Event, Line};

    use super::*;
    use crate::host_name::HostName;
    use crate::ssh::{Origin, SshHost};

    fn candidate(name: &str, address: &str, origin: Origin) -> Candidate {
        Candidate::told(Some(name.into()), [HostName::parse(address)], origin)
    }

    #[tokio::test]
    async fn the_name_of_a_member_is_no_way_to_another_host() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config");
        let text = "Host m2\n  HostName 10.0.0.2\nHost bastion\n  HostName 203.0.113.7\n";
        std::fs::write(&config, text).unwrap();
        let options = SshOptions {
            config: Some(config),
            ..SshOptions::default()
        };
        let asked = async |name, origin| {
            let candidate = candidate(name, "10.0.0.2", origin);
            let (all, hint) = destinations(&candidate, &options).await;
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            (all.join(" "), hint)
        };
        for origin in [Origin::Cache, Origin::Member, Origin::Plan] {
            assert_eq!(asked("m2", origin).await, ("m2 10.0.0.2".into(), None));
        }
        // ssh would take this one for a user and a host.
        for origin in [Origin::Cache, Origin::Member, Origin::Plan] {
            let (all, _) = asked("root@evil.example", origin).await;
            assert_eq!(all, "10.0.0.2");
        }
        assert_eq!(asked("bastion", Origin::Cache).await.0, "bastion 10.0.0.2");
        let (all, hint) = asked("bastion", Origin::Member).await;
        assert_eq!(all, "10.0.0.2");
        assert!(
            hint.unwrap()
                .written()
                .contains("{+ssh=bastion=bastion} takes it")
        );
    }

    #[tokio::test]
    async fn a_host_without_an_address_that_is_one_is_told_with_what_was_left_out() {
        let (told, tells) = std::sync::mpsc::channel();
        let notices: NoticeSink = std::sync::Arc::new(move |notice| told.send(notice).unwrap());
        let nowhere = candidate("root@evil.example", "x;id", Origin::Member);
        let error = SshHost::connect(&nowhere, &SshOptions::default(), notices)
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind, SshErrorKind::Unreachable);
        assert!(
            error
                .message
                .contains("`x;id` is not an IP address or a DNS name"),
            "{error}"
        );
        let warnings: Vec<String> = tells.iter().map(|one| format!("{one:?}")).collect();
        assert!(
            warnings
                .iter()
                .any(|one| one.contains("`root@evil.example` is not")),
            "{warnings:?}"
        );
    }

    #[tokio::test]
    async fn a_host_that_prints_without_line_ends_is_given_up() {
        let endless = crate::lines::tests::Endless(std::sync::Arc::default());
        // Its standard error does not end either.
        let mut ignore = |_| ();
        let both = with_last_words(last_line(endless, &mut ignore), std::future::pending());
        let failure = both.await.unwrap_err();
        let error = SshError::failed("m1", failure);
        assert!(
            error.message.starts_with("m1: ") && error.message.contains("16 MiB"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_a_shell_prints_at_a_login_is_passed_by() {
        let done = serde_json::to_string(&Line::new(Event::Done {
            answer: HostAnswer::Plain,
        }));
        let text = format!("Welcome!\n{}\n", done.unwrap());
        let last = last_line(text.as_bytes(), &mut |_| ()).await.unwrap();
        assert_eq!(last, Some(Ok(HostAnswer::Plain)));
        assert_eq!(last_line(&b"cut"[..], &mut |_| ()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_program_of_another_version_is_put_there_anew() {
        let said = async |line: &'static str| {
            let failure = last_line(line.as_bytes(), &mut |_| ()).await.unwrap_err();
            assert!(failure.hint.unwrap().written().starts_with("run it again"));
            failure.message
        };
        let other = said("{\"version\":9}\n").await;
        assert!(
            other.starts_with("the program there speaks version 9 of"),
            "{other}"
        );
        let unfit = said("{\"version\":1,\"event\":7}\n").await;
        assert!(
            unfit.starts_with("the program there prints a line that"),
            "{unfit}"
        );
    }
}
