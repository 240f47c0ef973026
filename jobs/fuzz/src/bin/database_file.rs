//! Any bytes as a database or snapshot file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_datadir::fuzz::file(bytes));
