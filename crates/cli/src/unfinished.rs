//! An answer that a signal found unfinished may go on while the tree drains; what it says is still said.

use futures_util::FutureExt;
use paraphym_candle::{TurnEvent, TurnStream};

use crate::failure::Failure;
use crate::out::Out;
use crate::render::{self, Answer};

/// An answer that SIGTERM or SIGHUP found unfinished.
pub(crate) struct Unfinished {
    stream: TurnStream,
    answer: Answer,
    /// One object a line, for programs.
    json: bool,
    /// Which signal it was.
    pub(crate) why: Failure,
    over: bool,
    finished: bool,
}

impl Unfinished {
    pub(crate) const fn new(stream: TurnStream, answer: Answer, json: bool, why: Failure) -> Self {
        Self {
            stream,
            answer,
            json,
            why,
            over: false,
            finished: false,
        }
    }

    /// Says the next piece; never returns once the answer is over.
    pub(crate) async fn go_on(&mut self, out: &mut Out) {
        if self.over {
            std::future::pending::<()>().await;
        }
        match self.stream.next().await {
            Some(event) => self.say(event, out).await,
            None => self.over = true,
        }
    }

    /// Says what came before the tree stopped, and ends the last line. Whether it was for programs, and whether the
    /// answer came to its end.
    pub(crate) async fn end(mut self, out: &mut Out) -> (bool, bool) {
        while !self.over
            && let Some(Some(event)) = self.stream.next().now_or_never()
        {
            self.say(event, out).await;
        }
        if !self.json {
            let _ = out.text(self.answer.end()).await;
        }
        (self.json, self.finished)
    }

    /// Nobody may be reading any more: the drain goes on all the same. That the answer failed is not said here, because
    /// the signal is why, and the command says so when it ends.
    async fn say(&mut self, event: TurnEvent, out: &mut Out) {
        self.over = event.is_terminal();
        self.finished = matches!(event, TurnEvent::Finished { .. });
        let _ = match &event {
            TurnEvent::Failed(_) => Ok(()),
            event if self.json => out.json(&render::event(event)).await,
            TurnEvent::Text(text) => out.text(&self.answer.text(text)).await,
            _ => Ok(()),
        };
    }
}
