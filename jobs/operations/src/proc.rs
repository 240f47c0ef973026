//! The command lines of processes, as /proc has them.

use std::path::Path;

/// The command line of a process of this host; none when there is no such process.
pub(crate) fn words_of(pid: u32) -> Option<Vec<String>> {
    words_below(Path::new("/proc"), pid)
}

/// The same, where `proc` is the host's /proc.
pub(crate) fn words_below(proc: &Path, pid: u32) -> Option<Vec<String>> {
    let path = proc.join(pid.to_string()).join("cmdline");
    let words = split(&std::fs::read(path).ok()?);
    // A process that is being taken apart has none.
    (!words.is_empty()).then_some(words)
}

/// Each word ends with a zero byte.
fn split(cmdline: &[u8]) -> Vec<String> {
    let ended = cmdline.strip_suffix(&[0]).unwrap_or(cmdline);
    if ended.is_empty() {
        return Vec::new();
    }
    let words = ended.split(|byte| *byte == 0);
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn this_process_is_found_and_one_that_is_not_is_not() {
        assert!(words_of(std::process::id()).is_some_and(|words| !words.is_empty()));
        assert_eq!(words_of(u32::MAX), None);
        assert_eq!(split(b""), Vec::<String>::new());
        assert_eq!(split(b"a\0\0b\0"), ["a", "", "b"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split(bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..40)) {
            let _ = split(&bytes);
        }
    }
}
