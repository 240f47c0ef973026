//! Where the kernel enters the program, what it left on the stack, and what happens on a panic.

use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;

use etcd_job_loader::failure::Failure;

use crate::node;

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

/// The argument and environment vectors, as the kernel laid them out.
pub(crate) struct Vectors {
    /// Points at argv[0]; argc pointers to C strings and a null follow, then the environment and a null.
    arguments: *mut *const c_char,
    count: usize,
}

impl Vectors {
    /// The arguments under another name than the one the loader was called by: a whole argument vector, ending in a null.
    pub(crate) fn named(&self, name: &'static CStr) -> *const *const c_char {
        if self.count > 0 {
            // SAFETY: the first pointer, on the stack and writable; nobody holds a reference to the slot itself.
            unsafe { self.arguments.write(name.as_ptr()) };
        }
        self.arguments
    }

    /// The environment vector, ending in a null.
    pub(crate) fn environment(&self) -> *const *const c_char {
        // Behind argc pointers and one null.
        self.arguments.wrapping_add(self.count).wrapping_add(1)
    }
}

/// Goes from the kernel's stack to [`crate::run`], and out with its exit code.
///
/// # Safety
/// `stack` is the stack pointer the kernel entered the program with.
unsafe extern "C" fn enter(stack: *mut usize) -> ! {
    // SAFETY: argc lies where the stack pointer was.
    let count = unsafe { *stack };
    // SAFETY: the argument vector lies directly above it.
    let arguments = unsafe { stack.add(1) }.cast();
    node::exit(crate::run(&Vectors { arguments, count }))
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
