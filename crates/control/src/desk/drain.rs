//! Nothing new is taken from now on, and what is under way goes on. The listener stays: whoever asks is to hear why.

use super::{Desk, done, would};
use crate::protocol::act::Acted;
use crate::protocol::rpc::{Code, RpcError};

impl Desk {
    pub(super) fn drain(&self, dry_run: bool) -> Result<Acted, RpcError> {
        let edge = self.edge()?;
        if edge.is_draining() {
            let under_way = answers(edge.under_way());
            let what = format!("nothing new is taken already; {under_way}");
            return Err(RpcError::new(Code::Refused, what));
        }
        if dry_run {
            let under_way = answers(edge.under_way());
            return Ok(would(format!("would take nothing new; {under_way}")));
        }
        edge.drain();
        let under_way = answers(edge.under_way());
        Ok(done(format!(
            "nothing new is taken until this process has ended; {under_way}"
        )))
    }
}

/// What becomes of those under way.
fn answers(under_way: usize) -> String {
    match under_way {
        0 => "no answer is under way".to_owned(),
        1 => "1 answer goes on".to_owned(),
        many => format!("{many} answers go on"),
    }
}
