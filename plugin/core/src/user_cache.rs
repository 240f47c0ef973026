//! Small files that may be lost, for their user alone: `~/.cache/kubectl-etcd/KIND/KEY.json`.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The files of one kind.
#[derive(Debug, Clone, Default)]
pub struct UserCache {
    /// None: the user has no home.
    folder: Option<PathBuf>,
}

impl UserCache {
    /// Files of this kind, where the XDG base directories have them, on every system: kubectl's own cache lies in one
    /// place on all of them too.
    pub(crate) fn new(kind: &str) -> Self {
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let cache = path("XDG_CACHE_HOME").filter(|path| path.is_absolute());
        let cache = cache.or_else(|| Some(path("HOME")?.join(".cache")));
        Self {
            folder: cache.map(|cache| cache.join("kubectl-etcd").join(kind)),
        }
    }

    /// The same in a folder of a test.
    #[cfg(test)]
    pub fn at(folder: PathBuf) -> Self {
        Self {
            folder: Some(folder),
        }
    }

    /// What was saved under a key; none: nothing, or something that cannot be read.
    pub(crate) fn load<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let text = std::fs::read(self.file(key)?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Saves a value under a key: whole or not at all. Without a home nothing is saved.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(crate) fn save<T: Serialize>(&self, key: &str, value: &T) -> io::Result<()> {
        let (Some(folder), Some(file)) = (&self.folder, self.file(key)) else {
            return Ok(());
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // 0600 by itself; said, because it matters.
        let mut new = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)?;
        new.write_all(&serde_json::to_vec(value)?)?;
        new.persist(file)?;
        Ok(())
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{key}.json")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_whole_and_for_their_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let cache = UserCache::at(folder.path().join("a/kind"));
        assert_eq!(cache.load::<u32>("key"), None);
        cache.save("key", &7_u32).unwrap();
        cache.save("key", &8_u32).unwrap();
        assert_eq!(cache.load::<u32>("key"), Some(8));
        assert_eq!(cache.load::<String>("key"), None, "of another kind");
        let mode = |path: &str| {
            let meta = folder.path().join(path).metadata().unwrap();
            meta.permissions().mode() & 0o777
        };
        assert_eq!(mode("a/kind"), 0o700);
        assert_eq!(mode("a/kind/key.json"), 0o600);
        assert_eq!(
            std::fs::read_dir(folder.path().join("a/kind"))
                .unwrap()
                .count(),
            1
        );
    }
}
