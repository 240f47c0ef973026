//! Any text as a static pod's manifest that is edited.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::manifest(bytes));
