//! The steps of a stage: all at the same time, but for etcds that are started.
//!
//! An etcd that is started with `--experimental-initial-corrupt-check` or its feature gate, as kubeadm's are, asks every
//! other member for the hash of its data before it serves anybody. One that is not there refuses at once, one that is there
//! answers; but one that is itself at that question lets it wait for seven seconds. Of three that begin together the last
//! serves after fourteen.

use std::time::Duration;

use etcd_operations::control_plane::ControlPlane;
use etcd_operations::plan::{Action, Direction, Stage, StartComponent, Step, StopComponent};
use futures::future::join_all;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::limits;

/// Does all steps of a stage, and gives back what came of them, in their order.
pub(super) async fn all<T>(
    stage: &Stage,
    direction: Direction,
    perform: impl AsyncFn(&Step) -> T,
) -> Vec<T> {
    let ahead = match starts_etcd(stage, direction) {
        true => limits::AHEAD,
        false => Duration::ZERO,
    };
    in_turn(&stage.steps, ahead, perform).await
}

/// Whether etcds come up in this stage.
fn starts_etcd(stage: &Stage, direction: Direction) -> bool {
    stage
        .steps
        .iter()
        .any(|step| match (direction, &step.action) {
            (Direction::Do, Action::Start(StartComponent { component, .. }))
            | (Direction::Undo, Action::Stop(StopComponent { component })) => {
                component == ControlPlane::Etcd.name()
            }
            _ => false,
        })
}

/// Each begins when the one before has ended, or has been ahead for long enough.
async fn in_turn<S, T>(steps: &[S], ahead: Duration, perform: impl AsyncFn(&S) -> T) -> Vec<T> {
    let perform = &perform;
    let mut before: Option<oneshot::Receiver<()>> = None;
    let turns = steps.iter().zip(1u32..).map(|(step, place)| {
        let (ended, next) = oneshot::channel();
        let before = before.replace(next);
        async move {
            let _ended: oneshot::Sender<()> = ended;
            if let Some(before) = before {
                // Its sender is dropped, or the time is over: either way it is this one's turn.
                drop(timeout(ahead * (place - 1), before).await);
            }
            perform(step).await
        }
    });
    join_all(turns).await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use etcd_operations::plan::Readiness;
    use tokio::sync::Notify;
    use tokio::time::sleep;

    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn stage(action: Action) -> Stage {
        Stage {
            title: String::new(),
            steps: vec![Step {
                number: 1,
                node: "m1".into(),
                action,
            }],
        }
    }

    #[test]
    fn etcds_come_up_where_they_are_started_and_where_their_stop_is_rolled_back() {
        let stop = |component: &str| {
            stage(Action::Stop(StopComponent {
                component: component.into(),
            }))
        };
        assert!(starts_etcd(&stop("etcd"), Direction::Undo));
        assert!(!starts_etcd(&stop("etcd"), Direction::Do));
        assert!(!starts_etcd(&stop("kube-apiserver"), Direction::Undo));
        let start = stage(Action::Start(StartComponent {
            component: "etcd".into(),
            manifest: None,
            edits: Vec::new(),
            until: Readiness::Answers,
        }));
        assert!(starts_etcd(&start, Direction::Do));
        assert!(!starts_etcd(&start, Direction::Undo));
    }

    #[tokio::test]
    async fn one_begins_when_the_one_before_has_ended() {
        let said = Mutex::new(Vec::new());
        let say = |word: String| said.lock().unwrap().push(word);
        let ahead = Duration::from_secs(60);
        let came = in_turn(&[1, 2, 3], ahead, async |n| {
            say(format!("{n} begins"));
            sleep(SOON).await;
            say(format!("{n} ends"));
            n * 10
        })
        .await;
        assert_eq!(came, [10, 20, 30]);
        let all: Vec<String> = (1..=3)
            .flat_map(|n| [format!("{n} begins"), format!("{n} ends")])
            .collect();
        assert_eq!(*said.lock().unwrap(), all);
    }

    #[tokio::test]
    async fn one_that_takes_long_keeps_nobody() {
        let third = Notify::new();
        let all = in_turn(&[1, 2, 3], SOON, async |n| match n {
            1 => third.notified().await,
            3 => third.notify_one(),
            _ => {}
        });
        timeout(Duration::from_secs(60), all).await.unwrap();
    }
}
