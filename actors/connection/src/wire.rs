//! The wire: what is said, in which words, and why it ends. From these types `docs/protocol/websocket.md` is made.

pub mod client;
pub mod codes;
pub mod decode;
pub mod examples;
pub mod page;
pub mod room;
pub mod schema;
pub mod server;

pub use client::ClientFrame;
pub use codes::{CloseCode, Policy};
pub use decode::{FrameError, decode};
pub use server::{Numbered, PROTOCOL, ServerFrame};
