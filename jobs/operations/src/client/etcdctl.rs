//! The calls of [`EtcdApi`] as command lines of etcdctl. What runs them is a parameter: the plugin runs them inside an
//! etcd pod.

mod output;

use std::time::{Duration, Instant};

use super::{CallError, EtcdApi, EtcdEndpoint, MemberChange, Needs};
use crate::advice;
use crate::advice::Choice;
use crate::failure::Failure;
use crate::ids::MemberId;
use crate::report::{Alarm, Consistency, EndpointStatus, HashReport, Member, MemberList};
use crate::target::TlsFiles;

/// etcdctl takes whole seconds, and in them it starts and connects as well.
const LEAST_LIMIT: Duration = Duration::from_secs(2);

/// So much longer it is waited for etcdctl than etcdctl waits for etcd: it has to be started on a node that may be busy, and says
/// itself what it waited for.
const ENDING_LIMIT: Duration = Duration::from_secs(3);

/// Runs etcdctl.
pub trait RunEtcdctl: Clone + Send + Sync {
    /// What keeps it from running.
    type Error: CallError;

    /// Runs it with these arguments, for at most so long.
    ///
    /// # Errors
    /// When it was not run, or what it printed did not arrive. An exit code is no error.
    fn run(
        &self,
        arguments: Vec<String>,
        limit: Duration,
    ) -> impl Future<Output = Result<Printed, Self::Error>> + Send;
}

/// What etcdctl printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// On standard output.
    pub stdout: String,
    /// On standard error.
    pub stderr: String,
    /// Its exit code.
    pub exit_code: i32,
}

/// etcdctl in one etcd pod.
#[derive(Debug, Clone)]
pub struct Etcdctl<R> {
    runner: R,
    /// The certificates, as the pod's container has them.
    tls: Option<TlsFiles>,
    /// The version by the image's tag. Any other tag counts as new.
    tag: String,
}

/// One member's client address, asked by etcdctl.
#[derive(Debug, Clone)]
pub struct EtcdctlEndpoint<R> {
    etcdctl: Etcdctl<R>,
    url: String,
}

impl<R> Etcdctl<R> {
    /// etcdctl of this image, with these certificates of its container.
    pub fn new(runner: R, tls: Option<TlsFiles>, image: Option<&str>) -> Self {
        let tag = image
            .and_then(|image| image.rsplit_once(':'))
            .map_or("", |(_, tag)| tag.trim_start_matches('v'));
        Self {
            runner,
            tls,
            tag: tag.to_owned(),
        }
    }

    fn is_of(&self, lines: &[&str]) -> bool {
        lines.iter().any(|line| self.tag.starts_with(line))
    }
}

impl<R: RunEtcdctl> Etcdctl<R> {
    /// Runs one command against these addresses. An exit code that is not 0 comes with the failure etcdctl names, and
    /// what it printed all the same.
    async fn call(
        &self,
        urls: &str,
        limit: Duration,
        needs: Needs,
        words: &[&str],
    ) -> Result<(String, Option<Failure>), R::Error> {
        let whole = Duration::from_secs(limit.as_secs() + u64::from(limit.subsec_nanos() > 0));
        let limit = whole.max(LEAST_LIMIT);
        let mut arguments = vec![
            format!("--endpoints={urls}"),
            "--dial-timeout=2s".to_owned(),
            format!("--command-timeout={}s", limit.as_secs()),
        ];
        if let Some(tls) = &self.tls {
            arguments.push(format!("--cacert={}", tls.ca.display()));
            arguments.push(format!("--cert={}", tls.cert.display()));
            arguments.push(format!("--key={}", tls.key.display()));
        }
        arguments.extend(words.iter().map(|word| (*word).to_owned()));
        let printed = self.runner.run(arguments, limit + ENDING_LIMIT).await?;
        let failure = (printed.exit_code != 0)
            .then(|| output::failure(&printed.stderr, printed.exit_code, needs));
        Ok((printed.stdout, failure))
    }

    /// What the members at these addresses say of themselves, by one call; those that do not answer are left out.
    ///
    /// # Errors
    /// When etcdctl was not run, or printed something else.
    pub async fn statuses(
        &self,
        urls: &[&str],
        limit: Duration,
    ) -> Result<Vec<EndpointStatus>, R::Error> {
        let begun = Instant::now();
        let words = ["endpoint", "status", "-w", "json"];
        // A failure is of those that do not answer; what the others say stands in the output all the same.
        let (stdout, _) = self
            .call(&urls.join(","), limit, Needs::Itself, &words)
            .await?;
        Ok(output::endpoint_statuses(&stdout, begun.elapsed())?)
    }
}

impl<R: RunEtcdctl> EtcdApi for Etcdctl<R> {
    type Error = R::Error;
    type Endpoint = EtcdctlEndpoint<R>;

    /// Each call starts a program on the node.
    const PAUSE: Duration = Duration::from_millis(500);
    const SEES_FILES: bool = false;

    async fn endpoint(&self, url: &str) -> Result<EtcdctlEndpoint<R>, R::Error> {
        Ok(EtcdctlEndpoint {
            etcdctl: self.clone(),
            url: url.to_owned(),
        })
    }
}

impl<R: RunEtcdctl> EtcdctlEndpoint<R> {
    /// What a command prints that succeeds.
    async fn ask(&self, limit: Duration, needs: Needs, words: &[&str]) -> Result<String, R::Error> {
        match self.etcdctl.call(&self.url, limit, needs, words).await? {
            (stdout, None) => Ok(stdout),
            (_, Some(failure)) => Err(failure.into()),
        }
    }

    /// The list as etcdctl asks for it by default: from 3.5 on of the quorum.
    async fn list(&self, limit: Duration, needs: Needs) -> Result<MemberList, R::Error> {
        let words = ["member", "list", "-w", "json"];
        let stdout = self.ask(limit, needs, &words).await?;
        let consistency = match self.lists_by_quorum() {
            true => Consistency::Linearizable,
            false => Consistency::Serializable,
        };
        Ok(output::members(&stdout, consistency)?)
    }

    /// Whether `member list` asks the quorum unless told otherwise: from 3.5 on.
    pub fn lists_by_quorum(&self) -> bool {
        !self.etcdctl.is_of(&["3.3.", "3.4."])
    }

    /// As [`EtcdEndpoint::agreed_members`], but a time limit that runs out counts as the silence of this member:
    /// another one may still get an answer from the quorum.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::agreed_members`].
    pub async fn try_agreed_members(&self, limit: Duration) -> Result<MemberList, R::Error> {
        self.list(limit, Needs::Itself).await
    }

    /// The member's own view, which needs no quorum; none where etcdctl cannot ask for it, before 3.6.
    ///
    /// # Errors
    /// As [`EtcdEndpoint::members`].
    pub async fn own_view(&self, limit: Duration) -> Result<Option<MemberList>, R::Error> {
        if self.etcdctl.is_of(&["3.3.", "3.4.", "3.5."]) {
            return Ok(None);
        }
        let words = ["member", "list", "--consistency=s", "-w", "json"];
        match self.ask(limit, Needs::Itself, &words).await {
            Ok(stdout) => Ok(Some(output::members(&stdout, Consistency::Serializable)?)),
            Err(error) if error.message().contains("unknown flag") => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<R: RunEtcdctl> EtcdEndpoint for EtcdctlEndpoint<R> {
    type Error = R::Error;

    async fn status(&self, limit: Duration) -> Result<EndpointStatus, R::Error> {
        let begun = Instant::now();
        let words = ["endpoint", "status", "-w", "json"];
        let stdout = self.ask(limit, Needs::Itself, &words).await?;
        let mut statuses = output::endpoint_statuses(&stdout, begun.elapsed())?.into_iter();
        let none = || output::not_understood("an empty list");
        Ok(statuses.next().ok_or_else(none)?)
    }

    async fn members(&self, limit: Duration) -> Result<MemberList, R::Error> {
        match self.own_view(limit).await? {
            Some(list) => Ok(list),
            None => self.list(limit, Needs::Quorum).await,
        }
    }

    async fn agreed_members(&self, limit: Duration) -> Result<MemberList, R::Error> {
        self.list(limit, Needs::Quorum).await
    }

    async fn linearizable_read(&self, limit: Duration) -> Result<Duration, R::Error> {
        let words = ["endpoint", "health", "-w", "json"];
        let call = self
            .etcdctl
            .call(&self.url, limit, Needs::Quorum, &words)
            .await?;
        match call {
            (stdout, Some(failure)) if stdout.trim().is_empty() => Err(failure.into()),
            // An unhealthy endpoint is exit code 1, with its line on standard output all the same.
            (stdout, _) => Ok(output::health(&stdout)?),
        }
    }

    async fn alarms(&self, limit: Duration) -> Result<Vec<Alarm>, R::Error> {
        let words = ["alarm", "list", "-w", "json"];
        let stdout = self.ask(limit, Needs::Quorum, &words).await?;
        Ok(output::alarms(&stdout)?)
    }

    /// etcdctl disarms all alarms at once, so it is only used where these are the ones that are meant.
    async fn disarm(
        &self,
        wanted: &[Alarm],
        raised: &[Alarm],
        limit: Duration,
    ) -> Result<(), R::Error> {
        if wanted.len() != raised.len() {
            let message = "etcdctl disarms all alarms at once, and others are raised than the one that is meant";
            let hint = advice![
                "do it through a Job, or on a control-plane node as root with ",
                Choice::Via.with("local"),
            ];
            return Err(Failure::refused(message).hint(hint).into());
        }
        let words = ["alarm", "disarm", "-w", "json"];
        self.ask(limit, Needs::Quorum, &words).await.map(drop)
    }

    async fn hash_kv(&self, revision: i64, limit: Duration) -> Result<HashReport, R::Error> {
        let rev = format!("--rev={revision}");
        let words = ["endpoint", "hashkv", &rev, "-w", "json"];
        let stdout = self.ask(limit, Needs::Itself, &words).await?;
        Ok(output::hash(&stdout, revision)?)
    }

    async fn compact(&self, revision: i64, limit: Duration) -> Result<(), R::Error> {
        let words = ["compaction", "--physical", &revision.to_string()];
        self.ask(limit, Needs::Quorum, &words).await.map(drop)
    }

    async fn defragment(&self, limit: Duration) -> Result<(), R::Error> {
        self.ask(limit, Needs::Itself, &["defrag"]).await.map(drop)
    }

    async fn change_members(
        &self,
        change: MemberChange<'_>,
        limit: Duration,
    ) -> Result<Vec<Member>, R::Error> {
        let (verb, what, option) = match change {
            // etcdctl wants a name, and does no more than print it.
            MemberChange::Add { peer_urls, learner } => (
                if learner { "add --learner" } else { "add" },
                "new".to_owned(),
                Some(format!("--peer-urls={}", peer_urls.join(","))),
            ),
            MemberChange::Remove(member) => ("remove", member.to_string(), None),
            MemberChange::Promote(member) => ("promote", member.to_string(), None),
        };
        let mut words = vec!["member"];
        words.extend(verb.split(' '));
        words.push(&what);
        words.extend(option.as_deref());
        words.extend(["-w", "json"]);
        let stdout = self.ask(limit, Needs::Quorum, &words).await?;
        Ok(output::members(&stdout, Consistency::Linearizable)?.members)
    }

    async fn move_leader(&self, to: MemberId, limit: Duration) -> Result<(), R::Error> {
        let words = ["move-leader", &to.to_string()];
        self.ask(limit, Needs::Quorum, &words).await.map(drop)
    }
}
