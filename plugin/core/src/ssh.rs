//! Control-plane nodes reached over the system's own ssh: its configuration, agent, jump hosts and known hosts count, and no
//! password is ever asked for or kept.
//!
//! A node that is connected has the program this plugin carries, checked, and runs it as root. What is asked of it is safe
//! to ask again, so a connection that breaks is made anew and the question asked again for a while.

mod candidate;
mod destination;
mod error;
mod files;
mod link;
mod master;
mod options;
mod upload;

use std::path::Path;
use std::sync::Arc;

use etcd_operations::manifest::Selection;
use etcd_operations::request::{Request, answer_to};
use etcd_operations::transfer::{Receiver, Whole};
use etcd_operations::wire::answer::HostAnswer;
use etcd_operations::wire::ask::{self, HostRequest};
use etcd_operations::wire::{Ask, Progress};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::limits;
use crate::outcome::{Notice, NoticeSink};
use crate::patience::Patience;
pub use candidate::{Candidate, Origin};
pub use destination::Destination;
pub use error::{SshError, SshErrorKind};
use link::Link;
pub use options::at_address;
pub use options::{SshOptions, SshTargets};

/// A control-plane node over ssh.
pub struct SshHost {
    candidate: Candidate,
    options: SshOptions,
    notices: NoticeSink,
    link: Mutex<Option<Arc<Link>>>,
}

impl SshHost {
    /// Connects, and brings the program there if it is not. Tried once: a host that cannot be reached is told at once.
    ///
    /// # Errors
    /// Why it cannot be worked on, with what would help.
    pub async fn connect(
        candidate: &Candidate,
        options: &SshOptions,
        notices: NoticeSink,
    ) -> Result<Self, SshError> {
        for one in &candidate.left_out {
            let name = candidate.name();
            let text = format!("{name}: {one}, so ssh does not get it");
            notices(Notice::Warning(text));
        }
        let link = Link::open(candidate, options, &notices).await?;
        Ok(Self {
            candidate: candidate.clone(),
            options: options.clone(),
            notices,
            link: Mutex::new(Some(Arc::new(link))),
        })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        self.candidate.name()
    }

    /// Asks it, again after a connection that was lost. What was told of work that is on record there is not told twice.
    ///
    /// # Errors
    /// [`SshErrorKind::Failed`] when it failed there; else what became of the connection.
    pub async fn ask(
        &self,
        ask: &Ask,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<HostAnswer, SshError> {
        let mut patience = Patience::new(limits::SSH);
        let mut told = 0;
        loop {
            let asked = match self.link().await {
                Ok(link) => {
                    let skip = if ask.detached.is_some() { told } else { 0 };
                    let (mut count, mut new) = (0, 0);
                    let mut tell = |event| {
                        count += 1;
                        if count > skip {
                            new += 1;
                            progress(event);
                        }
                    };
                    let asked = link.ask(ask, &mut tell).await;
                    told = skip + new;
                    self.unless_lost(&link, asked).await
                }
                Err(error) => Err(error),
            };
            match asked {
                Err(error) => self.again(&mut patience, error).await?,
                answered => return answered,
            }
        }
    }

    /// As [`SshHost::ask`], with the type of the answer.
    ///
    /// # Errors
    /// As [`SshHost::ask`].
    pub(crate) async fn ask_for<R: Request<Wire = HostRequest>>(
        &self,
        request: &R,
        selection: &Selection,
    ) -> Result<R::Answer, SshError> {
        let ask = Ask::new(request.to_wire()).of(selection.clone());
        let reply = self.ask(&ask, &mut |_| ()).await?;
        answer_to::<R>(reply).map_err(|failure| SshError::failed(self.name(), failure))
    }

    /// Puts a file of this host there, 0600, under a name that is free, or that has this very file already. It has its
    /// name only when it is whole, checked and on the disk. Tells how many bytes have gone.
    ///
    /// # Errors
    /// [`SshErrorKind::Failed`] when one of the two hosts refuses it; else what became of the connection.
    pub async fn put(
        &self,
        local: &Path,
        remote: &Path,
        gone: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Whole, SshError> {
        let digest = ask::Digest {
            path: remote.to_owned(),
        };
        let mut patience = Patience::new(limits::SSH);
        loop {
            if let Some(there) = self.ask_for(&digest, &Selection::default()).await? {
                return files::same(self.name(), local, remote, there).await;
            }
            let put = match self.link().await {
                Ok(link) => {
                    let put = link.put(local, remote, gone).await;
                    self.unless_lost(&link, put).await
                }
                Err(error) => Err(error),
            };
            match put {
                Err(error) => self.again(&mut patience, error).await?,
                done => return done,
            }
        }
    }

    /// Takes a file from there: each byte once, in order, however often the connection is made anew.
    ///
    /// # Errors
    /// [`SshErrorKind::Failed`] when it cannot be read there or stored here; else what became of the connection.
    pub async fn get(
        &self,
        remote: &Path,
        sink: &mut (dyn FnMut(&[u8]) -> std::io::Result<()> + Send),
    ) -> Result<Whole, SshError> {
        let mut patience = Patience::new(limits::SSH);
        let mut receiver = Receiver::new();
        loop {
            let got = match self.link().await {
                Ok(link) => {
                    let got = link.get(remote, &mut receiver, sink).await;
                    self.unless_lost(&link, got).await
                }
                Err(error) => Err(error),
            };
            match got {
                Ok(()) => {
                    let whole = receiver.finish();
                    return whole.map_err(|error| files::refused(self.name(), error));
                }
                Err(error) => self.again(&mut patience, error).await?,
            }
            receiver.reconnected();
        }
    }

    /// The connection there is, or another one.
    async fn link(&self) -> Result<Arc<Link>, SshError> {
        let mut held = self.link.lock().await;
        if let Some(link) = &*held {
            return Ok(Arc::clone(link));
        }
        let link = Link::open(&self.candidate, &self.options, &self.notices).await?;
        Ok(Arc::clone(held.insert(Arc::new(link))))
    }

    /// The result; a connection that was lost is not used again.
    async fn unless_lost<T>(
        &self,
        link: &Arc<Link>,
        result: Result<T, SshError>,
    ) -> Result<T, SshError> {
        if matches!(&result, Err(error) if error.kind == SshErrorKind::ConnectionLost) {
            let mut held = self.link.lock().await;
            if held.as_ref().is_some_and(|held| Arc::ptr_eq(held, link)) {
                *held = None;
            }
        }
        result
    }

    /// Waits until it is time to try again after this error.
    ///
    /// # Errors
    /// The same, when that would not help, or did not for long.
    async fn again(&self, patience: &mut Patience, error: SshError) -> Result<(), SshError> {
        if !error.kind.passes() {
            return Err(error);
        }
        let Some(pause) = patience.next(Instant::now()) else {
            return Err(error);
        };
        if error.kind == SshErrorKind::ConnectionLost {
            let seconds = limits::SSH.patience.as_secs();
            let told = format!("{error}; connecting again, for {seconds} s");
            (self.notices)(Notice::Told(told.into()));
        } else {
            tracing::debug!(%error, "connecting again");
        }
        sleep(pause).await;
        Ok(())
    }
}
