//! The open connections of the server for requests: looked at, closed, limited.

use std::sync::Arc;

use super::act::at_most;
use super::{Desk, done, would};
use crate::edge::Edge;
use crate::protocol::act::Acted;
use crate::protocol::connections::{Connection, ConnectionsAnswer, Kick};
use crate::protocol::rpc::{Code, RpcError};

/// The same as of the setting `limits.connections`: more need more file descriptors than a system gives.
pub(super) const MOST: u64 = 100_000;

impl Desk {
    pub(super) fn connections(&self) -> Result<ConnectionsAnswer, RpcError> {
        Ok(self.edge()?.connections())
    }

    pub(super) fn kick(&self, wish: Kick) -> Result<Acted, RpcError> {
        let (edge, id) = (self.edge()?, wish.id);
        let found = if wish.dry_run {
            edge.connection(id)
        } else {
            edge.kick(id)
        };
        let Some(one) = found else {
            let what =
                format!("id = {id} is no open connection: `connections` lists those there are");
            return Err(RpcError::new(Code::NotFound, what));
        };
        let peer = &one.peer;
        let ending = with(&one);
        Ok(if wish.dry_run {
            would(format!("would close connection {id} of {peer}{ending}"))
        } else {
            done(format!("connection {id} of {peer} is closed{ending}"))
        })
    }

    pub(super) fn limit_connections(
        &self,
        value: Option<u64>,
        dry_run: bool,
    ) -> Result<Acted, RpcError> {
        let edge = self.edge()?;
        let means = "so many connections may be open; `drain` takes nothing new";
        let limit = at_most(value, MOST, means)?;
        if dry_run {
            let open = edge.connections().open;
            return Ok(would(format!(
                "would limit connections to {}",
                of(limit, open)
            )));
        }
        let open = edge.limit_connections(limit);
        Ok(done(format!(
            "connections are limited to {}",
            of(limit, open)
        )))
    }

    pub(super) fn edge(&self) -> Result<&Arc<dyn Edge>, RpcError> {
        self.deps.edge.as_ref().ok_or_else(|| {
            let what = "nothing is served here: `paraphym serve` takes requests";
            RpcError::new(Code::Refused, what)
        })
    }
}

/// What a limit means for those who are there.
fn of(limit: usize, open: usize) -> String {
    if open <= limit {
        return format!("{limit}: {open} are open");
    }
    let over = open - limit;
    format!(
        "{limit}: {open} are open and stay, and nobody new is let in until {} have left",
        over + 1
    )
}

/// What ends with it.
fn with(one: &Connection) -> String {
    match one.answers.as_slice() {
        [] => String::new(),
        answers => format!(", and with it {}", answers.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_says_whom_it_lets_in_and_when() {
        for (limit, open, said) in [
            (3, 0, "3: 0 are open"),
            (3, 3, "3: 3 are open"),
            (
                2,
                3,
                "2: 3 are open and stay, and nobody new is let in until 2 have left",
            ),
            (
                1,
                5,
                "1: 5 are open and stay, and nobody new is let in until 5 have left",
            ),
        ] {
            assert_eq!(of(limit, open), said);
        }
    }
}
