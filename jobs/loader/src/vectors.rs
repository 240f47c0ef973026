//! The arguments and the environment that the loader was started with, for the program that it becomes.

use core::ffi::{CStr, c_char};

/// The argument and environment vectors, as the kernel laid them out.
pub(crate) struct Vectors {
    /// Points at argv[0]; argc pointers to C strings and a null follow, then the environment and a null.
    arguments: *mut *const c_char,
    count: usize,
}

impl Vectors {
    /// Those that a process was started with.
    ///
    /// # Safety
    /// `stack` is the stack pointer the kernel entered the program with.
    pub(crate) unsafe fn at(stack: *mut usize) -> Self {
        // SAFETY: argc lies where the stack pointer was.
        let count = unsafe { *stack };
        // SAFETY: the argument vector lies directly above it.
        let arguments = unsafe { stack.add(1) }.cast();
        Self { arguments, count }
    }

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
