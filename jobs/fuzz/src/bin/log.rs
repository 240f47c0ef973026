//! Any bytes as the end of a container's log.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::log(bytes));
