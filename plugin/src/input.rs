//! The FILE of commands that read snapshots: a path, or `-` for standard input; plain, compressed, in an archive or a bundle.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use etcd_datadir::progress::OnProgress;
use etcd_operations::failure::Failure;
use etcd_operations::pack::unpack::foreign::{open, open_file};
use etcd_operations::pack::unpack::{Opened, UnpackError};

use crate::files;
use crate::ui::Ui;
use kubectl_etcd_core::error::Error;
use kubectl_etcd_core::spool::spool;

/// What is typed for standard input. A file of this name is `./-`.
const STDIN: &str = "-";

/// Where a snapshot is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// What was typed.
    ///
    /// # Errors
    /// When standard input is meant, and is a terminal.
    pub(crate) fn parse(typed: &Path) -> Result<Self, Error> {
        if !is_stdin(typed) {
            return Ok(Self::File(typed.to_owned()));
        }
        if io::stdin().is_terminal() {
            return Err(Error::usage("nothing is piped in").hint("such as: ssh HOST cat FILE | …"));
        }
        Ok(Self::Stdin)
    }

    /// How it is called in answers.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
        }
    }

    fn open(&self, on_progress: OnProgress<'_>) -> Result<Opened, UnpackError> {
        match self {
            Self::File(path) => open(path, &spool(), on_progress),
            Self::Stdin => {
                let own = io::stdin().as_fd().try_clone_to_owned();
                let name = self.name();
                let file = own.map_err(|error| etcd_datadir::Error::io(&name, "open", error))?;
                open_file(File::from(file), &name, &spool(), on_progress)
            }
        }
    }
}

/// Whether standard input is meant.
pub(crate) fn is_stdin(typed: &Path) -> bool {
    typed == Path::new(STDIN)
}

/// Opens a snapshot, unpacked if it is packed, and does one step of work on it.
///
/// # Errors
/// When it cannot be opened, or is damaged in such a way that it cannot be unpacked.
pub(crate) async fn work<T: Send + 'static>(
    ui: &Ui,
    input: Input,
    step: &'static str,
    job: impl FnOnce(&Opened, OnProgress<'_>) -> T + Send + 'static,
) -> Result<T, Error> {
    let done = try_work(ui, input, step, job).await?;
    done.map_err(|error| Failure::from(error).into())
}

/// The same; what cannot be opened is told as it is.
///
/// # Errors
/// When the work ended unexpectedly.
pub(crate) async fn try_work<T: Send + 'static>(
    ui: &Ui,
    input: Input,
    step: &'static str,
    job: impl FnOnce(&Opened, OnProgress<'_>) -> T + Send + 'static,
) -> Result<Result<T, UnpackError>, Error> {
    let name = input.name();
    files::work_in_steps(ui, &name, move |steps| {
        let opened = input.open(&mut steps.of("unpacking"))?;
        Ok(job(&opened, &mut steps.of(step)))
    })
    .await
}
