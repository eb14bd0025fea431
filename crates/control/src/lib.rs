//! Control of a running host: JSON-RPC 2.0 on a Unix socket, the server as a supervised child, and a typed client.
//!
//! ```text
//!  paraphym ctl ─> client ─ lines ─> server (child `control`) ─> session (what may be asked) ─> desk (who is asked) ─> actors
//!                         <─ lines ─                          <─ answers, events
//! ```
//!
//! Invariants: nothing here reaches into anybody's state, every method is a message with a deadline; only the same user or
//! root is heard; whatever a client sends or does not read, nobody else notices; nothing is changed that is not written down.

pub mod codec;
pub mod protocol;
pub mod session;

pub use protocol::level::Level;
pub use protocol::rpc::{Code, RpcError};
