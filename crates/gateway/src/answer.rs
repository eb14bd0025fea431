//! How answers look on the wire, exactly as the official clients read them. Nothing here waits.

use domain::GenerationEvent;

pub mod chunks;
pub mod whole;

/// What keeps a silent connection open; clients ignore it.
pub const PING: &str = ": ping\n\n";

/// Turns the events of one answer into the text of its stream.
pub trait Written: Send + 'static {
    /// What an event adds to the stream; nothing for news about the queue and the prompt.
    fn event(&mut self, event: &GenerationEvent) -> String;
}
