//! How kubectl's files are read: up to a limit, and YAML as kubectl takes it.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_saphyr::DuplicateKeyPolicy;

/// All of a file that has no more than `limit` bytes. One that has more is never taken for its beginning.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {} KiB", limit >> 10),
        )),
        false => Ok(bytes),
    }
}

/// The first document; of a key that is given twice the last value. The error repeats none of the text.
pub(super) fn first_document<T: DeserializeOwned + Default>(
    text: &[u8],
) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    let mut reader = Cursor::new(text);
    let first = serde_saphyr::read_with_options(&mut reader, options).next();
    Ok(first.transpose()?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_not_taken_for_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b'x'; 2048]).unwrap();
        assert_eq!(read(file.path(), 2048).unwrap().len(), 2048);
        let error = read(file.path(), 2047).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
