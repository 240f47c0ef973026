//! A node's file system that is found at some root: in a container it is mounted, on the node it is `/`.

use std::io;
use std::path::{Component, Path, PathBuf};

/// How often symbolic links may lead on before that is given up, as in Linux.
const MOST_LINKS: usize = 40;

/// Where a path of the node is found below `root`: links lead where they would lead on the node, and never outside. What
/// is not there is said to be where it would be.
///
/// # Errors
/// When links lead on for ever.
pub(crate) fn below(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut links = 0;
    let mut ahead: Vec<PathBuf> = parts(path);
    let mut found = PathBuf::new();
    while let Some(part) = ahead.pop() {
        if part == Path::new("..") {
            found.pop();
            continue;
        }
        found.push(&part);
        if let Ok(leads_to) = root.join(&found).read_link() {
            links += 1;
            if links > MOST_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            found.pop();
            if leads_to.is_absolute() {
                found = PathBuf::new();
            }
            ahead.extend(parts(&leads_to));
        }
    }
    Ok(root.join(found))
}

/// The text of a file of the node.
///
/// # Errors
/// As reading.
pub(crate) fn read_text(root: &Path, path: &str) -> io::Result<String> {
    std::fs::read_to_string(below(root, Path::new(path))?)
}

/// The parts of a path, the last one first, without `/` and `.`.
fn parts(path: &Path) -> Vec<PathBuf> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().into())
        .rev()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_node_lead_to_the_nodes_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("srv/pki/etcd")).unwrap();
        std::fs::create_dir_all(at("etc")).unwrap();
        std::os::unix::fs::symlink("/srv", at("etc/kubernetes")).unwrap();
        std::os::unix::fs::symlink("../pki/./etcd", at("srv/pki/other")).unwrap();
        std::os::unix::fs::symlink("round", at("round")).unwrap();
        let found = |path: &str| below(root.path(), Path::new(path));
        assert_eq!(
            found("/etc/kubernetes/pki/other/ca.crt").unwrap(),
            at("srv/pki/etcd/ca.crt")
        );
        assert_eq!(found("/../../srv/none").unwrap(), at("srv/none"));
        assert!(found("/round/x").is_err());
        let own = below(Path::new("/"), Path::new("/no/such")).unwrap();
        assert_eq!(own, Path::new("/no/such"));
    }
}
