//! The wire: what is said over the socket, as types. The page `docs/protocol/control.md` is made from them.

pub mod act;
pub mod connections;
pub mod ending;
pub mod events;
pub mod hello;
pub mod level;
pub mod look;
pub mod page;
pub mod rpc;
pub mod table;
pub mod tap;
pub mod vitals;

/// The protocol that this server speaks. It grows when something that was there changes its meaning or goes; a new method
/// or a new field of an answer does not count.
pub const PROTOCOL: u32 = 1;
