//! Where conversations are kept, as it was chosen before the start.

use conversation_store::{Archive, StoreConfig, StoreError, client};

use crate::history::now_ms;

/// A place, or a file that is open already.
pub(crate) enum Shelf {
    At(StoreConfig),
    Open(Box<Archive>),
}

impl Shelf {
    /// A file that is refused is told to whoever starts the tree, so it is opened before there is one.
    pub(crate) async fn opened(chosen: Option<Self>) -> Result<Archive, StoreError> {
        let config = match chosen {
            Some(Self::Open(archive)) => return Ok(*archive),
            Some(Self::At(config)) => config,
            None => StoreConfig::in_memory(),
        };
        client::open(config, now_ms()).await
    }
}
