//! Who is resident and who may run; engines travel to the blocking pool, one step at a time.

pub mod messages;

pub use messages::{
    Cancel, Generate, HostStatus, ModelState, ModelStatus, Status, Unload, UnloadError, Warm,
};
