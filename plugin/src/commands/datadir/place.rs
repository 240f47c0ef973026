//! Which data directory a path means: the folder `member` in it, and what is in that, are named in its place.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use etcd_operations::shell::CommandLine;
use kubectl_etcd_core::error::Error;

/// What etcd calls the only folder in a data directory.
const MEMBER: &str = "member";
/// The folders in that one.
const PARTS: [&str; 2] = ["snap", "wal"];

/// The data directory that is meant: the path itself unless it leads into one.
///
/// # Errors
/// When it leads to something that has no data directory around it.
pub(super) fn data_dir(typed: &Path) -> Result<PathBuf, Error> {
    // What is not there, or may not be looked at, is for who reads it to tell.
    let Ok(path) = typed.canonicalize() else {
        return Ok(typed.to_owned());
    };
    if path.join(MEMBER).is_dir() {
        return Ok(typed.to_owned());
    }
    // The path, the folder it is in, and the one around that.
    if let Some(member) = path.ancestors().take(3).find(|one| is_member(one)) {
        return Ok(member.parent().unwrap_or(member).to_owned());
    }
    let shown = typed.display();
    if path.is_file() {
        let error = Error::usage(format!("{shown} is a file and no data directory"));
        let verify = CommandLine::new("kubectl etcd snapshot verify").operand(&shown);
        return Err(error.hint(format!("{verify}, or snapshot inspect")));
    }
    if has_parts(&path) {
        let error = Error::usage(format!(
            "{shown} is the folder `{MEMBER}` of a data directory, under another name"
        ));
        return Err(error.hint(format!("move it to DIR/{MEMBER}, and name DIR")));
    }
    Ok(typed.to_owned())
}

fn is_member(path: &Path) -> bool {
    path.file_name() == Some(OsStr::new(MEMBER)) && has_parts(path)
}

fn has_parts(path: &Path) -> bool {
    PARTS.iter().any(|part| path.join(part).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_data_directory_means_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let dir = root.join("etcd");
        for part in PARTS {
            std::fs::create_dir_all(dir.join(MEMBER).join(part)).unwrap();
        }
        for file in ["member/snap/db", "member/wal/0-0.wal"] {
            std::fs::write(dir.join(file), "").unwrap();
        }
        for inside in [
            "",
            "member",
            "member/",
            "member/snap",
            "member/wal",
            "member/snap/db",
            "member/wal/0-0.wal",
        ] {
            let found = data_dir(&dir.join(inside)).unwrap();
            assert_eq!(found.canonicalize().unwrap(), dir, "{inside}");
        }
        // Around it, elsewhere, and what is not there is taken as it is.
        for typed in [root.clone(), root.join("nowhere"), PathBuf::from("nowhere")] {
            assert_eq!(data_dir(&typed).unwrap(), typed);
        }
    }

    #[test]
    fn what_has_no_data_directory_around_it_is_said_to_have_none() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("cp-1");
        std::fs::create_dir_all(copy.join("snap")).unwrap();
        std::fs::write(copy.join("snap/db"), "").unwrap();
        let error = data_dir(&copy).unwrap_err();
        assert!(error.message.contains("under another name"), "{error}");
        assert!(
            crate::advice::hints(&error)[0].contains("DIR/member"),
            "{error:?}"
        );
        let error = data_dir(&copy.join("snap/db")).unwrap_err();
        assert!(
            error.message.ends_with("is a file and no data directory"),
            "{error}"
        );
        assert_eq!(error.kind.exit_code(), 2);
    }
}
