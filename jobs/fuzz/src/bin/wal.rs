//! Any bytes as the segments of a WAL.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_datadir::wal::fuzz::wal(bytes));
