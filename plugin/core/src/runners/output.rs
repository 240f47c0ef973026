//! Reading what a job prints: the report is taken the moment it is printed, not when the Job is complete.

use etcd_operations::report::Report;
use etcd_operations::request::answer_to;
use etcd_operations::wire::ask::Operate;
use etcd_operations::wire::{Line, LineError, Progress, VERSION};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::podspec::CONTAINER;
use super::trouble::api_error;
use crate::answers::{AnswerError, Answered, answer};
use crate::connection::Refusals;
use crate::limits;
use crate::lines::LinesError;
use crate::outcome::{RunError, RunErrorKind};
use crate::patience::Patience;

/// How much of foreign output is kept for the message.
const KEPT_CHARS: usize = 300;

/// Follows the container's output until its report or failure; none when it ended without either.
///
/// # Errors
/// The operation's own failure; a report of another version; a log that cannot be read.
pub async fn report(
    pods: &Api<Pod>,
    pod: &str,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Result<Report, NoReport>, RunError> {
    let mut patience = Patience::new(limits::LOG);
    let mut refusals = Refusals::default();
    let client = pods.clone().into_client();
    loop {
        let error = match follow(pods, pod, progress).await {
            Ok(ended) => return ended,
            Err(error) => error,
        };
        // "container is waiting to start", or the connection broke: the log begins anew with the next request, so nothing
        // is lost.
        let gone = matches!(&error, kube::Error::Api(status) if status.code == 404);
        let lasting = gone || refusals.believed(&client, &error).await;
        let pause = patience.next(Instant::now()).filter(|_| !lasting);
        let Some(pause) = pause else {
            return Err(api_error("reading the job's output", error));
        };
        tracing::debug!(%error, pod, "log not readable");
        sleep(pause).await;
    }
}

/// A container that ended without a report, and the last it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoReport {
    /// The last line that it printed.
    pub last_output: Option<String>,
}

async fn follow(
    pods: &Api<Pod>,
    pod: &str,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> kube::Result<Result<Result<Report, NoReport>, RunError>> {
    let params = LogParams {
        container: Some(CONTAINER.into()),
        follow: true,
        ..LogParams::default()
    };
    let log = pods.log_stream(pod, &params).await?;
    tracing::debug!(pod, "reading the log");
    read(log.compat(), progress).await
}

/// What a log says up to its report.
async fn read(
    log: impl AsyncRead + Unpin,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> kube::Result<Result<Result<Report, NoReport>, RunError>> {
    let mut last_output = None;
    let foreign = |text: String| {
        if !text.trim().is_empty() {
            last_output = Some(text.chars().take(KEPT_CHARS).collect());
        }
    };
    Ok(match answer(log, progress, foreign).await {
        Ok(Some(answered)) => report_in(answered).map(Ok),
        Ok(None) => Ok(Err(NoReport { last_output })),
        Err(AnswerError::Lines(LinesError::Io(error))) => {
            return Err(kube::Error::ReadEvents(error));
        }
        // Asked again it would be the same.
        Err(error @ AnswerError::Lines(LinesError::TooLong)) => {
            let message = format!("the job's output has {error}");
            Err(RunError::new(RunErrorKind::Lost, message).caused_by(error))
        }
        Err(AnswerError::Line(error)) => Err(not_understood(error)),
    })
}

/// The report or failure in what a program left as its last words; none when it is something else.
pub(crate) fn last_line(text: &str) -> Option<Result<Report, RunError>> {
    match Line::parse(text.lines().next_back()?) {
        Ok(line) => line.event.ended().map(report_in),
        Err(LineError::Foreign { .. }) => None,
        Err(error) => Some(Err(not_understood(error))),
    }
}

fn report_in(answered: Answered) -> Result<Report, RunError> {
    Ok(answered.and_then(answer_to::<Operate>)?)
}

fn not_understood(error: LineError) -> RunError {
    match error {
        LineError::Malformed(cause) => RunError::new(
            RunErrorKind::Lost,
            format!("the job's report cannot be understood: {cause}"),
        )
        .caused_by(cause),
        LineError::OtherVersion { theirs } => {
            let way_out = match theirs > u64::from(VERSION) {
                true => "update the plugin",
                false => "use a newer job image",
            };
            let message = format!("the job's program {error}: {way_out}");
            RunError::new(RunErrorKind::OtherVersion, message).caused_by(error)
        }
        LineError::Foreign { .. } => {
            RunError::new(RunErrorKind::Lost, error.to_string()).caused_by(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_operations::failure::{Failure, FailureKind};
    use etcd_operations::wire::Event;

    fn line(event: Event) -> String {
        serde_json::to_string(&Line::new(event)).unwrap()
    }

    #[test]
    fn each_kind_of_line_is_told_apart() {
        let failure = Failure::new(FailureKind::NoQuorum, "no leader");
        let failed = last_line(&line(Event::Failed { failure })).unwrap();
        assert_eq!(
            failed.unwrap_err().kind,
            RunErrorKind::OperationFailed(FailureKind::NoQuorum)
        );
        assert_eq!(last_line("loader: out of memory"), None);
        assert_eq!(last_line(""), None);
        let newer = last_line(r#"{"version":99,"event":{"type":"report"}}"#).unwrap();
        let error = newer.unwrap_err();
        assert_eq!(error.kind, RunErrorKind::OtherVersion);
        let said = "the job's program speaks version 99 of the report format, this plugin version 1: update the plugin";
        assert_eq!(error.message, said);
        assert!(error.source.unwrap().get().is::<LineError>());
        let older = last_line(r#"{"version":0}"#).unwrap().unwrap_err();
        assert!(
            older.message.ends_with(": use a newer job image"),
            "{older}"
        );
    }

    #[tokio::test]
    async fn a_log_without_line_ends_is_given_up() {
        let endless = crate::lines::tests::Endless(std::sync::Arc::default());
        let error = read(endless, &mut |_| ()).await.unwrap().unwrap_err();
        assert_eq!(error.kind, RunErrorKind::Lost);
        let error = crate::outcome::run_error("cp-1", &error);
        assert!(
            error.message.starts_with("cp-1: ") && error.message.contains("16 MiB"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_log_is_read_up_to_its_report() {
        let failure = Failure::new(FailureKind::NoQuorum, "no leader");
        let text = format!("loader: hello\n\n{}\nmore", line(Event::Failed { failure }));
        let error = read(text.as_bytes(), &mut |_| ())
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(error.message, "no leader");
        let silent = read(&b"out of memory\n"[..], &mut |_| ())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            silent.unwrap_err().last_output.as_deref(),
            Some("out of memory")
        );
        let newer = format!("{}\n", r#"{"version":99,"event":{}}"#);
        let error = read(newer.as_bytes(), &mut |_| ()).await.unwrap();
        assert_eq!(error.unwrap_err().kind, RunErrorKind::OtherVersion);
    }
}
