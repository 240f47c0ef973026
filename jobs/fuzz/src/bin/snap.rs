//! Any bytes as a `.snap` file and as raft's messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_datadir::snap::fuzz::snap(bytes));
