//! What happened in the whole tree lately, in one order: the tail of the stream that `events` shows. The stream keeps the last
//! of them by itself; this takes them out of it when somebody asks, so that nobody has to run for it and nothing is lost
//! while control is down. Why one actor is as it is, supervision's own recorder knows.

use std::collections::VecDeque;
use std::time::SystemTime;

use supervision::LifecycleEvent;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;

use crate::convert;
use crate::protocol::events::{Event, Filter, Past};

/// Events that are kept: a day of a healthy host, a minute of a very ill one; some 200 KiB. 1024.
const KEPT: usize = 1024;

/// The last events.
pub(crate) struct Recorder {
    stream: Receiver<LifecycleEvent>,
    kept: VecDeque<Event>,
    forgotten: u64,
}

impl Recorder {
    pub(crate) fn new(stream: Receiver<LifecycleEvent>) -> Self {
        Self {
            stream,
            kept: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Takes what has come. `now` and `wall` are the same moment on two clocks.
    fn catch_up(&mut self, now: Instant, wall: SystemTime) {
        loop {
            match self.stream.try_recv() {
                Ok(event) => self.kept.push_back(convert::event(&event, now, wall)),
                Err(TryRecvError::Lagged(lost)) => self.forgotten += lost,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
            if self.kept.len() > KEPT {
                self.kept.pop_front();
                self.forgotten += 1;
            }
        }
    }

    /// The last `limit` of those that pass.
    pub(crate) fn past(
        &mut self,
        filter: &Filter,
        limit: usize,
        (now, wall): (Instant, SystemTime),
    ) -> Past {
        self.catch_up(now, wall);
        let passing = self.kept.iter().rev().filter(|event| filter.passes(event));
        let mut events: Vec<Event> = passing.take(limit).cloned().collect();
        events.reverse();
        Past {
            events,
            forgotten: self.forgotten,
        }
    }
}

#[cfg(test)]
mod tests {
    use supervision::{ChildPath, Lifecycle};
    use tokio::sync::broadcast;

    use super::*;

    fn starting(incarnation: u64) -> LifecycleEvent {
        LifecycleEvent {
            child: ChildPath::root(&"a".into()),
            incarnation,
            at: Instant::now(),
            what: Lifecycle::Starting,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_are_kept_and_those_that_are_not_are_counted() {
        let (sender, stream) = broadcast::channel(2048);
        let mut recorder = Recorder::new(stream);
        let moment = || (Instant::now(), SystemTime::UNIX_EPOCH);
        for life in 1..=1500 {
            sender.send(starting(life)).unwrap();
        }
        let past = recorder.past(&Filter::default(), 2, moment());
        let lives: Vec<u64> = past.events.iter().map(|event| event.life).collect();
        assert_eq!((lives, past.forgotten), (vec![1499, 1500], 476));
        for life in 1..=3000 {
            sender.send(starting(life)).unwrap();
        }
        let past = recorder.past(&Filter::default(), 5000, moment());
        assert_eq!(past.events.len(), KEPT);
        assert_eq!(past.forgotten, 1500 + 3000 - KEPT as u64);
        let other = Filter {
            actor: Some("b".to_owned()),
            ..Filter::default()
        };
        assert_eq!(recorder.past(&other, 9, moment()).events, []);
    }
}
