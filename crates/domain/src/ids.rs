//! Names for things that outlive one message. They are made at the edges and only compared inside.

use std::fmt;
use std::sync::Arc;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// One conversation: the turns of one agent worker.
    ConversationId
}
text_id! {
    /// One model as its user names it: a catalogue name or a file path.
    ModelName
}
text_id! {
    /// One request, echoed in logs, events and HTTP headers; what `cancel` takes.
    RequestId
}
text_id! {
    /// One call of a tool: what its result answers to.
    ToolCallId
}
text_id! {
    /// One person, or one agent, as whoever let them in knows them.
    UserId
}
text_id! {
    /// One client that is connected: a person may have several.
    ConnectionId
}
