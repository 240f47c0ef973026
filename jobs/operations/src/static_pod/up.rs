//! A component that was started, waited for until it is up: its container runs, its process has the flags of its manifest,
//! and it says of itself that it is well.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::time::sleep;

use super::process::Differs;
use super::{LOOK, StaticPod, Wanted};
use crate::container_log::last_lines;
use crate::evidence;
use crate::failure::{Failure, FailureKind};
use crate::kubelet;
use crate::proc::words_of;
use crate::runtime::{Container, Runtime, State};

/// How long kubelet gets to make a container of a manifest before it is restarted, once. It looks through the folder
/// every 20 s, and what it does at once takes it a second or two. After a loss of power it may never begin.
const PATIENCE: Duration = Duration::from_secs(20);

/// After so many containers that have ended there is no use in waiting for another one: kubelet waits longer before each.
const MOST_ENDS: u32 = 4;

/// How often kubelet itself is looked at meanwhile.
const LOOK_AT_KUBELET: Duration = Duration::from_secs(1);

/// How many last lines of a log are looked through.
const LINES: usize = 500;

/// How many of them are told, when none says why the program ended.
const TOLD: usize = 3;

/// A component that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// The id of its container.
    pub container: String,
    /// The number of its process.
    pub pid: u32,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    /// Something of it to go.
    Gone {
        /// What is left: one of it.
        left: super::Remains,
    },
    /// kubelet to make its container.
    Container,
    /// kubelet, which was restarted because it had not made one.
    KubeletAgain,
    /// The container to be started again, after it ended.
    NextContainer {
        /// How it ended: with which code, and its last words.
        ended: String,
    },
    /// A process of other flags to make way.
    OtherProcess {
        /// Its number.
        pid: u32,
        /// In what it differs.
        differs: String,
    },
    /// A good answer.
    Health {
        /// What it answered last, or why there is no answer.
        said: String,
    },
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { left } => write!(f, "waiting until it is gone: {left}"),
            Self::Container => write!(f, "waiting for kubelet to start its container"),
            Self::KubeletAgain => write!(
                f,
                "kubelet was restarted, as it had not started its container after {} s",
                PATIENCE.as_secs()
            ),
            Self::NextContainer { ended } => {
                write!(f, "waiting for the next container: {ended}")
            }
            Self::OtherProcess { pid, differs } => write!(
                f,
                "waiting for the process with its manifest's flags: {pid} runs {differs}"
            ),
            Self::Health { said } => write!(f, "waiting for it to be well: {said}"),
        }
    }
}

/// Is told what is waited for, each time that is something else.
pub type Tell<'t> = dyn FnMut(Awaited) + Send + 't;

/// How it looks at one moment.
#[derive(Debug)]
enum Seen {
    /// No container.
    Nothing,
    /// The last container has ended, or has not begun.
    Ended(Container),
    /// The container of a process that does not have the manifest's flags.
    Other { pid: u32, differs: Differs },
    /// The container as it should be.
    Runs(Up),
}

impl StaticPod {
    /// Waits until it is up. Its manifest has to be in kubelet's folder before.
    ///
    /// # Errors
    /// [`FailureKind::Missing`] when kubelet does not run, [`FailureKind::Unreachable`] when the runtime does not answer;
    /// [`FailureKind::Other`] with what was seen of it, when it is not up after `limit`.
    pub async fn up(
        &self,
        runtime: &Runtime,
        wanted: Wanted,
        limit: Duration,
        tell: &mut Tell<'_>,
    ) -> Result<Up, Failure> {
        let mut waiting = Waiting::begin();
        loop {
            let seen = self.look(runtime).await?;
            let awaited = match &seen {
                Seen::Runs(up) => match self.health.ask(wanted).await {
                    Ok(()) if self.runs(up) => return Ok(up.clone()),
                    Ok(()) => Awaited::Container,
                    Err(failure) => Awaited::Health {
                        said: failure.message,
                    },
                },
                Seen::Other { pid, differs } => Awaited::OtherProcess {
                    pid: *pid,
                    differs: differs.to_string(),
                },
                Seen::Ended(last) if waiting.has_seen_ending(last) => Awaited::NextContainer {
                    ended: waiting.how_ended(runtime, last).await,
                },
                Seen::Nothing | Seen::Ended(_) => {
                    let begun = matches!(&seen, Seen::Ended(last) if waiting.has_seen(last));
                    if !begun && waiting.is_stuck(&self.component).await? {
                        kubelet::restart().await?;
                        waiting.restarted = true;
                    }
                    match waiting.restarted {
                        true => Awaited::KubeletAgain,
                        false => Awaited::Container,
                    }
                }
            };
            if waiting.begun.elapsed() > limit || waiting.is_in_vain() {
                return Err(self.not_up(runtime, &waiting, &seen, &awaited).await);
            }
            if waiting.told.as_ref() != Some(&awaited) {
                waiting.told = Some(awaited.clone());
                tell(awaited);
            }
            sleep(LOOK).await;
        }
    }

    /// Looks at its newest container.
    async fn look(&self, runtime: &Runtime) -> Result<Seen, Failure> {
        let all = runtime.containers(&self.pod).await?.into_iter();
        let mut own: Vec<Container> = all.filter(|one| one.name == self.component).collect();
        // One that runs stands in the way of a newer one that does not.
        own.sort_by_key(|one| one.state != State::Running);
        let Some(container) = own.into_iter().next() else {
            return Ok(Seen::Nothing);
        };
        if container.state != State::Running {
            return Ok(Seen::Ended(container));
        }
        let details = match runtime.details(&container.id).await {
            Err(failure) if failure.kind == FailureKind::Missing => return Ok(Seen::Nothing),
            details => details?,
        };
        let process = details.pid.and_then(|pid| Some((pid, words_of(pid)?)));
        let Some((pid, words)) = process else {
            return Ok(Seen::Ended(container));
        };
        let differs = self.command.differs(&words);
        let differs = differs.or_else(|| match (container.image, &self.image) {
            (Some(image), Some(named)) if image != *named => Some(Differs::Image { image }),
            _ => None,
        });
        Ok(match differs {
            Some(differs) => Seen::Other { pid, differs },
            None => Seen::Runs(Up {
                container: container.id,
                pid,
            }),
        })
    }

    /// Whether the process that was found is there: while it was asked for its health it may have ended, and another one
    /// have answered.
    fn runs(&self, up: &Up) -> bool {
        words_of(up.pid).is_some_and(|words| self.command.differs(&words).is_none())
    }

    /// What was seen of it, for a person who has to find out why.
    async fn not_up(
        &self,
        runtime: &Runtime,
        waiting: &Waiting,
        seen: &Seen,
        awaited: &Awaited,
    ) -> Failure {
        let seconds = waiting.begun.elapsed().as_secs();
        let component = &self.component;
        let begin = format!("{component} is not up after {seconds} s");
        let kubelet = kubelet::last_words(&self.pod.name, waiting.since).await;
        let kubelets = match &kubelet {
            Some(words) => format!("; kubelet says: {words}"),
            None => String::new(),
        };
        let failed = |saw: String| Failure::other(format!("{begin}: {saw}"));
        match seen {
            Seen::Nothing => failed(format!("kubelet has made no container of it{kubelets}"))
                .hint(hint_on_kubelet(kubelet.as_deref())),
            Seen::Ended(last) if !waiting.has_seen(last) => failed(format!(
                "kubelet has started no container of it since the one of before{kubelets}"
            ))
            .hint(hint_on_kubelet(kubelet.as_deref())),
            Seen::Other { pid, differs } => failed(format!(
                "the process {pid} of before still runs {differs}{kubelets}"
            ))
            .hint("it has to be stopped first: kubelet may not replace it"),
            Seen::Ended(last) => {
                let (saw, log) = ending(runtime, last).await;
                with_log(failed(saw), log)
            }
            Seen::Runs(up) => {
                let log = runtime.details(&up.container).await.map(|one| one.log);
                let saw = format!("it runs, but {}", still(awaited));
                with_log(failed(saw), log.ok())
            }
        }
    }
}

/// The state of one waiting.
#[derive(Debug)]
struct Waiting {
    begun: Instant,
    since: Timestamp,
    told: Option<Awaited>,
    kubelet_seen: Option<Instant>,
    restarted: bool,
    /// The id of the last container that ended, and how.
    ended: Option<(String, String)>,
    /// How many containers have ended since.
    ends: u32,
}

impl Waiting {
    fn begin() -> Self {
        Self {
            begun: Instant::now(),
            since: Timestamp::now(),
            told: None,
            kubelet_seen: None,
            restarted: false,
            ends: 0,
            ended: None,
        }
    }

    /// Whether a container was made since the waiting began.
    fn has_seen(&self, container: &Container) -> bool {
        i128::from(container.created_at) >= self.since.as_nanosecond()
    }

    /// Whether a container was made since the waiting began, and has ended.
    fn has_seen_ending(&self, container: &Container) -> bool {
        container.state == State::Exited && self.has_seen(container)
    }

    /// How a container ended, looked at once.
    async fn how_ended(&mut self, runtime: &Runtime, container: &Container) -> String {
        if let Some((id, ended)) = &self.ended
            && *id == container.id
        {
            return ended.clone();
        }
        let (ended, _) = ending(runtime, container).await;
        self.ends += 1;
        self.ended = Some((container.id.clone(), ended.clone()));
        ended
    }

    /// Whether what comes next will end like what was before.
    fn is_in_vain(&self) -> bool {
        let removed = |(_, how): &(String, String)| how.contains(evidence::REMOVED);
        self.ends >= MOST_ENDS || self.ended.as_ref().is_some_and(removed)
    }

    /// Whether kubelet has to be restarted, as it should have made a container by now.
    async fn is_stuck(&mut self, component: &str) -> Result<bool, Failure> {
        let due = |seen: Instant| seen.elapsed() > LOOK_AT_KUBELET;
        if self.kubelet_seen.is_none_or(due) {
            self.kubelet_seen = Some(Instant::now());
            if !kubelet::is_active().await? {
                let message = format!("kubelet does not run, so {component} is not started");
                return Err(Failure::missing(message).hint("systemctl start kubelet"));
            }
        }
        Ok(!self.restarted && self.begun.elapsed() > PATIENCE)
    }
}

/// How a container ended, and its log.
async fn ending(runtime: &Runtime, container: &Container) -> (String, Option<PathBuf>) {
    let Ok(details) = runtime.details(&container.id).await else {
        return ("its container ended".to_owned(), None);
    };
    let log = Some(details.log);
    if container.state == State::Created {
        let saw = format!("its container was made and not started {}", details.reason);
        return (saw.trim_end().to_owned(), log);
    }
    let words = log.as_deref().and_then(last_words);
    let why = match words {
        Some(words) => format!("; its last words: {words}"),
        // It did not come so far as to say something.
        None if !details.reason.is_empty() => format!(" ({})", details.reason),
        None => String::new(),
    };
    let code = details.exit_code;
    (
        format!("its container ended with exit code {code}{why}"),
        log,
    )
}

/// The line of a log that says why the program ended, else its last lines.
fn last_words(log: &Path) -> Option<String> {
    evidence::last_words(log).or_else(|| {
        let lines = last_lines(log, LINES).ok()?;
        complaint(&lines).or_else(|| {
            let last = lines.get(lines.len().saturating_sub(TOLD)..)?;
            (!last.is_empty()).then(|| last.join(" / "))
        })
    })
}

/// What a program of Go says of flags it does not take, before it prints how to use it.
fn complaint(lines: &[String]) -> Option<String> {
    let begins = ["Error: ", "error: ", "invalid value ", "flag provided "];
    let complains = |line: &&String| begins.iter().any(|begin| line.starts_with(begin));
    lines.iter().rev().find(complains).cloned()
}

fn with_log(failure: Failure, log: Option<PathBuf>) -> Failure {
    match log.filter(|log| !log.as_os_str().is_empty()) {
        Some(log) => failure.hint(format!("its log: {}", log.display())),
        None => failure,
    }
}

fn still(awaited: &Awaited) -> String {
    match awaited {
        Awaited::Health { said } => said.clone(),
        other => other.to_string(),
    }
}

/// kubelet's words for an image that it has not and does not get: `ErrImagePull`, `ImagePullBackOff`,
/// `ErrImageNeverPull`, `InvalidImageName`.
fn hint_on_kubelet(words: Option<&str>) -> &'static str {
    match words {
        Some(words) if words.contains("Image") => {
            "its image has to be on this node: `crictl pull` it, or put right what the manifest names"
        }
        Some(_) | None => "journalctl -u kubelet says what it does",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let text: String = lines
            .iter()
            .map(|line| format!("2026-11-22T08:00:00Z stderr F {line}\n"))
            .collect();
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn why_a_program_ended_is_found_before_its_usage() {
        let said = |lines: &[&str]| last_words(&log(lines).1);
        let wrong = "invalid value \"abc\" for flag -heartbeat-interval: parse error";
        assert_eq!(
            said(&[wrong, "Usage:", "", "  etcd [flags]"]).unwrap(),
            wrong
        );
        let fatal = r#"{"level":"fatal","msg":"discovery failed","error":"x"}"#;
        assert_eq!(said(&[fatal, "goroutine"]).unwrap(), "discovery failed: x");
        assert_eq!(said(&["a", "b", "c", "d"]).unwrap(), "b / c / d");
        assert_eq!(said(&[]), None);
        assert_eq!(last_words(Path::new("/none")), None);
    }

    #[test]
    fn an_etcd_that_was_removed_is_not_waited_for() {
        let ended = |words: &str| Waiting {
            ended: Some(("1".into(), format!("its container ended; {words}"))),
            ends: 1,
            ..Waiting::begin()
        };
        let removed = "server error: the member has been permanently removed from the cluster";
        assert!(ended(removed).is_in_vain());
        let soon = ended("its last words: bind: address already in use");
        assert!(!soon.is_in_vain());
        assert!(
            Waiting {
                ends: MOST_ENDS,
                ..soon
            }
            .is_in_vain()
        );
    }

    #[test]
    fn a_missing_image_is_hinted_at() {
        let words = "\"Error syncing pod, skipping\" err=\"failed to \\\"StartContainer\\\" for \\\"etcd\\\" with ErrImagePull\"";
        assert!(hint_on_kubelet(Some(words)).contains("image"));
        assert!(hint_on_kubelet(None).starts_with("journalctl"));
    }

    #[test]
    fn what_is_awaited_reads_well() {
        let awaited = [
            Awaited::Container,
            Awaited::NextContainer {
                ended: "its container ended with exit code 2; its last words: x".into(),
            },
            Awaited::OtherProcess {
                pid: 7,
                differs: "without --x=1".into(),
            },
            Awaited::Health {
                said: "/readyz answers 500: failing checks: etcd".into(),
            },
        ];
        insta::assert_snapshot!(awaited.map(|one| one.to_string()).join("\n"), @"
        waiting for kubelet to start its container
        waiting for the next container: its container ended with exit code 2; its last words: x
        waiting for the process with its manifest's flags: 7 runs without --x=1
        waiting for it to be well: /readyz answers 500: failing checks: etcd
        ");
    }
}
