//! Any bytes as a record of each bucket and as the apiserver's key and value.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_datadir::fuzz::record(bytes));
