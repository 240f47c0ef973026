//! The ladder without a cluster: runners that follow a script.

use std::sync::Arc;

use etcd_operations::ids::ClusterId;
use etcd_operations::operation::{Operation, Usage};
use etcd_operations::report::AlarmReport;
use futures::future::BoxFuture;
use futures::stream;

use super::*;
use crate::assess::fixtures;
use crate::runners::{FileReceiver, Results as RunnerResults};

const ALL: [Via; 5] = [Via::Job, Via::Pod, Via::Exec, Via::Local, Via::Ssh];

const KINDS: [RunErrorKind; 28] = [
    RunErrorKind::NodeDown,
    RunErrorKind::KubeletSilent,
    RunErrorKind::PodNotStarted,
    RunErrorKind::ImageMissing,
    RunErrorKind::AdmissionRefused,
    RunErrorKind::QuotaExceeded,
    RunErrorKind::NoRights,
    RunErrorKind::WritesRefused,
    RunErrorKind::NoController,
    RunErrorKind::EtcdNotRunning,
    RunErrorKind::NotSupportedByRunner,
    RunErrorKind::TimedOut,
    RunErrorKind::OtherVersion,
    RunErrorKind::NotReached,
    RunErrorKind::NoEtcd,
    RunErrorKind::ApiserverLost,
    RunErrorKind::EtcdLost,
    RunErrorKind::Lost,
    RunErrorKind::Other,
    RunErrorKind::OperationFailed(FailureKind::Interrupted),
    RunErrorKind::OperationFailed(FailureKind::Unreachable),
    RunErrorKind::OperationFailed(FailureKind::Unauthorized),
    RunErrorKind::OperationFailed(FailureKind::NoQuorum),
    RunErrorKind::OperationFailed(FailureKind::NoSpace),
    RunErrorKind::OperationFailed(FailureKind::Corrupt),
    RunErrorKind::OperationFailed(FailureKind::Refused),
    RunErrorKind::OperationFailed(FailureKind::Missing),
    RunErrorKind::OperationFailed(FailureKind::Other),
];

/// What a runner fails with on the node of this number when it is asked for so many times there; none: it gives its report.
type Script = Arc<dyn Fn(Via, &str, usize) -> Option<RunErrorKind> + Send + Sync>;

/// Who was asked on which node, in order.
type Asked = Arc<Mutex<Vec<(Via, String)>>>;

struct Scripted {
    via: Via,
    script: Script,
    asked: Asked,
    /// Whether it only does what etcdctl can do, and holds no file.
    only_status: bool,
    /// The only node on which it can work, if it is that particular.
    only_on: Option<&'static str>,
    back: bool,
}

impl Scripted {
    async fn answer(&self, node: &Node, task: Task<'_>) -> Result<Report, RunError> {
        let times = {
            let mut asked = self.asked.lock().unwrap();
            asked.push((self.via, node.name.clone()));
            let same = |(via, name): &&(Via, String)| *via == self.via && *name == node.name;
            asked.iter().filter(same).count()
        };
        if let Some(kind) = (self.script)(self.via, &node.name, times) {
            return Err(RunError::new(kind, format!("{} fails", self.via)));
        }
        if let Some(receiver) = task.receiver {
            receiver.receive("pod").await?;
        }
        Ok(report())
    }
}

impl Runner for Scripted {
    fn via(&self) -> Via {
        self.via
    }

    fn can_run(&self, task: &Task<'_>, node: &Node) -> bool {
        let for_status = *task.operation == Operation::Status && task.receiver.is_none();
        (!self.only_status || for_status) && self.only_on.is_none_or(|only| only == node.name)
    }

    fn run<'a>(&'a self, nodes: &'a [&'a Node], task: Task<'a>) -> RunnerResults<'a> {
        assert!(!nodes.is_empty(), "{} is begun for no node", self.via);
        let nodes = stream::iter(nodes.iter().enumerate());
        let answers = nodes
            .then(move |(position, node)| async move { (position, self.answer(node, task).await) });
        answers.boxed()
    }

    fn is_back(&self) -> BoxFuture<'_, bool> {
        Box::pin(std::future::ready(self.back))
    }
}

fn report() -> Report {
    Report::AlarmList(AlarmReport {
        cluster_id: ClusterId(7),
        alarms: Vec::new(),
        still_raised: Vec::new(),
    })
}

/// Runs an operation through runners that follow a script.
struct Trial {
    operation: Operation,
    nodes: Vec<Node>,
    runners: Vec<Via>,
    /// The node that this host is.
    here: &'static str,
    back: bool,
}

/// What came of a trial.
struct Ended {
    outcomes: Vec<Outcome>,
    asked: Vec<(Via, String)>,
    /// Which runners were said to be used, and why.
    told: Vec<(Via, String)>,
}

impl Ended {
    fn vias(&self) -> Vec<Via> {
        self.asked.iter().map(|(via, _)| *via).collect()
    }

    fn only(&self) -> &Outcome {
        assert_eq!(self.outcomes.len(), 1);
        &self.outcomes[0]
    }

    fn error(&self) -> &RunError {
        self.only().result.as_ref().unwrap_err()
    }
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            operation: Operation::Status,
            nodes: vec![fixtures::node(1)],
            runners: vec![Via::Job, Via::Pod, Via::Exec, Via::Local],
            here: "cp-1",
            back: false,
        }
    }
}

impl Trial {
    fn of(operation: Operation) -> Self {
        Self {
            operation,
            ..Self::default()
        }
    }

    fn on(mut self, nodes: u64) -> Self {
        self.nodes = (1..=nodes).map(fixtures::node).collect();
        self
    }

    fn begin(
        &self,
        script: impl Fn(Via, &str, usize) -> Option<RunErrorKind> + Send + Sync + 'static,
    ) -> Begun {
        let script: Script = Arc::new(script);
        let (asked, told) = (Asked::default(), Arc::new(Mutex::new(Vec::new())));
        let runner = |via: &Via| -> Box<dyn Runner> {
            Box::new(Scripted {
                via: *via,
                script: Arc::clone(&script),
                asked: Arc::clone(&asked),
                only_status: matches!(via, Via::Exec | Via::Local),
                only_on: (*via == Via::Local).then_some(self.here),
                back: self.back,
            })
        };
        let sink = Arc::clone(&told);
        let notices: NoticeSink = Arc::new(move |notice| {
            if let Notice::RunnerChosen { via, why } = notice {
                sink.lock().unwrap().push((via, why));
            }
        });
        Begun {
            ladder: Ladder::new(self.runners.iter().map(runner).collect(), notices),
            asked,
            told,
        }
    }

    async fn run(
        self,
        script: impl Fn(Via, &str, usize) -> Option<RunErrorKind> + Send + Sync + 'static,
    ) -> Ended {
        let begun = self.begin(script);
        begun.run(&self.nodes, &self.operation, None).await
    }
}

struct Begun {
    ladder: Ladder,
    asked: Asked,
    told: Asked,
}

impl Begun {
    async fn run(
        &self,
        nodes: &[Node],
        operation: &Operation,
        receiver: Option<&dyn FileReceiver>,
    ) -> Ended {
        let nodes: Vec<&Node> = nodes.iter().collect();
        let task = Task {
            operation,
            limit: Duration::from_secs(1),
            progress: &|_, _| {},
            receiver,
        };
        let outcomes = self.ladder.run(&nodes, task).await;
        Ended {
            outcomes,
            asked: std::mem::take(&mut *self.asked.lock().unwrap()),
            told: std::mem::take(&mut *self.told.lock().unwrap()),
        }
    }
}

fn usage() -> Operation {
    Operation::Usage(Usage { top: 10 })
}

/// Who takes over on a node, told apart from the table.
fn expected(via: Via, kind: RunErrorKind) -> Option<Via> {
    use RunErrorKind as Kind;
    match (via, kind) {
        (Via::Job, Kind::NoController) => Some(Via::Pod),
        (
            Via::Job | Via::Pod,
            Kind::WritesRefused
            | Kind::AdmissionRefused
            | Kind::QuotaExceeded
            | Kind::NoRights
            | Kind::ImageMissing
            | Kind::PodNotStarted
            | Kind::OtherVersion,
        ) => Some(Via::Exec),
        (Via::Job | Via::Pod | Via::Exec, Kind::ApiserverLost | Kind::EtcdLost) => Some(Via::Local),
        (Via::Job | Via::Pod, Kind::OperationFailed(FailureKind::Interrupted)) => Some(via),
        _ => None,
    }
}

#[tokio::test]
async fn each_failure_of_each_runner_hands_over_as_the_table_says() {
    for via in ALL {
        for kind in KINDS {
            let mut trial = Trial::default();
            trial.runners.retain(|other| *other != via);
            trial.runners.insert(0, via);
            let failing = move |other, _: &str, times| (other == via && times == 1).then_some(kind);
            let ended = trial.run(failing).await;
            let next = expected(via, kind);
            let vias: Vec<Via> = [via].into_iter().chain(next).collect();
            assert_eq!(ended.vias(), vias, "{via} {kind:?}");
            assert_eq!(
                ended.only().result.is_ok(),
                next.is_some(),
                "{via} {kind:?}"
            );
            assert_eq!(ended.only().via, vias.last().copied(), "{via} {kind:?}");
            // The notice is said when the runner is not the first choice, with the reason.
            let told: Vec<_> = next.filter(|next| *next != via).into_iter().collect();
            let said: Vec<Via> = ended.told.iter().map(|(via, _)| *via).collect();
            assert_eq!(said, told, "{via} {kind:?}");
        }
    }
}

#[test]
fn no_row_leads_back_and_each_failure_has_one_row_for_each_node() {
    let rank = |via: Via| ALL.iter().position(|other| *other == via);
    for row in &HAND_OVERS {
        assert!(!row.from.is_empty() && !row.after.is_empty() && !row.reason.is_empty());
        if let Next::Runner(next) = row.next {
            assert!(
                row.from.iter().all(|from| rank(*from) < rank(next)),
                "{row:?}"
            );
        }
    }
    for via in ALL {
        for kind in KINDS {
            let is_for = |row: &&HandOver| row.from.contains(&via) && row.after.contains(&kind);
            let rows = HAND_OVERS.iter().filter(|row| row.scope == Scope::EachNode);
            assert!(rows.filter(is_for).count() <= 1, "{via} {kind:?}");
        }
    }
}

#[tokio::test]
async fn a_forced_runner_never_hands_over() {
    for via in ALL {
        for kind in KINDS {
            let trial = Trial {
                runners: vec![via],
                ..Trial::of(Operation::Defrag)
            };
            let ended = trial.run(move |_, _, _| Some(kind)).await;
            assert_eq!(ended.vias(), [via], "{kind:?}");
            assert_eq!((ended.error().kind, ended.told.len()), (kind, 0));
        }
    }
    assert_eq!(instead_of_apiserver(Some(Via::Job), true), None);
}

#[tokio::test]
async fn a_full_database_leads_to_exec_where_etcdctl_can_do_it() {
    let full = |via, _: &str, _| (via == Via::Job).then_some(RunErrorKind::WritesRefused);
    let ended = Trial::default().on(3).run(full).await;
    assert!(ended.outcomes.iter().all(|outcome| outcome.result.is_ok()));
    let via = |outcome: &Outcome| outcome.via == Some(Via::Exec);
    assert!(ended.outcomes.iter().all(via));
    // Said once, and not for each node.
    assert_eq!(ended.told, [(Via::Exec, "job fails".to_owned())]);
    let ended = Trial::of(usage()).run(full).await;
    assert_eq!(ended.vias(), [Via::Job]);
    assert_eq!(ended.error().kind, RunErrorKind::WritesRefused);
}

#[tokio::test]
async fn when_no_runner_can_the_first_reason_is_told_first() {
    let ended = Trial::default()
        .run(|via, _, _| match via {
            Via::Job => Some(RunErrorKind::NoController),
            Via::Pod => Some(RunErrorKind::AdmissionRefused),
            _ => Some(RunErrorKind::NoRights),
        })
        .await;
    assert_eq!(ended.vias(), [Via::Job, Via::Pod, Via::Exec]);
    assert_eq!(
        ended.error().message,
        "job fails; through pod: pod fails; through exec: exec fails"
    );
    assert_eq!(ended.error().kind, RunErrorKind::AdmissionRefused);
    // What the operation itself says is the answer, whoever ran it.
    let corrupt = RunErrorKind::OperationFailed(FailureKind::Corrupt);
    let ended = Trial::default()
        .run(|via, _, _| match via {
            Via::Job => Some(RunErrorKind::NoController),
            _ => Some(RunErrorKind::OperationFailed(FailureKind::Corrupt)),
        })
        .await;
    assert_eq!(
        (ended.error().kind, ended.error().message.as_str()),
        (corrupt, "pod fails")
    );
}

#[tokio::test]
async fn one_node_hands_over_by_itself() {
    let ended = Trial::default()
        .on(3)
        .run(|via, node, _| {
            (via == Via::Job && node == "cp-2").then_some(RunErrorKind::PodNotStarted)
        })
        .await;
    let vias: Vec<_> = ended.outcomes.iter().map(|outcome| outcome.via).collect();
    assert_eq!(vias, [Some(Via::Job), Some(Via::Exec), Some(Via::Job)]);
}

#[tokio::test]
async fn the_apiserver_is_lost_in_the_middle() {
    let lost = |via, _: &str, _| (via != Via::Local).then_some(RunErrorKind::EtcdLost);
    // On a control-plane node: that node is asked directly.
    let trial = Trial {
        here: "cp-2",
        ..Trial::default().on(3)
    };
    let ended = trial.run(lost).await;
    let vias: Vec<_> = ended.outcomes.iter().map(|outcome| outcome.via).collect();
    assert_eq!(vias, [Some(Via::Job), Some(Via::Local), Some(Via::Job)]);
    assert!(ended.outcomes[1].result.is_ok() && ended.outcomes[0].result.is_err());
    assert_eq!(ended.told, [(Via::Local, "job fails".to_owned())]);
    // Elsewhere the outcomes say so, and the session's error names the hosts.
    let trial = Trial {
        here: "workstation",
        ..Trial::default().on(3)
    };
    let ended = trial.run(lost).await;
    let kind = |outcome: &Outcome| outcome.result.as_ref().err().map(|error| error.kind);
    let lost = |outcome: &Outcome| kind(outcome) == Some(RunErrorKind::EtcdLost);
    assert!(ended.outcomes.iter().all(lost));
    assert!(ended.told.is_empty());
    // While one node answers, the apiserver is not lost.
    let ended = Trial::default()
        .on(2)
        .run(|_, node, _| (node == "cp-1").then_some(RunErrorKind::ApiserverLost))
        .await;
    assert_eq!(ended.vias(), [Via::Job, Via::Job]);
    assert_eq!(instead_of_apiserver(None, true), Some(Via::Local));
    assert_eq!(instead_of_apiserver(None, false), None);
}

#[tokio::test]
async fn an_apiserver_that_is_back_is_asked_once_more_for_what_changes_nothing() {
    let elections = |_, _: &str, times| (times == 1).then_some(RunErrorKind::EtcdLost);
    let away = |operation| Trial {
        here: "workstation",
        back: true,
        ..Trial::of(operation).on(2)
    };
    let ended = away(Operation::Status).run(elections).await;
    assert_eq!(ended.vias(), [Via::Job; 4]);
    assert!(ended.outcomes.iter().all(|outcome| outcome.result.is_ok()));
    let ended = away(Operation::Defrag).run(elections).await;
    assert_eq!(ended.vias(), [Via::Job; 2]);
    // With the runner that had taken over.
    let without_controller = |via, _: &str, times| match (via, times) {
        (Via::Job, _) => Some(RunErrorKind::NoController),
        (_, times) => (times == 1).then_some(RunErrorKind::EtcdLost),
    };
    let trial = Trial {
        here: "workstation",
        back: true,
        ..Trial::of(Operation::Status)
    };
    let ended = trial.run(without_controller).await;
    assert_eq!(ended.vias(), [Via::Job, Via::Pod, Via::Pod]);
    let lasting = away(Operation::Status).run(|_, _, _| Some(RunErrorKind::EtcdLost));
    assert_eq!(lasting.await.vias(), [Via::Job; 4], "once");
}

#[tokio::test]
async fn what_another_ended_is_run_again_once_when_it_changes_nothing() {
    let ended_by_others =
        |_, _: &str, _| Some(RunErrorKind::OperationFailed(FailureKind::Interrupted));
    let ended = Trial::default().run(ended_by_others).await;
    assert_eq!(ended.vias(), [Via::Job, Via::Job]);
    let ended = Trial::of(Operation::Defrag).run(ended_by_others).await;
    assert_eq!(ended.vias(), [Via::Job]);
}

#[tokio::test]
async fn what_comes_later_begins_with_the_runner_that_took_over() {
    let trial = Trial::default();
    let begun = trial.begin(|via, _, _| (via == Via::Job).then_some(RunErrorKind::NoRights));
    assert_eq!(begun.ladder.via(), Some(Via::Job));
    begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(begun.ladder.via(), Some(Via::Exec));
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(ended.vias(), [Via::Exec]);
    assert!(ended.told.is_empty(), "it was said before");
    // But for what it cannot do.
    let ended = begun.run(&trial.nodes, &usage(), None).await;
    assert_eq!(ended.vias(), [Via::Job]);
    // This host is for the time without an apiserver: the other nodes are behind that.
    let begun = trial.begin(|via, _, _| (via == Via::Job).then_some(RunErrorKind::EtcdLost));
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(ended.vias(), [Via::Job, Via::Local]);
    assert_eq!(begun.ladder.via(), Some(Via::Job));
}

#[tokio::test]
async fn a_look_begins_with_etcdctl_and_ends_there_where_that_tells_all() {
    let looking = |trial: &Trial, script: fn(Via, &str, usize) -> Option<RunErrorKind>| {
        let begun = trial.begin(script);
        let ladder = begun.ladder.looking_by_etcdctl();
        Begun { ladder, ..begun }
    };
    let vias = |ended: &Ended| -> Vec<_> { ended.outcomes.iter().map(|one| one.via).collect() };
    let trial = Trial::default().on(3);
    let begun = looking(&trial, |_, _, _| None);
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(vias(&ended), [Some(Via::Exec); 3]);
    assert!(ended.told.is_empty(), "nothing is out of order");
    // A node that cannot be reached is so for a Pod as well; where only etcd is down the node's files tell why.
    let one_of_each = |via, node: &str, _: usize| match (via, node) {
        (Via::Exec, "cp-1") => Some(RunErrorKind::NodeDown),
        (Via::Exec, "cp-2") => Some(RunErrorKind::EtcdNotRunning),
        _ => None,
    };
    let begun = looking(&trial, one_of_each);
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(
        vias(&ended),
        [Some(Via::Exec), Some(Via::Job), Some(Via::Exec)]
    );
    assert!(ended.outcomes[0].result.is_err() && ended.outcomes[1].result.is_ok());
    // Its kubelet has said that etcd does not run there: that it takes no Pod then makes the node no less up.
    let without_apiserver = |via, node: &str, _: usize| match (via, node) {
        (Via::Exec, "cp-2") => Some(RunErrorKind::EtcdNotRunning),
        (Via::Job, "cp-2") => Some(RunErrorKind::NodeDown),
        _ => None,
    };
    let begun = looking(&trial, without_apiserver);
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(vias(&ended), [Some(Via::Exec); 3]);
    let kind = ended.outcomes[1].result.as_ref().unwrap_err().kind;
    assert_eq!(kind, RunErrorKind::EtcdNotRunning);
    // Where no kubelet at all is reached, kubelets may reach the apiserver.
    let closed = |via, _: &str, _: usize| (via == Via::Exec).then_some(RunErrorKind::NodeDown);
    let begun = looking(&trial, closed);
    let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
    assert_eq!(vias(&ended), [Some(Via::Job); 3]);
    // Who may not use it is not refused twice.
    let barred = |via, _: &str, _: usize| (via == Via::Exec).then_some(RunErrorKind::NoRights);
    let begun = looking(&trial, barred);
    for _ in 0..2 {
        let ended = begun.run(&trial.nodes, &Operation::Status, None).await;
        assert_eq!(vias(&ended), [Some(Via::Job); 3]);
    }
    let asked = begun
        .run(&trial.nodes, &Operation::Status, None)
        .await
        .vias();
    assert_eq!(asked, [Via::Job; 3]);
    // What changes something begins with the first choice.
    let begun = looking(&trial, |_, _, _| None);
    let ended = begun.run(&trial.nodes, &Operation::Defrag, None).await;
    assert_eq!(vias(&ended), [Some(Via::Job); 3]);
}

#[tokio::test]
async fn a_glance_is_never_a_job_whatever_fails() {
    let trial = Trial::default().on(2);
    let nodes: Vec<&Node> = trial.nodes.iter().collect();
    let task = Task {
        operation: &Operation::Status,
        limit: Duration::from_secs(1),
        progress: &|_, _| {},
        receiver: None,
    };
    let fails = |via, _: &str, _: usize| (via == Via::Exec).then_some(RunErrorKind::NoRights);
    let begun = trial.begin(fails);
    // A way that was forced, or an image: only Jobs are left.
    assert!(begun.ladder.glance(&nodes, task).await.is_none());
    let ladder = begun.ladder.looking_by_etcdctl();
    let told = ladder.glance(&nodes, task).await.unwrap();
    assert!(
        told.iter()
            .all(|one| one.via == Some(Via::Exec) && one.result.is_err())
    );
    // It was barred before: it is not tried again.
    ladder.run(&nodes, task).await;
    assert!(ladder.glance(&nodes, task).await.is_none());
}

#[tokio::test]
async fn a_node_without_etcd_is_not_asked() {
    let mut trial = Trial::default().on(2);
    trial.nodes[0].etcd = Etcd::absent("no etcd pod");
    let ended = trial.run(|_, _, _| None).await;
    assert_eq!(ended.asked, [(Via::Job, "cp-2".to_owned())]);
    let first = &ended.outcomes[0];
    assert_eq!((first.node.as_str(), first.via), ("cp-1", None));
    let kind = first.result.as_ref().unwrap_err().kind;
    assert_eq!(kind, RunErrorKind::NoEtcd);
}

/// Counts how often a file is asked for.
#[derive(Default)]
struct Counted(Mutex<u32>);

impl FileReceiver for Counted {
    fn receive<'a>(&'a self, _pod: &'a str) -> BoxFuture<'a, Result<(), RunError>> {
        *self.0.lock().unwrap() += 1;
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn a_file_is_fetched_by_the_same_ladder_and_never_through_exec() {
    let files = Counted::default();
    let trial = Trial::default();
    let begun = trial.begin(|via, _, _| (via == Via::Job).then_some(RunErrorKind::NoController));
    let ended = begun.run(&trial.nodes, &usage(), Some(&files)).await;
    assert_eq!(ended.vias(), [Via::Job, Via::Pod]);
    assert_eq!(ended.told.len(), 1);
    assert!(ended.only().result.is_ok());
    assert_eq!(*files.0.lock().unwrap(), 1);
    let begun = trial.begin(|_, _, _| Some(RunErrorKind::WritesRefused));
    let ended = begun
        .run(&trial.nodes, &Operation::Status, Some(&files))
        .await;
    assert_eq!(ended.vias(), [Via::Job]);
    assert_eq!(ended.error().kind, RunErrorKind::WritesRefused);
}
