//! Where the kernel enters the program, what it left on the stack, and what happens on a panic.

use core::panic::PanicInfo;

use etcd_job_loader::failure::Failure;

use crate::node;
use crate::vectors::Vectors;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("the loader's start and memory routines are written for Linux on x86-64");

// The kernel enters with the stack pointer on argc, argv, NULL, envp, NULL (System V ABI, x86-64, section 3.4.1). A
// function must be called with the stack aligned to 16 bytes, and an empty frame pointer marks the outermost frame.
core::arch::global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {enter}",
    "ud2",
    enter = sym enter,
);

/// Goes from the kernel's stack to [`crate::run`], and out with its exit code.
///
/// # Safety
/// `stack` is the stack pointer the kernel entered the program with.
unsafe extern "C" fn enter(stack: *mut usize) -> ! {
    // SAFETY: it is that stack pointer.
    let vectors = unsafe { Vectors::at(stack) };
    node::exit(crate::run(&vectors))
}

#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    let failure = match information.location() {
        Some(location) => node::report(
            Failure::Internal,
            format_args!("panic at {}:{}", location.file(), location.line()),
        ),
        None => node::report(Failure::Internal, format_args!("panic")),
    };
    node::exit(failure)
}
