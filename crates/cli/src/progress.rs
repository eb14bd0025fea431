//! How far a pull or a load is: a bar where a person watches, a few plain lines where not.
//!
//! The bars are drawn when something happens and never by a ticker: indicatif's ticker is a thread.

use std::time::Duration;

use domain::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model_store::PullEvent;

use crate::out::note;

const BYTES: &str = "{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const OPEN: &str = "{msg} {bytes} {bytes_per_sec}";
const SHARE: &str = "{msg} [{wide_bar}] {percent} %";

/// Redraws a second: smooth for the eye, nothing for the processor.
const HERTZ: u8 = 15;

/// How far something is, for whoever watches standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Whether a person watches.
    terminal: bool,
    bar: Option<ProgressBar>,
    said_loading: bool,
}

impl Progress {
    pub(crate) const fn new(terminal: bool) -> Self {
        Self {
            terminal,
            bar: None,
            said_loading: false,
        }
    }

    /// A pull went on.
    pub(crate) fn pull(&mut self, event: &PullEvent) {
        match event {
            PullEvent::Trying { source } => self.line(&format!("pulling from {source}")),
            PullEvent::Downloading { done, total } => self.bytes("downloading", *done, *total),
            PullEvent::Unpacking { done, total } => self.bytes("unpacking", *done, Some(*total)),
            PullEvent::Checking => self.clear(),
            PullEvent::SourceFailed { source, error } => self.line(&format!("{source}: {error}")),
            PullEvent::AlreadyHere => self.line("it is here already"),
            PullEvent::Installed { path } => self.line(&format!("pulled to {}", path.display())),
        }
    }

    /// A model is being loaded; `fraction` 0 to 1.
    pub(crate) fn loading(&mut self, fraction: f32) {
        if !self.terminal && !self.said_loading {
            self.said_loading = true;
            note("loading the model");
        }
        self.share("loading the model", f64::from(fraction));
    }

    /// The prompt is being read. Nobody without a terminal needs to know.
    pub(crate) fn prefill(&mut self, done: u32, total: u32) {
        self.share(
            "reading the prompt",
            f64::from(done) / f64::from(total.max(1)),
        );
    }

    /// Documents are being made findable.
    pub(crate) fn documents(&mut self, what: &str, done: usize, total: usize) {
        self.share(what, done as f64 / total.max(1) as f64);
    }

    /// A place in the queue.
    pub(crate) fn queued(&mut self, position: usize) {
        if self.terminal && position > 1 {
            self.share(&format!("waiting, place {position}"), 0.0);
        }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, line: &str) {
        self.clear();
        note(line);
    }

    fn bytes(&mut self, what: &str, done: Bytes, total: Option<Bytes>) {
        let template = if total.is_some() { BYTES } else { OPEN };
        let length = total.map_or(0, |t| t.0);
        self.draw(what, template, length, done.0);
    }

    fn share(&mut self, what: &str, share: f64) {
        self.draw(what, SHARE, 1000, (share.clamp(0.0, 1.0) * 1000.0) as u64);
    }

    fn draw(&mut self, what: &str, template: &str, length: u64, position: u64) {
        if !self.terminal {
            return;
        }
        if self.bar.as_ref().is_none_or(|bar| bar.message() != what) {
            self.clear();
            let bar = ProgressBar::with_draw_target(
                Some(length),
                ProgressDrawTarget::stderr_with_hz(HERTZ),
            );
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_message(what.to_owned());
            self.bar = Some(bar);
        }
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// How long a command may be silent before it says what it waits for.
pub(crate) const SILENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_understood() {
        for template in [BYTES, OPEN, SHARE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn without_a_terminal_no_bar_is_drawn() {
        let mut progress = Progress::new(false);
        progress.prefill(1, 2);
        progress.bytes("x", Bytes(1), Some(Bytes(2)));
        assert!(progress.bar.is_none());
    }
}
