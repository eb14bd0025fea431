//! What is shown and what a key does: input in, at most one effect out. Pure; whatever changes the server is asked about
//! first, with what the server says it would do.

use paraphym_candle::control::protocol::act::Acted;
use paraphym_candle::control::protocol::events::Event;
use paraphym_candle::control::protocol::look::InspectAnswer;
use paraphym_candle::control::protocol::vitals::{ActorVitals, VitalsAnswer};

use super::act::{Act, Told, Wish};
use super::board::Board;
use super::keys::Key;
use super::list::{self, Choice, Sort};

/// Rows that Page Up and Page Down go.
const PAGE: isize = 10;
/// The longest filter, in characters: longer than a path is worth typing.
const FILTER: usize = 60;

/// Which list the arrows move in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    #[default]
    Actors,
    Models,
    Requests,
}

/// What lies over the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialog {
    #[default]
    None,
    Help,
    /// Everything about one actor, once it is told.
    Details(String, Option<Box<InspectAnswer>>),
    /// The server is asked what it would do.
    Trying(Act),
    /// What it would do; may it?
    Confirm(Act, String),
    /// It does it.
    Doing(Act),
    /// What came of it.
    Said {
        title: String,
        text: String,
        failed: bool,
    },
}

/// How the server can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    #[default]
    Up,
    /// Not; why, and how often it was tried again.
    Lost { why: String, tries: u32 },
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    Interrupted,
    Ask(Wish),
}

/// Everything that is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    board: Board,
    /// What is shown instead, while it is frozen.
    frozen: Option<Box<Board>>,
    pub(crate) link: Link,
    pub(crate) pane: Pane,
    pub(crate) sort: Sort,
    pub(crate) filter: String,
    /// Whether keys go into the filter.
    pub(crate) is_filtering: bool,
    pub(crate) dialog: Dialog,
    /// How far the text of a dialog was moved up.
    pub(crate) scroll: u16,
    /// What there is to say for a moment: until the next key.
    pub(crate) notice: Option<String>,
    actor: Choice,
    model: Choice,
    request: Choice,
    /// What the server has not answered yet.
    asked: Option<Wish>,
}

impl State {
    /// What is shown.
    pub(crate) fn board(&self) -> &Board {
        self.frozen.as_deref().unwrap_or(&self.board)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// The actors that are listed, and where the chosen one is.
    pub(crate) fn actors(&self) -> (Vec<&ActorVitals>, Option<usize>) {
        let all = list::actors(self.board(), self.sort, &self.filter);
        let names: Vec<&str> = all.iter().map(|one| one.actor.actor.as_str()).collect();
        let at = self.actor.index(&names);
        (all, at)
    }

    /// Where the chosen model is, and the chosen request.
    pub(crate) fn chosen(&self) -> (Option<usize>, Option<usize>) {
        let (models, requests) = (self.names(Pane::Models), self.names(Pane::Requests));
        (self.model.index(&models), self.request.index(&requests))
    }

    fn names(&self, pane: Pane) -> Vec<&str> {
        let board = self.board();
        match pane {
            Pane::Actors => {
                let all = list::actors(board, self.sort, &self.filter);
                all.into_iter()
                    .map(|one| one.actor.actor.as_str())
                    .collect()
            }
            Pane::Models => {
                let all = list::models(board).iter();
                all.map(|one| one.model.model.as_str()).collect()
            }
            Pane::Requests => {
                let all = list::requests(board).iter();
                all.map(|one| one.id.as_str()).collect()
            }
        }
    }

    fn choice(&self, pane: Pane) -> &Choice {
        match pane {
            Pane::Actors => &self.actor,
            Pane::Models => &self.model,
            Pane::Requests => &self.request,
        }
    }

    fn go(&mut self, by: isize) {
        let mut choice = self.choice(self.pane).clone();
        choice.go(&self.names(self.pane), by);
        match self.pane {
            Pane::Actors => self.actor = choice,
            Pane::Models => self.model = choice,
            Pane::Requests => self.request = choice,
        }
    }

    fn named(&self, pane: Pane) -> Option<String> {
        self.choice(pane).of(&self.names(pane))
    }

    /// A connection was made.
    pub(crate) fn joined(&mut self, past: Vec<Event>) {
        self.link = Link::Up;
        self.board.recall(past);
    }

    /// There is none (any more).
    pub(crate) fn lost(&mut self, why: String) {
        let tries = match &self.link {
            Link::Up => 0,
            Link::Lost { tries, .. } => tries.saturating_add(1),
        };
        self.link = Link::Lost { why, tries };
    }

    /// An answer came.
    pub(crate) fn hear(&mut self, answer: VitalsAnswer) {
        self.board.hear(answer);
    }

    /// Something happened.
    pub(crate) fn happened(&mut self, event: Event) {
        self.board.happened(event);
    }

    /// So many events were lost on the way.
    pub(crate) fn lagged(&mut self, lost: u64) {
        self.board.lost = self.board.lost.saturating_add(lost);
    }

    /// The answer to what was asked. If its dialog was closed meanwhile, what was done is still said, in a line.
    pub(crate) fn told(&mut self, answer: Result<Told, String>) {
        let Some(wish) = self.asked.take() else {
            return;
        };
        let is_open = match (&wish, &self.dialog) {
            (Wish::Inspect(actor), Dialog::Details(shown, _)) => actor == shown,
            (Wish::Try(act), Dialog::Trying(shown)) | (Wish::Do(act), Dialog::Doing(shown)) => {
                act == shown
            }
            _ => false,
        };
        let (title, was_done) = match &wish {
            Wish::Inspect(actor) => (actor.clone(), false),
            Wish::Try(act) => (act.title(), false),
            Wish::Do(act) => (act.title(), true),
        };
        let said = |text: String, failed| Dialog::Said {
            title: title.clone(),
            text,
            failed,
        };
        let (dialog, line) = match (wish, answer) {
            (Wish::Inspect(actor), Ok(Told::Inspected(answer))) => {
                (Dialog::Details(actor, Some(answer)), String::new())
            }
            (Wish::Try(act), Ok(Told::Acted(Acted { what, .. }))) => {
                (Dialog::Confirm(act, what), String::new())
            }
            (_, Ok(Told::Acted(Acted { what, .. }))) => (said(what.clone(), false), what),
            (_, Ok(Told::Inspected(_))) => return,
            (_, Err(why)) => (said(why.clone(), true), format!("{title}: {why}")),
        };
        if is_open {
            self.dialog = dialog;
        } else if was_done {
            self.notice = Some(line);
        }
    }

    /// A key was pressed.
    pub(crate) fn press(&mut self, key: Key) -> Option<Effect> {
        self.notice = None;
        match key {
            Key::Control('c') => return Some(Effect::Interrupted),
            _ if self.is_filtering => self.filter_key(key),
            _ if self.dialog != Dialog::None => return self.dialog_key(key),
            _ => return self.list_key(key),
        }
        None
    }

    fn filter_key(&mut self, key: Key) {
        match key {
            Key::Enter => self.is_filtering = false,
            Key::Escape => {
                self.is_filtering = false;
                self.filter.clear();
            }
            Key::Backspace => drop(self.filter.pop()),
            Key::Control('u') => self.filter.clear(),
            Key::Char(c) if self.filter.chars().count() < FILTER => self.filter.push(c),
            Key::Up => self.go(-1),
            Key::Down => self.go(1),
            _ => {}
        }
    }

    fn dialog_key(&mut self, key: Key) -> Option<Effect> {
        match (&self.dialog, key) {
            (_, Key::Down | Key::Char('j')) => self.scroll = self.scroll.saturating_add(1),
            (_, Key::Up | Key::Char('k')) => self.scroll = self.scroll.saturating_sub(1),
            (Dialog::Confirm(act, _), Key::Char('y' | 'Y')) => {
                let act = act.clone();
                if self.ask(Wish::Do(act.clone())) {
                    self.dialog = Dialog::Doing(act.clone());
                    return Some(Effect::Ask(Wish::Do(act)));
                }
            }
            // What is done is not undone by looking away.
            (_, Key::Escape | Key::Char('q' | 'n' | 'N'))
            | (Dialog::Help | Dialog::Said { .. }, _)
            | (Dialog::Details(..), Key::Enter) => self.dialog = Dialog::None,
            _ => {}
        }
        None
    }

    fn list_key(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Char('q') => return Some(Effect::Quit),
            Key::Up | Key::Char('k') => self.go(-1),
            Key::Down | Key::Char('j') => self.go(1),
            Key::PageUp | Key::Control('u' | 'b') => self.go(-PAGE),
            Key::PageDown | Key::Control('d' | 'f') => self.go(PAGE),
            Key::Home | Key::Char('g') => self.go(isize::MIN),
            Key::End | Key::Char('G') => self.go(isize::MAX),
            Key::Tab => self.turn(true),
            Key::BackTab => self.turn(false),
            Key::Char('/') => {
                self.pane = Pane::Actors;
                self.is_filtering = true;
            }
            Key::Escape => self.filter.clear(),
            Key::Char('s') => self.sort = self.sort.next(),
            Key::Char(' ') => {
                self.frozen = match self.frozen {
                    Some(_) => None,
                    None => Some(Box::new(self.board.clone())),
                };
            }
            Key::Char('?' | 'h') => self.open(Dialog::Help),
            Key::Enter => return self.details(),
            Key::Char('r') => return self.attempt(Pane::Actors, Act::Restart),
            Key::Char('p') => return self.attempt_pause(),
            Key::Char('u') => return self.attempt(Pane::Models, Act::Unload),
            Key::Char('c') => return self.attempt(Pane::Requests, Act::Cancel),
            _ => {}
        }
        None
    }

    fn turn(&mut self, forth: bool) {
        self.pane = match (self.pane, forth) {
            (Pane::Actors, true) | (Pane::Requests, false) => Pane::Models,
            (Pane::Models, true) | (Pane::Actors, false) => Pane::Requests,
            (Pane::Requests, true) | (Pane::Models, false) => Pane::Actors,
        };
        // A list without rows is not shown.
        if self.pane == Pane::Requests && list::requests(self.board()).is_empty() {
            self.turn(forth);
        }
    }

    fn open(&mut self, dialog: Dialog) {
        self.dialog = dialog;
        self.scroll = 0;
    }

    /// Whether it may be asked: one thing at a time, and somebody has to hear it.
    fn ask(&mut self, wish: Wish) -> bool {
        self.notice = match (&self.link, &self.asked) {
            (Link::Lost { .. }, _) => Some("there is no connection".to_owned()),
            (_, Some(_)) => Some("the server has not answered the last question yet".to_owned()),
            _ => None,
        };
        let may = self.notice.is_none();
        if may {
            self.asked = Some(wish);
        }
        may
    }

    fn details(&mut self) -> Option<Effect> {
        let actor = self.named(Pane::Actors)?;
        let wish = Wish::Inspect(actor.clone());
        if !self.ask(wish.clone()) {
            return None;
        }
        self.open(Dialog::Details(actor, None));
        Some(Effect::Ask(wish))
    }

    fn attempt(&mut self, pane: Pane, act: impl FnOnce(String) -> Act) -> Option<Effect> {
        let Some(name) = self.named(pane) else {
            let what = match pane {
                Pane::Actors => "no actor is listed",
                Pane::Models => "no model is in memory",
                Pane::Requests => "no request is under way",
            };
            self.notice = Some(what.to_owned());
            return None;
        };
        let act = act(name);
        if !self.ask(Wish::Try(act.clone())) {
            return None;
        }
        self.open(Dialog::Trying(act.clone()));
        Some(Effect::Ask(Wish::Try(act)))
    }

    fn attempt_pause(&mut self) -> Option<Effect> {
        let (all, at) = self.actors();
        let paused = at
            .and_then(|at| all.get(at))
            .is_some_and(|one| one.actor.paused);
        self.attempt(Pane::Actors, if paused { Act::Resume } else { Act::Pause })
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
