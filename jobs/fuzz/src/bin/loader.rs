//! Any bytes as the stamp of a loader and as the parts of its program.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| etcd_job_loader::fuzz::loader(bytes));
