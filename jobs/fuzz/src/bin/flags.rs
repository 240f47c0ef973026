//! Any text as a command line and its environment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::flags(bytes));
