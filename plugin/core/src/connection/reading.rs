//! YAML as kubectl takes it.

use std::io::Cursor;

use serde::de::DeserializeOwned;
use serde_saphyr::DuplicateKeyPolicy;

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
