//! The answer in the lines that a program on a node prints: they are in a container's log or come over ssh.

use etcd_operations::failure::Failure;
use etcd_operations::wire::answer::HostAnswer;
use etcd_operations::wire::{Event, Line, LineError, Progress};
use tokio::io::AsyncRead;

use crate::lines::{Lines, LinesError};

/// What a program answered, or why it failed.
pub(crate) type Answered = Result<HostAnswer, Failure>;

/// Why lines cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// There is no line.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// A line of ours cannot be used.
    #[error(transparent)]
    Line(#[from] LineError),
}

/// Tells the progress up to the answer; none: the lines ended without one. What somebody else printed goes to `foreign`.
pub(crate) async fn answer(
    lines: impl AsyncRead + Unpin,
    progress: &mut (dyn FnMut(Progress) + Send),
    mut foreign: impl FnMut(String),
) -> Result<Option<Answered>, AnswerError> {
    let mut lines = Lines::new(lines);
    while let Some(line) = lines.next().await? {
        match Line::parse(&line) {
            Ok(Line {
                event: Event::Progress(event),
                ..
            }) => progress(event),
            Ok(line) => {
                if let Some(answered) = line.event.ended() {
                    return Ok(Some(answered));
                }
            }
            Err(LineError::Foreign { text }) => foreign(text),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
