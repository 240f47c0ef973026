//! Files to and from a host, in the frames that notice every cut and every changed byte. Neither side holds more than a
//! few of them.

use std::fs::File;
use std::path::Path;

use etcd_operations::failure::Failure;
use etcd_operations::host::{digest, send};
use etcd_operations::transfer::{ACKNOWLEDGEMENT, Receiver, TransferError, Whole};
use etcd_operations::wire::answer::HostAnswer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::error::{SshError, SshErrorKind};
use super::link::{Link, last_words};

/// So much is read at once.
const CHUNK: usize = 256 << 10;

impl Link {
    /// Puts a file there, once.
    pub(super) async fn put(
        &self,
        local: &Path,
        remote: &Path,
        gone: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Whole, SshError> {
        let host = &self.host;
        let size = tokio::fs::metadata(local).await.map_err(|error| {
            let message = format!("could not read {}: {error}", local.display());
            SshError::failed(host, Failure::missing(message)).caused_by(error)
        })?;
        let (size, path) = (size.len().to_string(), text(host, remote)?);
        let mut child = self
            .start(&["receive", "--size-bytes", &size, "--path", path])
            .await?;
        let stdin = child.stdin().take().ok_or_else(|| SshError::lost(host))?;
        let stdin = stdin.into_owned_fd().map(File::from);
        let stdin = stdin.map_err(|cause| SshError::lost(host).caused_by(cause))?;
        let (told, mut tells) = watch::channel(0);
        let local = local.to_owned();
        let sending = tokio::task::spawn_blocking(move || {
            // Closed at its end, which is what the other side waits for.
            send(&local, stdin, &mut |bytes| {
                told.send_replace(bytes);
            })
        });
        let mut nothing = |_| ();
        let mut answer = std::pin::pin!(self.answer(child, &mut nothing));
        let mut sends = true;
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer?,
                changed = tells.changed(), if sends => match changed {
                    Ok(()) => gone(*tells.borrow_and_update()),
                    Err(_) => sends = false,
                },
            }
        };
        let sent = sending
            .await
            .map_err(|cause| SshError::lost(host).caused_by(cause))?;
        let sent = sent.map_err(|failure| SshError::failed(host, failure))?;
        gone(sent.size_bytes);
        let arrived = HostAnswer::Received { file: sent.clone() };
        if answer != arrived {
            let message = format!("{host}: another file arrived there: {answer:?}");
            return Err(SshError::new(SshErrorKind::Program, message));
        }
        Ok(sent)
    }

    /// Takes what is missing of a file, once.
    pub(super) async fn get(
        &self,
        remote: &Path,
        receiver: &mut Receiver,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<(), SshError> {
        let (offset, path) = (receiver.verified().to_string(), text(&self.host, remote)?);
        let words = [
            "read",
            "--wait-seconds",
            "0",
            "--offset",
            &offset,
            "--path",
            path,
        ];
        let mut child = self.start(&words).await?;
        let mut stdin = child.stdin().take();
        let (stdout, stderr) = (child.stdout().take(), child.stderr().take());
        let whole = async {
            let mut stdout = stdout?;
            let mut buffer = vec![0; CHUNK];
            loop {
                let n = stdout.read(&mut buffer).await.ok()?;
                match receiver.push(&buffer[..n], &mut *sink) {
                    Ok(true) => break,
                    Ok(false) if n == 0 => return None,
                    Ok(false) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
            // It ends when it has this, or when there is nobody to say it.
            let line = format!("{ACKNOWLEDGEMENT}\n");
            let _ = stdin.take()?.write_all(line.as_bytes()).await;
            Some(Ok(()))
        };
        let whole = match whole.await {
            Some(whole) => whole,
            None => {
                let said = last_words(stderr).await;
                return Err(self.ended(child, &said).await);
            }
        };
        // Everything has been checked: how it ends says nothing more.
        drop(child);
        whole.map_err(|error| refused(&self.host, error))
    }
}

/// A file is there: none of ours to replace, unless it is the one to be put.
pub(super) async fn same(
    host: &str,
    local: &Path,
    remote: &Path,
    there: Whole,
) -> Result<Whole, SshError> {
    let here = digest(local, &mut |_| ()).await;
    match here.map_err(|failure| SshError::failed(host, failure))? {
        Some(here) if here == there => Ok(there),
        _ => {
            let message = format!("{} is there and is another file", remote.display());
            let failure = Failure::refused(message)
                .hint("move it aside on that host, or choose another name");
            Err(SshError::failed(host, failure))
        }
    }
}

/// Why a stream was not taken: most of it is a matter of the connection.
pub(super) fn refused(host: &str, error: TransferError) -> SshError {
    let refused = match &error {
        TransferError::Sender(failure) => return SshError::failed(host, failure.clone()),
        TransferError::Sink(cause) => {
            let message = format!("{error}: {cause}");
            SshError::failed(host, Failure::other(message))
        }
        TransferError::Foreign | TransferError::Checksum { .. } | TransferError::AfterEnd => {
            SshError::failed(host, Failure::corrupt(error.to_string()))
        }
        TransferError::Damaged { .. } | TransferError::Gap { .. } | TransferError::Cut { .. } => {
            SshError::lost(host)
        }
    };
    refused.caused_by(error)
}

fn text<'p>(host: &str, path: &'p Path) -> Result<&'p str, SshError> {
    path.to_str().ok_or_else(|| {
        let message = format!("{} cannot be written for a shell", path.display());
        SshError::failed(host, Failure::refused(message))
    })
}
