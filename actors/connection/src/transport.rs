//! Shell: what carries frames: a stream of what comes and a sink for what goes. Which protocol it is, is not known here.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Sink;
use futures_util::stream::BoxStream;

use crate::wire::CloseCode;

/// Something that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A text.
    Text(String),
    /// The client asks whether anybody is there; the protocol has answered.
    Ping,
    /// A frame that is not text.
    Binary,
    /// A text that is not UTF-8.
    NotUtf8,
    /// A frame larger than may be.
    TooLarge,
    /// The client says that it leaves, and will not come back.
    Left,
    /// An operator has it closed.
    Kicked,
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A frame.
    Text(Arc<str>),
    /// The end, with its reason.
    Close(CloseCode),
}

/// The transport is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transport is gone")]
pub struct Gone;

/// Where frames go.
pub type Writer = Pin<Box<dyn Sink<Outgoing, Error = Gone> + Send>>;

/// One transport. Its end is the end of `incoming`; to drop both is to cut it.
pub struct Transport {
    /// What comes.
    pub incoming: BoxStream<'static, Incoming>,
    /// What goes.
    pub outgoing: Writer,
}
