//! What the server said, made into what is shown: rates between two answers, courses over the last minutes, the latest
//! events. Pure, and bounded: a board that runs for a month holds no more than one that runs for ten minutes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use paraphym_candle::control::protocol::events::Event;
use paraphym_candle::control::protocol::vitals::{
    ActorVitals, LabelVitals, ModelVitals, VitalsAnswer,
};

/// Points of a course: more than a sparkline is ever wide.
const POINTS: usize = 256;
/// Events that are kept: some screens full.
const EVENTS: usize = 200;

/// What one actor did between the last two answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// Messages a second.
    pub(crate) messages: f64,
    /// How long one took, in microseconds; `None` if none was timed.
    pub(crate) handling_us: Option<f64>,
}

/// How something went, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Course(VecDeque<u64>);

impl Course {
    fn note(&mut self, value: u64) {
        if self.0.len() >= POINTS {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The latest so many, oldest first.
    pub(crate) fn latest(&self, count: usize) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .copied()
            .skip(self.0.len().saturating_sub(count))
    }

    pub(crate) fn last(&self) -> u64 {
        self.0.back().copied().unwrap_or_default()
    }
}

/// Everything that is known of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    /// The last answer.
    pub(crate) now: Option<VitalsAnswer>,
    /// By path.
    paces: BTreeMap<String, Pace>,
    /// Tokens of answers a second.
    pub(crate) decode: Course,
    /// Tokens of prompts a second.
    pub(crate) prefill: Course,
    /// Requests that wait.
    pub(crate) queue: Course,
    /// Messages a second, of all actors.
    pub(crate) messages: Course,
    /// How long the last answers that began had waited for their first token, in milliseconds.
    pub(crate) first_token_ms: Option<u64>,
    /// Oldest first.
    pub(crate) events: VecDeque<Event>,
    /// Events that nobody could tell us.
    pub(crate) lost: u64,
}

impl Board {
    /// Takes an answer. Of another process, or one whose clock went back, nothing is compared.
    pub(crate) fn hear(&mut self, answer: VitalsAnswer) {
        let before = self.now.take();
        let before = before.filter(|b| b.pid == answer.pid && b.uptime_ms < answer.uptime_ms);
        if let Some(before) = &before {
            self.compare(before, &answer);
        } else {
            self.paces.clear();
        }
        let waiting = answer.models.iter().map(|one| one.model.waiting as u64);
        self.queue.note(waiting.sum());
        self.now = Some(answer);
    }

    fn compare(&mut self, before: &VitalsAnswer, now: &VitalsAnswer) {
        let took_ms = now.uptime_ms - before.uptime_ms;
        let seconds = Duration::from_millis(took_ms).as_secs_f64();
        let olds = before
            .actors
            .iter()
            .map(|one| (one.actor.actor.as_str(), one));
        let olds: BTreeMap<&str, &ActorVitals> = olds.collect();
        let paces = now.actors.iter().filter_map(|one| {
            let path = &one.actor.actor;
            let old = olds.get(path.as_str()).copied();
            // One that was not there before began at nothing, unless it is older than the answer that it was not in.
            let began = || one.actor.life <= 1 && one.actor.up_ms.is_some_and(|ms| ms <= took_ms);
            (old.is_some() || began()).then(|| (path.clone(), pace(old, one, seconds)))
        });
        self.paces = paces.collect();
        let all = all_messages(before, now) as f64 / seconds;
        self.messages.note(all.round() as u64);
        let (mut decode, mut prefill, mut firsts, mut waited_us) = (0, 0, 0, 0);
        for one in &now.models {
            let old = before
                .models
                .iter()
                .find(|old| old.model.model == one.model.model);
            let since = |of: fn(&ModelVitals) -> u64| grown(old.map(of), of(one));
            decode += since(|one| one.generated_tokens);
            prefill += since(|one| one.prompt_tokens);
            firsts += since(|one| one.first_tokens);
            waited_us += since(|one| one.first_token_us);
        }
        let a_second = |count: u64| (count as f64 / seconds).round() as u64;
        self.decode.note(a_second(decode));
        self.prefill.note(a_second(prefill));
        if let Some(mean_us) = waited_us.checked_div(firsts) {
            self.first_token_ms = Some(mean_us / 1000);
        }
    }

    /// What one actor does; `None` before two answers were compared.
    pub(crate) fn pace(&self, path: &str) -> Option<&Pace> {
        self.paces.get(path)
    }

    /// Something happened.
    pub(crate) fn happened(&mut self, event: Event) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// A connection was made (again): what happened before it takes the place of what was heard.
    pub(crate) fn recall(&mut self, past: Vec<Event>) {
        self.events.clear();
        for event in past {
            self.happened(event);
        }
    }
}

/// Messages that were handled between the two answers, by label: those of actors that are gone count, and one that could not
/// be seen before does not bring all its life at once.
fn all_messages(before: &VitalsAnswer, now: &VitalsAnswer) -> u64 {
    let olds = before
        .labels
        .iter()
        .map(|one| (one.label.as_str(), one.messages));
    let olds: BTreeMap<&str, u64> = olds.collect();
    let all_seen = before
        .actors
        .iter()
        .all(|one| one.actor.children_unknown.is_none());
    let grown = |one: &LabelVitals| match olds.get(one.label.as_str()) {
        Some(old) => grown(Some(*old), one.messages),
        None if all_seen => one.messages,
        None => 0,
    };
    now.labels.iter().map(grown).sum()
}

fn pace(old: Option<&ActorVitals>, now: &ActorVitals, seconds: f64) -> Pace {
    let messages = grown(old.map(|old| old.messages), now.messages);
    let timed = grown(old.map(|old| old.timed), now.timed);
    let took_us = grown(old.map(|old| old.handling_us), now.handling_us);
    Pace {
        messages: messages as f64 / seconds,
        handling_us: (timed > 0).then(|| took_us as f64 / timed as f64),
    }
}

/// By how much a counter grew. One that is smaller than before began anew.
fn grown(before: Option<u64>, now: u64) -> u64 {
    now.checked_sub(before.unwrap_or_default()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use paraphym_candle::control::protocol::look::{Actor, Model};

    use super::*;

    fn answer(pid: u32, uptime_ms: u64, messages: u64, tokens: u64) -> VitalsAnswer {
        let actor = ActorVitals {
            actor: Actor {
                actor: "root/a".to_owned(),
                ..Actor::default()
            },
            messages,
            timed: messages / 2,
            handling_us: messages * 50,
        };
        let model = ModelVitals {
            model: Model {
                model: "m".to_owned(),
                waiting: 3,
                ..Model::default()
            },
            prompt_tokens: 10 * tokens,
            generated_tokens: tokens,
            first_tokens: tokens / 10,
            first_token_us: tokens * 20_000,
        };
        VitalsAnswer {
            pid,
            uptime_ms,
            labels: vec![label("root/a", messages)],
            actors: vec![actor],
            models: vec![model],
            ..VitalsAnswer::default()
        }
    }

    fn label(label: &str, messages: u64) -> LabelVitals {
        LabelVitals {
            label: label.to_owned(),
            messages,
            ..LabelVitals::default()
        }
    }

    fn worker(up_ms: u64, life: u64, messages: u64) -> ActorVitals {
        ActorVitals {
            actor: Actor {
                actor: "root/pool/w".to_owned(),
                up_ms: Some(up_ms),
                life,
                ..Actor::default()
            },
            messages,
            ..ActorVitals::default()
        }
    }

    /// At a second: the label of the pool has that many messages, and these workers are seen.
    fn pool(second: u64, counted: Option<u64>, workers: Vec<ActorVitals>) -> VitalsAnswer {
        let top = ActorVitals {
            actor: Actor {
                actor: "root/pool".to_owned(),
                children_unknown: counted.is_none().then(|| "it is late".to_owned()),
                ..Actor::default()
            },
            ..ActorVitals::default()
        };
        let counted = counted.map(|messages| label("root/pool/*", messages));
        VitalsAnswer {
            pid: 1,
            uptime_ms: second * 1000,
            labels: counted.into_iter().collect(),
            actors: [vec![top], workers].concat(),
            ..VitalsAnswer::default()
        }
    }

    #[test]
    fn no_rate_jumps_or_goes_back_when_actors_are_restarted_and_replaced() {
        let mut board = Board::default();
        let mut hear = |answer| {
            board.hear(answer);
            let pace = board.pace("root/pool/w").map(|pace| pace.messages);
            (board.messages.last(), pace)
        };
        hear(pool(10, Some(5000), vec![worker(9000, 1, 5000)]));
        let table = [
            // Its supervisor is between two lives; what it did to the last is in the label.
            (pool(11, Some(5010), vec![]), (10, None)),
            // Back, and the same as before: all that it ever did is no second's work.
            (pool(12, Some(5030), vec![worker(500, 2, 5030)]), (20, None)),
            (
                pool(13, Some(5060), vec![worker(1500, 2, 5060)]),
                (30, Some(30.0)),
            ),
            // Another one of its name counts from nothing; what it had done stays in the label.
            (
                pool(14, Some(5067), vec![worker(300, 1, 7)]),
                (7, Some(7.0)),
            ),
            // Gone, and a new one that was not there.
            (pool(15, Some(5067), vec![]), (0, None)),
            (
                pool(16, Some(5071), vec![worker(100, 1, 4)]),
                (4, Some(4.0)),
            ),
        ];
        for (answer, expected) in table {
            let second = answer.uptime_ms / 1000;
            assert_eq!(hear(answer), expected, "second {second}");
        }
    }

    #[test]
    fn what_could_not_be_seen_before_does_not_come_at_once() {
        let mut board = Board::default();
        board.hear(pool(10, None, vec![]));
        board.hear(pool(11, Some(9000), vec![worker(8000, 1, 9000)]));
        assert_eq!(
            (board.messages.last(), board.pace("root/pool/w")),
            (0, None)
        );
        board.hear(pool(12, Some(9002), vec![worker(9000, 1, 9002)]));
        let pace = board.pace("root/pool/w").unwrap().messages;
        assert_eq!((board.messages.last(), pace), (2, 2.0));
    }

    #[test]
    fn two_answers_make_rates() {
        let mut board = Board::default();
        board.hear(answer(1, 1000, 100, 50));
        assert_eq!(board.pace("root/a"), None);
        assert_eq!((board.decode.last(), board.queue.last()), (0, 3));
        board.hear(answer(1, 3000, 300, 90));
        let pace = *board.pace("root/a").unwrap();
        assert_eq!(
            pace,
            Pace {
                messages: 100.0,
                handling_us: Some(100.0)
            }
        );
        assert_eq!((board.decode.last(), board.prefill.last()), (20, 200));
        assert_eq!(board.first_token_ms, Some(200));
        // Nothing began: what is known of first tokens stays.
        board.hear(answer(1, 4000, 300, 90));
        assert_eq!((board.decode.last(), board.first_token_ms), (0, Some(200)));
        assert_eq!(board.pace("root/a").unwrap().handling_us, None);
    }

    #[test]
    fn nothing_is_compared_across_processes_and_no_rate_is_negative() {
        let mut board = Board::default();
        board.hear(answer(1, 9000, 900, 900));
        board.hear(answer(2, 9500, 10, 10));
        assert_eq!((board.pace("root/a"), board.decode.last()), (None, 0));
        // The same process, and counters that began anew.
        board.hear(answer(2, 10_500, 4, 5));
        assert!((board.pace("root/a").unwrap().messages - 4.0).abs() < 1e-9);
        assert_eq!(board.decode.last(), 5);
        // No time between two answers.
        board.hear(answer(2, 10_500, 8, 9));
        assert_eq!(board.pace("root/a"), None);
    }

    #[test]
    fn nothing_grows_without_bound() {
        let mut board = Board::default();
        for n in 0..1000 {
            board.hear(answer(1, 1000 + n, n, n));
            board.happened(Event {
                at_ms: i64::try_from(n).unwrap(),
                actor: String::new(),
                life: 0,
                event: String::new(),
                text: String::new(),
                reason: None,
                abandoned: Vec::new(),
            });
        }
        assert_eq!(
            (board.queue.0.len(), board.decode.0.len()),
            (POINTS, POINTS)
        );
        assert_eq!(board.events.len(), EVENTS);
        assert_eq!(board.events.back().unwrap().at_ms, 999);
        assert_eq!(board.queue.latest(3).count(), 3);
    }
}
