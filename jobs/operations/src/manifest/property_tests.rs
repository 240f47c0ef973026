//! Edits of manifests that nobody wrote.
