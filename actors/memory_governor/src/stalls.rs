//! Shell: hears from the kernel, on the one runtime, that tasks wait for memory.
//!
//! A trigger is written to a pressure file, and the file becomes ready when it fires. Nothing polls here, nothing is
//! read, and no thread waits: who waits is a task. A machine that cannot tell says so with an error, and the governor
//! looks at it by the clock instead.

use std::future::Future;
use std::io;
use std::pin::Pin;

#[cfg(target_os = "linux")]
mod trigger;

#[cfg(target_os = "linux")]
pub use trigger::Trigger;

/// Tells of stalls, one at a time.
pub trait Stalls: Send + 'static {
    /// Resolves when tasks waited for memory. Stalls that come faster than they are asked for are one.
    ///
    /// # Errors
    /// Nothing will ever be told again: the group is gone, or the kernel gave the trigger up.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}
