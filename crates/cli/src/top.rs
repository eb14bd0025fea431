//! `paraphym top`: a running server as it moves, on a whole screen. Everything is on the one runtime: keys, pictures and
//! answers are waited for together.
//!
//! ```text
//!  terminal ── bytes ─> keys ─┐                           ┌─> draw ── what is different ─> terminal
//!  server ── answers, events ─┴─> state (pure, no clock) ─┴─> questions ─> server
//! ```

mod act;
mod board;
mod draw;
mod keys;
mod link;
mod list;
#[cfg(test)]
mod samples;
mod screen;
mod state;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use paraphym_candle::control::{ClientError, place};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use tokio::time::{Instant, sleep_until};

use self::act::Told;
use self::draw::Look;
use self::keys::{Key, Keys};
use self::link::{Feed, Heard};
use self::screen::Screen;
use self::state::{Effect, State};
use crate::args::Top;
use crate::ctl::failure;
use crate::failure::Failure;
use crate::stage::Stage;

/// After Escape the rest of a key comes within this, over any line that a person can bear.
const REST_OF_KEY: Duration = Duration::from_millis(50);
/// Events may come by the thousand: between two pictures of them lies this.
const PICTURES: Duration = Duration::from_millis(100);
/// How wide one picture for a pipe is.
const PIPE_WIDTH: u16 = 100;

type Step = Pin<Box<dyn Future<Output = (Feed, Heard)>>>;
type Answer = Pin<Box<dyn Future<Output = Result<Told, String>>>>;

/// Shows a server until somebody has seen enough.
pub(crate) async fn run(stage: &mut Stage, args: &Top) -> Result<(), Failure> {
    let socket = args.socket.clone().unwrap_or_else(place::usual_here);
    let look = Look {
        colours: stage.out.has_colours(),
        unicode: speaks_unicode(|name| std::env::var(name).ok()),
    };
    if args.once {
        return once(stage, args, &socket, look).await;
    }
    let kind = std::env::var("TERM").unwrap_or_default();
    if !stage.out.terminal || kind.is_empty() || kind == "dumb" {
        let what = if stage.out.terminal {
            format!("a terminal of the kind {kind:?} cannot be drawn on")
        } else {
            "standard output is no terminal".to_owned()
        };
        let hint = "`paraphym top --once` prints one picture as plain text";
        return Err(Failure::usage(what, hint));
    }
    // Whoever is not there is told before the screen is taken.
    let (feed, first) = stage
        .unless_signalled(Feed::new(&socket, args.every).next())
        .await?;
    let mut view = State::default();
    if let Some(error) = take(&mut view, first) {
        return Err(failure(error));
    }
    let screen = Screen::enter().map_err(|error| {
        let what = format!("the terminal cannot be used: {error}");
        Failure::failed(
            what,
            "`paraphym top --once` prints one picture as plain text",
        )
    })?;
    let mut seen = Seen {
        state: view,
        look,
        screen,
        socket,
        keys: Keys::default(),
        settle: None,
        draw: Some(Instant::now()),
        answer: None,
    };
    seen.until_enough(stage, Box::pin(feed.next())).await
}

/// Whether the words of the locale let more than ASCII be shown.
fn speaks_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set);
    let locale = locale.unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What was heard changes what is shown; an error, if it is one.
fn take(state: &mut State, heard: Heard) -> Option<ClientError> {
    match heard {
        Heard::Joined(past) => state.joined(past),
        Heard::Vitals(answer) => state.hear(*answer),
        Heard::Event(event) => state.happened(event),
        Heard::Lagged(lost) => state.lagged(lost),
        Heard::Lost(error) => return Some(error),
    }
    None
}

/// One picture: two answers, so that there are rates. As JSON one answer is enough: whoever asks again makes the rates.
async fn once(stage: &mut Stage, args: &Top, socket: &Path, look: Look) -> Result<(), Failure> {
    let mut feed = Feed::new(socket, args.every);
    let mut view = State::default();
    let mut answers = 0;
    while answers < 2 {
        let (next, heard) = stage.unless_signalled(feed.next()).await?;
        feed = next;
        if let Heard::Vitals(answer) = &heard {
            answers += 1;
            if args.json {
                let json = serde_json::to_value(answer);
                let json = json.map_err(|error| Failure::failed(error, ""))?;
                return stage.out.json(&json).await;
            }
        }
        if let Some(error) = take(&mut view, heard) {
            return Err(failure(error));
        }
    }
    let height = draw::whole_height(&view).max(draw::SMALLEST.1);
    let mut picture = Buffer::empty(Rect::new(0, 0, PIPE_WIDTH, height));
    draw::draw(&view, look, &mut picture);
    stage.out.text(&draw::text(&picture)).await
}

/// A server, seen on a screen.
struct Seen {
    state: State,
    look: Look,
    screen: Screen,
    socket: PathBuf,
    keys: Keys,
    /// When a key that has begun is taken for what it is.
    settle: Option<Instant>,
    /// When the next picture is due.
    draw: Option<Instant>,
    /// What a person asked.
    answer: Option<Answer>,
}

impl Seen {
    async fn until_enough(&mut self, stage: &mut Stage, mut step: Step) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                signal = stage.signals.next() => return Err(stage.meaning_of(signal)),
                bytes = self.screen.next() => {
                    let keys = self.keys.take(&bytes.map_err(|error| gone(&error))?);
                    self.settle = self.keys.is_waiting().then(|| Instant::now() + REST_OF_KEY);
                    if let Some(end) = self.press(keys) {
                        return end;
                    }
                }
                () = at(self.settle) => {
                    self.settle = None;
                    let key = self.keys.settle();
                    if let Some(end) = self.press(key) {
                        return end;
                    }
                }
                told = answered(&mut self.answer) => {
                    self.answer = None;
                    self.state.told(told);
                    self.draw = Some(Instant::now());
                }
                (feed, heard) = &mut step => {
                    step = Box::pin(feed.next());
                    self.hear(heard);
                }
                () = at(self.draw) => {
                    self.draw = None;
                    let mut picture = Buffer::empty(self.screen.size());
                    draw::draw(&self.state, self.look, &mut picture);
                    // A terminal that takes nothing must not keep a signal from being heard.
                    stage.unless_signalled(self.screen.show(picture)).await?.map_err(|error| gone(&error))?;
                }
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let wait = match heard {
            Heard::Event(_) | Heard::Lagged(_) => PICTURES,
            _ => Duration::ZERO,
        };
        if let Some(error) = take(&mut self.state, heard) {
            self.state.lost(error.to_string());
        }
        let at = Instant::now() + wait;
        self.draw = Some(self.draw.map_or(at, |other| other.min(at)));
    }

    /// Does what the keys mean; the end, if one of them is.
    fn press(&mut self, keys: impl IntoIterator<Item = Key>) -> Option<Result<(), Failure>> {
        self.draw = Some(Instant::now());
        for key in keys {
            panic_on_purpose(key);
            match self.state.press(key) {
                None => {}
                Some(Effect::Quit) => return Some(Ok(())),
                Some(Effect::Interrupted) => return Some(Err(Failure::Interrupted)),
                Some(Effect::Ask(wish)) => {
                    let socket = self.socket.clone();
                    self.answer = Some(Box::pin(async move { link::ask(&socket, wish).await }));
                }
            }
        }
        None
    }
}

/// In a debug build Ctrl-X is a bug of ours: so that a test sees what becomes of the terminal.
fn panic_on_purpose(key: Key) {
    let asked = cfg!(debug_assertions) && key == Key::Control('x');
    assert!(!asked, "on purpose");
}

/// The signal may come a moment after this.
fn gone(error: &io::Error) -> Failure {
    let is_gone = error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    if is_gone {
        return Failure::HungUp;
    }
    Failure::failed(format_args!("the terminal cannot be used: {error}"), "")
}

/// At that moment; never, where there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn answered(answer: &mut Option<Answer>) -> Result<Told, String> {
    match answer {
        Some(answer) => answer.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_of_the_locale_counts() {
        for (all, language, unicode) in [
            (None, Some("C.UTF-8"), true),
            (None, Some("en_GB.utf8"), true),
            (None, Some("C"), false),
            (Some("C"), Some("C.UTF-8"), false),
            (Some(""), Some("C.UTF-8"), true),
            (None, None, false),
        ] {
            let variable = |name: &str| match name {
                "LC_ALL" => all.map(str::to_owned),
                "LANG" => language.map(str::to_owned),
                _ => None,
            };
            assert_eq!(speaks_unicode(variable), unicode, "{all:?} {language:?}");
        }
    }
}
