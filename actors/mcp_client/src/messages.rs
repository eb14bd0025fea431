//! What one server's actor is told.

/// Somebody has given up on a call over the connection of this number: is the server alive?
pub(crate) struct Doubt(pub(crate) u64);

/// End the connection, if there is one, and make a new one now.
#[derive(Clone, Copy, Debug)]
pub struct Reconnect;
