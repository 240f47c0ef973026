//! The end of a container's log, as the runtime writes it: `TIME STREAM TAG WORDS`, the tag `P` where a line goes on in the
//! next one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::evidence::{said, shown};
use crate::limits::LOG_END_BYTES;

/// Its last so many lines, each short enough to be shown; fewer when it has no more.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn last_lines(log: &Path, most: usize) -> io::Result<Vec<String>> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_END_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_END_BYTES).read_to_end(&mut bytes)?;
    Ok(lines(&String::from_utf8_lossy(&bytes), most))
}

/// The same of a text.
pub(crate) fn lines(text: &str, most: usize) -> Vec<String> {
    let mut last = VecDeque::new();
    let mut begun = String::new();
    // The first one may be cut: then it is none of the log's, or a part of one.
    for line in text.lines() {
        let Some(words) = said(line) else { continue };
        begun.push_str(words);
        if is_partial(line) {
            continue;
        }
        let whole = shown(&std::mem::take(&mut begun));
        if !whole.is_empty() {
            last.push_back(whole);
        }
        if last.len() > most {
            last.pop_front();
        }
    }
    last.into()
}

/// The tag may have more parts behind a colon.
fn is_partial(line: &str) -> bool {
    let tag = line.split(' ').nth(2).unwrap_or_default();
    tag.split(':').any(|part| part == "P")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_last_lines_are_whole_and_without_what_the_runtime_adds() {
        let log = "d of one that was cut\n2026-11-22T08:00:00.1Z stderr F first\n2026-11-22T08:00:00.2Z stderr P sec\n2026-11-22T08:00:00.2Z stderr F ond\n2026-11-22T08:00:00.3Z stdout F \n2026-11-22T08:00:00.3Z stdout F third\u{1b}[0m\n";
        assert_eq!(lines(log, 5), ["first", "second", "third [0m"]);
        assert_eq!(lines(log, 2), ["second", "third [0m"]);
        assert_eq!(lines("", 2), Vec::<String>::new());
    }

    #[test]
    fn a_log_is_read_from_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let text: String = (0..2000)
            .map(|n| format!("2026-11-22T08:00:00Z stderr F line {n}\n"))
            .collect();
        std::fs::write(&path, text).unwrap();
        assert_eq!(last_lines(&path, 1).unwrap(), ["line 1999"]);
        assert!(last_lines(&dir.path().join("none"), 1).is_err());
    }

    proptest! {
        #[test]
        fn any_log_is_read(text in "(([TZ:. a]{0,6}|stderr|stdout|F|P|P:x|é| |\n){0,40})", most in 0_usize..4) {
            prop_assert!(lines(&text, most).len() <= most);
        }
    }
}
