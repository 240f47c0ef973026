//! Any bytes as a bundle whose headers have right checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_operations::fuzz::bundle(bytes));
