//! Any bytes as a stream of a file's frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::frames(bytes));
