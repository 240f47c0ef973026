//! Any bytes as a snapshot: plain, compressed, or a bundle.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::packed(bytes));
