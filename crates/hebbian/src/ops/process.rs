//! What a program does once, when it begins, so that steps are fast.

/// Sets this process up for steps of a few hundred microseconds: its thread joins those that share the work, their number is
/// written down, and freed memory is kept. A program calls it once, before it has other threads; what was set already stays.
pub fn prepare_process() {
    write_down_threads();
    join_threads();
    keep_freed_memory();
}

/// Writes the number of threads into `RAYON_NUM_THREADS`, if it is not there: that of the processor's cores, or fewer where
/// the process may use fewer.
///
/// Without it candle 0.11 counts the cores at each product by reading `/proc/cpuinfo`, which takes 60 to 100 µs: as long as
/// the product of a readout.
fn write_down_threads() {
    const THREADS: &str = "RAYON_NUM_THREADS";
    #[cfg(target_os = "linux")]
    if is_alone() && std::env::var_os(THREADS).is_none() {
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = usable.min(num_cpus::get_physical());
        // SAFETY: the process has one thread, this one, so that nobody reads the environment meanwhile.
        unsafe { std::env::set_var(THREADS, threads.to_string()) };
    }
}

/// Whether the process has one thread.
#[cfg(target_os = "linux")]
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Makes this thread one of those that share the work: a step has several parallel parts of a few dozen microseconds, and
/// handing each to the pool from outside made it a tenth longer.
fn join_threads() {
    let _ = rayon::ThreadPoolBuilder::new().use_current_thread().build_global();
}

/// Keeps the memory that one step frees for the next.
///
/// The C library of GNU/Linux gives blocks of several MB back to the system at once, which then clears each of their pages anew
/// for the next step: for the layers of a convolutional network that is a fifth of all time. Elsewhere this does nothing.
fn keep_freed_memory() {
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
