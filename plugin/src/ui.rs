//! Everything that is written to the terminal: answers on standard output, all else on standard error.

use std::collections::HashMap;
use std::io::{self, ErrorKind as IoErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use etcd_operations::wire::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::advice::{hints, worded};
use crate::views::error::ErrorObject;
use crate::views::grid::{Paint, Tone, painted};
use crate::views::{Format, View, render, table};
use kubectl_etcd_core::clean::{clean, clean_layout};
use kubectl_etcd_core::error::{Error, ErrorKind};
use kubectl_etcd_core::format::{bytes, percent};
use kubectl_etcd_core::outcome::{Notice, NoticeSink};

/// How often progress is written where no bar can be drawn.
const PLAIN_PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// The terminal, or what stands for it.
#[derive(Debug)]
pub struct Ui {
    /// For standard output.
    paint: Paint,
    /// For standard error.
    paint_notices: Paint,
    stdout_is_terminal: bool,
    progress: Arc<ProgressLines>,
}

impl Default for Ui {
    fn default() -> Self {
        Self::new()
    }
}

impl Ui {
    /// What the process was started with.
    pub fn new() -> Self {
        // https://no-color.org: any value but the empty one counts.
        let coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let paint = |terminal: bool, width: Option<u16>| Paint {
            colour: terminal && coloured,
            width: width.filter(|_| terminal).map(usize::from),
        };
        let mut table = comfy_table::Table::new();
        let (out, err) = (table.width(), table.use_stderr().width());
        let stdout_is_terminal = io::stdout().is_terminal();
        Self {
            paint: paint(stdout_is_terminal, out),
            paint_notices: paint(io::stderr().is_terminal(), err),
            stdout_is_terminal,
            progress: Arc::new(ProgressLines::new(io::stderr().is_terminal())),
        }
    }

    /// Prints an answer.
    ///
    /// # Errors
    /// When it cannot be written. That nobody reads it any more is not an error.
    pub fn show<V: View>(&self, view: &V, format: Format) -> Result<(), Error> {
        self.progress.finish();
        write_out(&render(view, format, self.paint)?).map(|_| ())
    }

    /// Prints an answer in the place of the one before it. Says whether somebody still reads.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn redraw<V: View>(&self, view: &V, format: Format, head: &str) -> Result<bool, Error> {
        self.progress.finish();
        let text = render(view, format, self.paint)?;
        let text = match format {
            Format::Table | Format::Wide if self.stdout_is_terminal => {
                // Home first and clear to the end of each line, so that nothing flickers; then clear what is left below.
                let body: String = text
                    .lines()
                    .map(|line| format!("{line}\u{1b}[K\n"))
                    .collect();
                let head = clean(head);
                format!("\u{1b}[H{head}\u{1b}[K\n{body}\u{1b}[J")
            }
            Format::Table | Format::Wide => format!("{}\n{text}\n", clean(head)),
            Format::Json | Format::Yaml | Format::Name => text,
        };
        write_out(&text)
    }

    /// Clears the screen before the first [`Self::redraw`].
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin_redrawing(&self, format: Format) -> Result<(), Error> {
        match format {
            Format::Table | Format::Wide if self.stdout_is_terminal => {
                write_out("\u{1b}[2J").map(|_| ())
            }
            Format::Table | Format::Wide | Format::Json | Format::Yaml | Format::Name => Ok(()),
        }
    }

    /// Tells on standard error what a question will be about.
    pub fn tell<V: View>(&self, view: &V) {
        self.progress.finish();
        for line in table(view, false, self.paint_notices).lines() {
            self.progress.line(line);
        }
    }

    /// Prints plain text as an answer: as it is for programs, cleaned for a terminal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        self.progress.finish();
        match self.stdout_is_terminal {
            true => write_out(&clean_layout(text, Paint::PLAIN)).map(|_| ()),
            false => write_out(text).map(|_| ()),
        }
    }

    /// How answers are painted.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// One line on standard error about what is going on.
    pub fn say(&self, line: &str) {
        self.progress.line(&clean(line));
    }

    /// A warning on standard error.
    pub fn warn(&self, line: &str) {
        let word = painted("warning", Tone::Warn, self.paint_notices);
        self.progress.line(&format!("{word}: {}", clean(line)));
    }

    /// Where runners tell what is going on.
    pub fn notices(&self) -> NoticeSink {
        let progress = Arc::clone(&self.progress);
        let word = painted("warning", Tone::Warn, self.paint_notices);
        Arc::new(move |notice| match notice {
            Notice::RunnerChosen { via, why } => {
                progress.line(&clean(&format!("via {via}: {why}")));
            }
            Notice::Told(text) => progress.line(&clean(&worded(&text))),
            Notice::Warning(text) => progress.line(&format!("{word}: {}", clean(&text))),
            Notice::Progress {
                node,
                progress: now,
            } => progress.update(&node, &now),
            Notice::Waiting { whom, long } => progress.waiting(&whom, long),
            Notice::ProgressEnded => progress.finish(),
        })
    }

    /// Shows the progress of work on this host: step, bytes done, bytes in all (0: nobody knows).
    pub(crate) fn meter(&self, what: String) -> impl FnMut(&str, u64, u64) + Send + use<> {
        let progress = Arc::clone(&self.progress);
        move |step, done, total| {
            let now = Progress {
                step: step.to_owned(),
                done_bytes: done,
                total_bytes: Some(total).filter(|total| *total > 0),
            };
            progress.update(&what, &now);
        }
    }

    /// Takes the bars away.
    pub fn end_progress(&self) {
        self.progress.finish();
    }

    /// Asks whether to go on. `yes` answers in advance.
    ///
    /// # Errors
    /// When the answer is no, or when nobody is there to be asked.
    pub async fn confirm(&self, question: &str, yes: bool) -> Result<(), Error> {
        if yes {
            return Ok(());
        }
        self.progress.finish();
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Error::refused(
                "this wants to be confirmed, and there is no terminal to ask on",
            )
            .hint("--yes answers in advance"));
        }
        let question = clean(question);
        // On a thread of its own: signals are still heard while it waits.
        let answer = tokio::task::spawn_blocking(move || {
            let answer = dialoguer::Confirm::new()
                .with_prompt(question)
                .default(false)
                .interact_opt();
            // dialoguer hides the cursor and, interrupted, leaves it so.
            let _ = dialoguer::console::Term::stderr().show_cursor();
            answer
        })
        .await;
        match answer {
            Ok(Ok(Some(true))) => Ok(()),
            Ok(Ok(Some(false) | None)) => Err(Error::refused("not confirmed: nothing was done")),
            Ok(Err(dialoguer::Error::IO(cause))) if cause.kind() == IoErrorKind::Interrupted => {
                Err(Error::new(
                    ErrorKind::Interrupted,
                    "interrupted: nothing was done",
                ))
            }
            Ok(Err(cause)) => Err(Error::failed("the answer could not be read").caused_by(cause)),
            Err(cause) => Err(Error::failed("the answer could not be read").caused_by(cause)),
        }
    }

    /// Prints an error with its causes and hints, for programs as an object: the one place where that is done.
    pub fn error(&self, error: &Error, format: Format) {
        self.progress.finish();
        // Nothing is left to tell when standard error cannot be written.
        let _ = match ErrorObject::new(error).written(format) {
            Some(object) => io::stderr().write_all(object.as_bytes()),
            None => io::stderr().write_all(self.error_in_words(error).as_bytes()),
        };
    }

    fn error_in_words(&self, error: &Error) -> String {
        let word = painted("error", Tone::Bad, self.paint_notices);
        let mut text = format!("{word}: {}\n", clean(&error.chain()));
        for hint in hints(error) {
            let word = painted("hint", Tone::Dim, self.paint_notices);
            text.push_str(&format!("{word}: {}\n", clean(&hint)));
        }
        text
    }
}

/// Standard error for the messages of libraries, which repeat what others wrote.
#[derive(Debug, Clone, Copy)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = clean_layout(&String::from_utf8_lossy(bytes), Paint::PLAIN);
        io::stderr().write_all(text.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Writes to standard output. False: nobody reads it any more, which ends `… | head` and is no error.
fn write_out(text: &str) -> Result<bool, Error> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(true),
        Err(cause) if cause.kind() == IoErrorKind::BrokenPipe => Ok(false),
        Err(cause) => Err(Error::failed("standard output cannot be written").caused_by(cause)),
    }
}

/// Bars on a terminal, a line now and then elsewhere.
#[derive(Debug)]
struct ProgressLines {
    terminal: bool,
    bars: MultiProgress,
    lines: Mutex<HashMap<String, Line>>,
}

#[derive(Debug)]
struct Line {
    step: String,
    bar: ProgressBar,
    written: Instant,
}

impl ProgressLines {
    fn new(terminal: bool) -> Self {
        let target = if terminal {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            terminal,
            bars: MultiProgress::with_draw_target(target),
            lines: Mutex::new(HashMap::new()),
        }
    }

    /// A line of text that stays, above the bars.
    fn line(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    fn update(&self, what: &str, now: &Progress) {
        let now = &known(now);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(what.to_owned()).or_insert_with(|| Line {
            step: String::new(),
            // With a style from its first moment: it is drawn when it is added.
            bar: self
                .bars
                .add(ProgressBar::no_length().with_style(style(now))),
            written: Instant::now(),
        });
        let new_step = line.step != now.step;
        if self.terminal {
            if new_step {
                line.bar.reset();
            }
            line.bar.set_style(style(now));
            line.bar
                .set_message(clean(&format!("{what}: {}", now.step)));
            if let Some(total) = now.total_bytes {
                line.bar.set_length(total);
            }
            line.bar.set_position(now.done_bytes);
        } else if !new_step && line.written.elapsed() >= PLAIN_PROGRESS_EVERY {
            // The first words of a step come only after a while: what is quick needs no progress.
            line.written = Instant::now();
            self.line(&clean(&plain(what, now)));
        }
        if new_step {
            now.step.clone_into(&mut line.step);
        }
    }

    /// Who is waited for. Where no bar can be drawn it is said only when it takes long.
    fn waiting(&self, whom: &str, long: bool) {
        if self.terminal {
            self.finish();
            let step = Progress {
                step: "waiting for an answer".to_owned(),
                done_bytes: 0,
                total_bytes: None,
            };
            self.update(whom, &step);
        } else if long {
            self.line(&clean(&format!("waiting for {whom}")));
        }
    }

    fn finish(&self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, line) in lines.drain() {
            line.bar.finish_and_clear();
        }
    }
}

const WITH_TOTAL: &str =
    "{msg}  [{bar:30}] {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left";
const WITHOUT_TOTAL: &str = "{msg}  {binary_bytes}, {binary_bytes_per_sec}";
/// Of what waits and has no bytes.
const WITHOUT_BYTES: &str = "{msg}";

/// The progress without a total that nobody knows yet: nothing of nothing is no news.
fn known(now: &Progress) -> Progress {
    Progress {
        total_bytes: now.total_bytes.filter(|total| *total > 0),
        ..now.clone()
    }
}

fn style(now: &Progress) -> ProgressStyle {
    let template = match now.total_bytes {
        Some(_) => WITH_TOTAL,
        None if now.done_bytes == 0 => WITHOUT_BYTES,
        None => WITHOUT_TOTAL,
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn plain(what: &str, now: &Progress) -> String {
    match now.total_bytes {
        Some(total) => format!(
            "{what}: {} {} of {} ({})",
            now.step,
            bytes(now.done_bytes),
            bytes(total),
            percent(now.done_bytes, total)
        ),
        None if now.done_bytes == 0 => format!("{what}: {}", now.step),
        None => format!("{what}: {} {}", now.step, bytes(now.done_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_nothing_is_not_told() {
        let now = Progress {
            step: "waiting".to_owned(),
            done_bytes: 0,
            total_bytes: Some(0),
        };
        assert_eq!(plain("m1", &known(&now)), "m1: waiting");
    }

    #[test]
    fn all_templates_of_the_bars_are_valid() {
        for template in [WITH_TOTAL, WITHOUT_TOTAL, WITHOUT_BYTES] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn plain_progress_says_how_much_of_what() {
        let mut now = Progress {
            step: "saving".into(),
            done_bytes: 1 << 20,
            total_bytes: Some(4 << 20),
        };
        assert_eq!(plain("cp-1", &now), "cp-1: saving 1 MiB of 4 MiB (25%)");
        now.total_bytes = None;
        assert_eq!(plain("cp-1", &now), "cp-1: saving 1 MiB");
    }
}
