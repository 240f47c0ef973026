//! Lines that another host prints, none longer than one can be: a host that sends no line end must not fill this one's memory.

use std::io;

use etcd_operations::wire::MAX_LINE_BYTES;
use futures::StreamExt;
use tokio::io::AsyncRead;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

/// The lines of a stream, as text.
pub(crate) struct Lines<R>(FramedRead<R, LinesCodec>);

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinesError {
    /// It is longer than a line can be.
    #[error("a line of more than {} MiB, which no report has", MAX_LINE_BYTES >> 20)]
    TooLong,
    /// The stream broke, or is no text.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self::at_most(stream, MAX_LINE_BYTES)
    }

    fn at_most(stream: R, bytes: usize) -> Self {
        let codec = LinesCodec::new_with_max_length(bytes);
        Self(FramedRead::new(stream, codec))
    }

    /// The next line; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, LinesError> {
        match self.0.next().await {
            None => Ok(None),
            Some(Ok(line)) => Ok(Some(line)),
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => Err(LinesError::TooLong),
            Some(Err(LinesCodecError::Io(error))) => Err(LinesError::Io(error)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    /// A stream without line ends that never ends, and how much of it was taken.
    pub(crate) struct Endless(pub(crate) Arc<AtomicUsize>);

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let bytes = buffer.remaining();
            buffer.put_slice(&vec![b'a'; bytes]);
            self.0.fetch_add(bytes, Ordering::Relaxed);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_stream_without_line_ends_is_given_up() {
        let taken = Arc::new(AtomicUsize::new(0));
        let mut lines = Lines::new(Endless(Arc::clone(&taken)));
        let error = lines.next().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "a line of more than 16 MiB, which no report has"
        );
        // What a buffer that doubles may hold, and no more.
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken <= 2 * MAX_LINE_BYTES + (64 << 10), "{taken}");
    }

    #[tokio::test]
    async fn lines_up_to_the_limit_are_whole() {
        let text = format!("{}\n{}\r\nend", "a".repeat(10), "b".repeat(9));
        let mut lines = Lines::at_most(text.as_bytes(), 10);
        assert_eq!(lines.next().await.unwrap(), Some("a".repeat(10)));
        assert_eq!(lines.next().await.unwrap(), Some("b".repeat(9)));
        assert_eq!(lines.next().await.unwrap().as_deref(), Some("end"));
        assert_eq!(lines.next().await.unwrap(), None);
        let mut lines = Lines::at_most(&b"abc\n"[..], 2);
        assert!(matches!(lines.next().await, Err(LinesError::TooLong)));
        let mut lines = Lines::at_most(&b"\xff\n"[..], 2);
        assert!(matches!(lines.next().await, Err(LinesError::Io(_))));
    }
}
