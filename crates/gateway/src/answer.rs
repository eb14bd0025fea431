//! How answers look on the wire, exactly as the official clients read them. Nothing here waits.

use domain::GenerationEvent;

pub mod chunks;
mod likelihoods;
mod logprobs;
pub mod text;
pub mod vectors;
pub mod whole;

/// What keeps a silent connection open; clients ignore it.
pub const PING: &str = ": ping\n\n";

/// What a stream that came to its end closes with.
const DONE: &str = "data: [DONE]\n\n";

/// One message of a stream.
fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// Turns the events of one answer into the text of its stream.
pub trait Written: Send + 'static {
    /// What an event adds to the stream; nothing for news about the queue and the prompt.
    fn event(&mut self, event: &GenerationEvent) -> String;
}
