//! Any text as the JSON that goes to a node and comes from it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::documents(bytes));
