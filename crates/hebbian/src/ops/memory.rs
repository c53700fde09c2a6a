//! What becomes of memory between two steps.

/// Lets this process keep the memory that one step frees for the next. A program calls it once, when it begins.
///
/// The C library of GNU/Linux gives blocks of several MB back to the system at once, which then clears each of their pages anew
/// for the next step: for the layers of a convolutional network that is a fifth of all time. Elsewhere this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest size of blocks for which the library takes that.
        const LARGEST: libc::c_int = 32 << 20;
        // SAFETY: each call sets a number of the allocator, under its lock, to a value that it allows.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}
