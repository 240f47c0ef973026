//! Any bytes as the tree of a database whose guards (metas, page numbers, trailer) are right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_datadir::fuzz::tree(bytes));
