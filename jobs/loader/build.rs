//! Tells the linker that the program brings its own `_start` and needs no libc.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for argument in [
        // No crt1.o, no libc, no libgcc: src/start.rs and src/memory.rs stand in for what is needed of them.
        "-nostartfiles",
        "-nostdlib",
        // Without libc nobody would apply relocations, so the program is linked to a fixed address.
        "-static",
        "-no-pie",
        // One page-aligned file of a few KiB, the same bytes for the same input.
        "-Wl,--build-id=none",
        "-Wl,-z,noseparate-code",
        "-Wl,-z,norelro",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
