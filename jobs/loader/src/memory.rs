//! The memory routines that compiled Rust calls by name and that libc would otherwise bring.
//!
//! They are made of string instructions: a loop in Rust could be turned back by the compiler into a call of the very
//! routine it stands in.

use core::arch::asm;

/// # Safety
/// As memcpy of C: both ranges are valid and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise is stronger than what is asked here.
    unsafe { copy_forward(to, from, length) };
    to
}

/// # Safety
/// As memmove of C: both ranges are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= length {
        // SAFETY: `to` is not inside `from..from + length`, so a forward copy reads each byte before it is overwritten.
        unsafe { copy_forward(to, from, length) };
    } else {
        // SAFETY: the ranges are valid, and a backward copy is right when `to` lies inside the source.
        unsafe { copy_backward(to, from, length) };
    }
    to
}

/// # Safety
/// As memset of C: the range is valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    // SAFETY: `rep stosb` writes exactly the range; the direction flag is clear at function boundaries by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") length => _, inout("rdi") to => _, in("al") value.to_le_bytes()[0],
            options(nostack, preserves_flags));
    }
    to
}

/// # Safety
/// As memcmp of C: both ranges are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    let mut position = 0;
    while position < length {
        // SAFETY: position < length, inside the caller's range.
        let a = unsafe { left.wrapping_add(position).read_volatile() };
        // SAFETY: the same for the other range.
        let b = unsafe { right.wrapping_add(position).read_volatile() };
        if a != b {
            return i32::from(a).wrapping_sub(i32::from(b));
        }
        position = position.wrapping_add(1);
    }
    0
}

/// # Safety
/// As bcmp of C: both ranges are valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: the same promise.
    unsafe { memcmp(left, right, length) }
}

/// # Safety
/// As strlen of C: a zero byte follows, in valid memory.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: no zero byte was met before this position, so the caller's text still goes on.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length = length.wrapping_add(1_usize);
    }
    length
}

/// # Safety
/// Both ranges are valid, and `to` does not lie inside the source behind its first byte.
unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: `rep movsb` touches exactly the two ranges; the direction flag is clear at function boundaries.
    unsafe {
        asm!("rep movsb", inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// Both ranges are valid.
unsafe fn copy_backward(to: *mut u8, from: *const u8, length: usize) {
    let last = length.wrapping_sub(1);
    // SAFETY: from the last bytes down it touches exactly the two ranges, none at all for a length of 0; the direction
    // flag is clear again afterwards.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rcx") length => _, inout("rdi") to.wrapping_add(last) => _,
            inout("rsi") from.wrapping_add(last) => _, options(nostack));
    }
}
