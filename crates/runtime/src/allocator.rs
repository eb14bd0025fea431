//! Why: memory that a model let go must leave the process, or the governor lends it a second time while the system
//! still counts it.
//!
//! glibc gives a large block back when it is freed, because such a block is a mapping of its own. But what is "large"
//! grows with every such block that is freed, up to 32 MiB: after the first model the pages of conversations come from
//! the heap, where one small block above them keeps them all. So the threshold is fixed at where it began.

/// glibc's own first value. A mapping costs microseconds, computing with what lies in it milliseconds.
const LARGE_FROM: i32 = 128 * 1024;

/// With one of these set the operator has decided.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const DECIDED: [&str; 2] = ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"];

/// From now on every block of [`LARGE_FROM`] bytes or more is given back to the system when it is freed. Does nothing
/// where the allocator is not glibc's, or the environment tunes it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "glibc offers this switch as a C function only")]
pub(crate) fn give_back_large_blocks() {
    if DECIDED.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    // SAFETY: `mallopt` takes two numbers, touches no memory of ours, and locks the allocator while it writes.
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_FROM) };
    if done == 0 {
        tracing::debug!("the allocator keeps large blocks: {LARGE_FROM} was not accepted");
    }
}

/// See the other one.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back_large_blocks() {
    tracing::trace!("the allocator is not told from where blocks are large: {LARGE_FROM}");
}
