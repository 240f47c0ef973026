//! What stands in for the terminal and the cluster around hosts in tests.

use std::sync::{Arc, Mutex};

use etcd_operations::plan::make::HostView;

use super::Terminal;
use crate::advice::worded;
use crate::views::grid::Paint;
use crate::views::{Format, View, render};
use kubectl_etcd_core::error::{Error, ErrorKind};
use kubectl_etcd_core::executor::Hosts;
use kubectl_etcd_core::executor::check::Checked;
use kubectl_etcd_core::executor::lock::Locked;
use kubectl_etcd_core::executor::surroundings::Surroundings;
use kubectl_etcd_core::outcome::{Notice, NoticeSink};

/// What somebody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Yes,
    No,
    CtrlC,
}

/// Something that happens meanwhile.
type Meanwhile = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// A terminal in memory.
pub(crate) struct FakeTerminal {
    reply: Reply,
    lines: Arc<Mutex<Vec<String>>>,
    meanwhile: Meanwhile,
}

impl FakeTerminal {
    /// One at which somebody answers so.
    pub(crate) fn new(reply: Reply) -> Self {
        Self {
            reply,
            lines: Arc::default(),
            meanwhile: Mutex::new(None),
        }
    }

    /// Something that happens while the question stands.
    #[must_use]
    pub(crate) fn meanwhile(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.meanwhile.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// All that was written: `says: `, `warns: `, `tells: `, `asks: `, `shows: ` and what.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// What of it begins so.
    pub(crate) fn starting(&self, how: &str) -> Vec<String> {
        let lines = self.lines().into_iter();
        lines.filter(|line| line.starts_with(how)).collect()
    }

    fn add(&self, how: &str, what: &str) {
        self.lines.lock().unwrap().push(format!("{how}: {what}"));
    }
}

fn text(view: &impl View, format: Format) -> String {
    render(view, format, Paint::PLAIN).unwrap()
}

impl Terminal for FakeTerminal {
    fn say(&self, line: &str) {
        self.add("says", line);
    }

    fn warn(&self, line: &str) {
        self.add("warns", line);
    }

    fn tell(&self, view: &impl View) {
        self.add("tells", &text(view, Format::Table));
    }

    fn show(&self, view: &impl View, format: Format) -> Result<(), Error> {
        self.add("shows", &text(view, format));
        Ok(())
    }

    async fn confirm(&self, question: &str) -> Result<(), Error> {
        self.add("asks", question);
        if let Some(act) = self.meanwhile.lock().unwrap().take() {
            act();
        }
        match self.reply {
            Reply::Yes => Ok(()),
            Reply::No => Err(Error::refused("not confirmed: nothing was done")),
            Reply::CtrlC => Err(Error::new(ErrorKind::Interrupted, "interrupted")),
        }
    }

    fn notices(&self) -> NoticeSink {
        let lines = Arc::clone(&self.lines);
        Arc::new(move |notice| {
            let line = match notice {
                Notice::Told(line) => format!("says: {}", worded(&line)),
                Notice::Warning(line) => format!("warns: {line}"),
                Notice::RunnerChosen { .. }
                | Notice::Progress { .. }
                | Notice::Waiting { .. }
                | Notice::ProgressEnded => {
                    return;
                }
            };
            lines.lock().unwrap().push(line);
        })
    }
}

/// The cluster around hosts in memory.
#[derive(Default)]
pub(crate) struct FakeSurroundings {
    /// Who holds the lock, if somebody does.
    pub(crate) held_by: Option<&'static str>,
    /// What is not as it should be in the end.
    pub(crate) problems: Vec<String>,
    meanwhile: Meanwhile,
    /// What the lock was taken for.
    pub(crate) locked: Mutex<Vec<String>>,
    /// With which least revision it was looked at.
    pub(crate) checked: Mutex<Vec<Option<u64>>>,
}

impl FakeSurroundings {
    /// Something that happens right before the lock is there.
    #[must_use]
    pub(crate) fn meanwhile(self, act: impl FnOnce() + Send + 'static) -> Self {
        *self.meanwhile.lock().unwrap() = Some(Box::new(act));
        self
    }

    /// How often it was looked at, and with which least revision.
    pub(crate) fn checks(&self) -> Vec<Option<u64>> {
        self.checked.lock().unwrap().clone()
    }
}

impl Surroundings for &FakeSurroundings {
    async fn lock(&self, _looked: &[HostView], what: &str) -> Result<Locked, Error> {
        if let Some(holder) = self.held_by {
            let message = format!("{holder} is at work on this etcd");
            return Err(Error::refused(message));
        }
        if let Some(act) = self.meanwhile.lock().unwrap().take() {
            act();
        }
        self.locked.lock().unwrap().push(what.to_owned());
        Ok(Locked::by_nobody())
    }

    async fn check(
        &self,
        _hosts: &Hosts,
        _looked: Option<&HostView>,
        least_revision: Option<u64>,
    ) -> Checked {
        self.checked.lock().unwrap().push(least_revision);
        Checked {
            seen: vec!["3 members with the same data".to_owned()],
            problems: self.problems.clone(),
        }
    }
}
