//! The cluster in memory behind a program that reads etcdctl's command lines and prints its JSON.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_operations::client::CallError;
use etcd_operations::client::etcdctl::{Etcdctl, Printed, RunEtcdctl};
use etcd_operations::failure::{Failure, FailureKind};
use etcd_operations::ids::MemberId;
use etcd_operations::report::{AlarmKind, Member};
use serde_json::{Value, json};

use crate::memory::{MemoryCluster, NoAnswer};
use crate::{Backend, target_at};

/// An etcdctl that talks to the cluster in memory, and what it was called with.
#[derive(Clone)]
pub(crate) struct MemoryEtcdctl {
    cluster: MemoryCluster,
    pub(crate) lines: Arc<Mutex<Vec<(String, Duration)>>>,
    /// Whether nothing can be run.
    pub(crate) broken: bool,
}

/// Why etcdctl was not run, or what it failed with.
#[derive(Debug)]
pub(crate) struct ExecError {
    failure: Failure,
    transport: bool,
}

impl From<Failure> for ExecError {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            transport: false,
        }
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        error.failure
    }
}

impl CallError for ExecError {
    fn kind(&self) -> FailureKind {
        self.failure.kind
    }

    fn message(&self) -> &str {
        &self.failure.message
    }

    fn with_hint(mut self, hint: etcd_operations::advice::Advice) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }

    fn is_transport(&self) -> bool {
        self.transport
    }
}

fn lost() -> ExecError {
    ExecError {
        failure: Failure::unreachable("exec: the connection was cut"),
        transport: true,
    }
}

impl MemoryEtcdctl {
    pub(crate) fn new(cluster: &MemoryCluster) -> Self {
        Self {
            cluster: cluster.clone(),
            lines: Arc::default(),
            broken: false,
        }
    }

    fn answer(&self, url: &str, words: &[&str]) -> Result<Value, NoAnswer> {
        let own = {
            let state = self.cluster.state();
            let mut members = state.members.iter();
            let own = members.find(|member| member.client_urls.iter().any(|own| own == url));
            own.ok_or(NoAnswer::Silence)?.id
        };
        let id = |text: &str| text.parse::<MemberId>().unwrap();
        match words {
            ["endpoint", "status", "-w", "json"] => {
                let (member, leader, db_bytes) = self.cluster.status(own)?;
                Ok(json!([{"Endpoint": url, "Status": {
                    "header": header(own), "version": "3.6.1", "dbSize": db_bytes,
                    "leader": leader.map_or(0, |leader| leader.0), "raftIndex": 9, "raftTerm": 2,
                    "raftAppliedIndex": 9, "isLearner": member.is_learner,
                }}]))
            }
            ["endpoint", "health", "-w", "json"] => {
                self.cluster.read()?;
                Ok(json!([{"endpoint": url, "health": true, "took": "1.5ms"}]))
            }
            ["member", "list", "-w", "json"] => {
                self.cluster.read()?;
                Ok(list(own, &self.cluster.members()?))
            }
            ["member", "list", "--consistency=s", "-w", "json"] => {
                Ok(list(own, &self.cluster.members()?))
            }
            ["member", "add", learner @ .., "new", urls, "-w", "json"] => {
                let urls = urls.strip_prefix("--peer-urls=").unwrap().split(',');
                let urls = urls.map(str::to_owned).collect();
                Ok(list(
                    own,
                    &self.cluster.add(urls, learner.contains(&"--learner"))?,
                ))
            }
            ["member", "remove", member, "-w", "json"] => {
                Ok(list(own, &self.cluster.remove(id(member))?))
            }
            ["member", "promote", member, "-w", "json"] => {
                Ok(list(own, &self.cluster.promote(id(member))?))
            }
            ["move-leader", to] => {
                self.cluster.move_leader(own, id(to))?;
                Ok(Value::Null)
            }
            ["compaction", "--physical", revision] => {
                self.cluster.compact(revision.parse().unwrap())?;
                Ok(Value::Null)
            }
            ["defrag"] => {
                self.cluster.defragment()?;
                Ok(Value::Null)
            }
            ["alarm", "list", "-w", "json"] => {
                let alarms = self.cluster.alarms()?;
                let line = |kind| match kind {
                    AlarmKind::NoSpace => 1,
                    AlarmKind::Corrupt => 2,
                    AlarmKind::Unknown => 3,
                };
                let alarms: Vec<_> = alarms
                    .iter()
                    .map(|one| json!({"memberID": one.member_id.0, "alarm": line(one.alarm)}))
                    .collect();
                Ok(json!({"header": header(own), "alarms": alarms}))
            }
            ["alarm", "disarm", "-w", "json"] => {
                self.cluster.disarm(|_| true)?;
                Ok(json!({"header": header(own)}))
            }
            other => panic!("etcdctl does not know {other:?}"),
        }
    }
}

fn header(own: MemberId) -> Value {
    json!({"cluster_id": 1, "member_id": own.0, "revision": 3, "raft_term": 2})
}

fn list(own: MemberId, members: &[Member]) -> Value {
    let line = |member: &Member| {
        json!({
            "ID": member.id.0, "name": member.name, "peerURLs": member.peer_urls,
            "clientURLs": member.client_urls, "isLearner": member.is_learner,
        })
    };
    let members: Vec<_> = members.iter().map(line).collect();
    json!({"header": header(own), "members": members})
}

impl RunEtcdctl for MemoryEtcdctl {
    type Error = ExecError;

    async fn run(&self, arguments: Vec<String>, limit: Duration) -> Result<Printed, ExecError> {
        self.lines
            .lock()
            .unwrap()
            .push((arguments.join(" "), limit));
        if self.broken {
            return Err(lost());
        }
        let url = arguments[0].strip_prefix("--endpoints=").unwrap();
        let is_global = |word: &&str| {
            let globals = [
                "--endpoints=",
                "--dial-",
                "--command-",
                "--ca",
                "--cert",
                "--key",
            ];
            globals.iter().any(|global| word.starts_with(global))
        };
        let words = arguments.iter().map(String::as_str);
        let words: Vec<&str> = words.filter(|word| !is_global(word)).collect();
        let failed = |said: &str| Printed {
            stdout: String::new(),
            stderr: format!("Error: {said}\n"),
            exit_code: 1,
        };
        match self.answer(url, &words) {
            Ok(value) => Ok(Printed {
                stdout: value.to_string(),
                stderr: String::new(),
                exit_code: 0,
            }),
            Err(NoAnswer::Refused(said)) => Ok(failed(&said)),
            Err(NoAnswer::Silence) => Ok(failed("context deadline exceeded")),
            Err(NoAnswer::Lost) => Err(lost()),
        }
    }
}

/// The backend that the plugin has in an etcd pod.
pub(crate) struct OverEtcdctl {
    cluster: MemoryCluster,
    api: Etcdctl<MemoryEtcdctl>,
}

impl Backend for OverEtcdctl {
    type Api = Etcdctl<MemoryEtcdctl>;

    async fn start(count: u64) -> Self {
        let cluster = MemoryCluster::new(count);
        let api = Etcdctl::new(MemoryEtcdctl::new(&cluster), None, None);
        Self { cluster, api }
    }

    fn cluster(&self) -> &MemoryCluster {
        &self.cluster
    }

    fn api(&self) -> &Self::Api {
        &self.api
    }

    async fn start_member(&mut self, id: MemberId) {
        self.cluster
            .start(id, &format!("http://10.0.0.{}:2379", id.0));
    }

    fn target(&self) -> etcd_operations::target::Target {
        target_at("http://10.0.0.1:2379")
    }
}
