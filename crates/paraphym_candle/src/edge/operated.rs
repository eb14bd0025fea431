//! The server for requests, as control operates it: joined here, because neither may name the other.

use control::edge::Called;
use control::protocol::connections::{Connection, ConnectionsAnswer, LISTED};
use domain::RequestId;
use gateway::{NamedAnswer, OpenConnection};

use super::Edge;

/// Shown to control.
pub(crate) struct Operated(pub(crate) Edge);

impl control::edge::Edge for Operated {
    fn called(&self, name: &str) -> Vec<Called> {
        self.0
            .serving
            .called(name)
            .into_iter()
            .map(called)
            .collect()
    }

    fn cancel(&self, name: &str) -> Vec<Called> {
        self.0
            .serving
            .cancel(name)
            .into_iter()
            .map(called)
            .collect()
    }

    fn connections(&self) -> ConnectionsAnswer {
        let listed = self.0.serving.connections(LISTED);
        let seats = self.0.serving.occupancy();
        ConnectionsAnswer {
            limit: seats.limit,
            open: seats.open,
            refused: seats.refused,
            unlisted: seats.open.saturating_sub(listed.len()),
            connections: listed.into_iter().map(connection).collect(),
        }
    }

    fn connection(&self, id: u64) -> Option<Connection> {
        self.0.serving.connection(id).map(connection)
    }

    fn kick(&self, id: u64) -> Option<Connection> {
        self.0.serving.kick(id).map(connection)
    }

    fn limit_connections(&self, most: usize) -> usize {
        self.0.serving.limit_connections(most).open
    }

    fn drain(&self) {
        self.0.drain();
    }

    fn is_draining(&self) -> bool {
        self.0.serving.is_draining()
    }

    fn under_way(&self) -> usize {
        self.0.under_way().len()
    }
}

fn called(one: NamedAnswer) -> Called {
    Called {
        answer: one.answer,
        request: one.request,
        owner: one.owner.map(|owner| owner.to_string()),
    }
}

fn connection((one, answers): (OpenConnection, Vec<RequestId>)) -> Connection {
    Connection {
        id: one.number,
        kind: one.kind.as_str().to_owned(),
        peer: one.peer.to_string(),
        open_ms: u64::try_from(one.open_for.as_millis()).unwrap_or(u64::MAX),
        silent: one.silent,
        requests: one.requests,
        read_bytes: one.read_bytes,
        written_bytes: one.written_bytes,
        answers: answers.iter().map(ToString::to_string).collect(),
    }
}
