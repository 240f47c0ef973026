//! Any text as a unit's files and its environment files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::units(bytes));
