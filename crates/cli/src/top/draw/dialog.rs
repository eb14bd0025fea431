//! What lies over the lists: help, everything about one actor, questions and what came of them.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::{Constraint, Flex, Layout, Rect};
use ratatui::widgets::{Block, Clear, Paragraph, Widget, Wrap};

use super::State;
use crate::ctl::inspected;
use crate::history::safe;
use crate::top::state::Dialog;

/// The widest text of a question: a line that is longer is harder to read.
const WIDE: u16 = 76;

/// The longest text that can be read to its end, in lines.
const LONG: u16 = 200;

const HELP: &str = "\
arrows, j k      choose            tab    actors, models, requests
PgUp PgDn, g G   further           enter  everything about the actor
/                filter actors     esc    take the filter away
s                next order: tree, health, rate, mailbox, restarts
space            freeze, go on     q      quit

r  restart the actor        p  pause or resume its queue
u  unload the model         c  cancel the request

What changes something is asked about first, with what the server
says it would do.";

/// Draws the dialog that is open, if there is one.
pub(super) fn draw(state: &State, buffer: &mut Buffer) {
    let area = buffer.area;
    let (title, text, keys) = match &state.dialog {
        Dialog::None => return,
        Dialog::Help => ("help".to_owned(), HELP.to_owned(), "any key closes this"),
        Dialog::Details(actor, None) => (safe(actor), "asking ...".to_owned(), "esc"),
        Dialog::Details(actor, Some(answer)) => {
            let text = inspected(answer).join("\n");
            (safe(actor), text, "j k move the text, esc closes this")
        }
        Dialog::Trying(act) => {
            let text = "asking what that would do ...".to_owned();
            (safe(&act.title()), text, "esc")
        }
        Dialog::Confirm(act, would) => {
            let title = format!("{}?", safe(&act.title()));
            (title, safe(would), "y does it, n does not")
        }
        Dialog::Doing(act) => {
            let text = "under way ...".to_owned();
            (safe(&act.title()), text, "esc looks away")
        }
        Dialog::Said {
            title,
            text,
            failed,
        } => {
            let title = match failed {
                true => format!("REFUSED: {}", safe(title)),
                false => format!("done: {}", safe(title)),
            };
            (title, safe(text), "any key closes this")
        }
    };
    let is_wide = matches!(state.dialog, Dialog::Details(..));
    let width = if is_wide {
        area.width - 4
    } else {
        WIDE.min(area.width - 4)
    };
    let block = Block::bordered()
        .title(format!(" {title} "))
        .title_bottom(format!(" {keys} "));
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
    let lines = height(&paragraph, width - 2) + 2;
    let paragraph = paragraph.block(block);
    let place = middle(area, width, lines.min(area.height - 2));
    let most = lines.saturating_sub(place.height);
    Clear.render(place, buffer);
    paragraph
        .scroll((state.scroll.min(most), 0))
        .render(place, buffer);
}

/// How many lines a text takes in that width, up to some.
fn height(text: &Paragraph<'_>, width: u16) -> u16 {
    let mut scratch = Buffer::empty(Rect::new(0, 0, width, LONG));
    text.render(scratch.area, &mut scratch);
    let blank = |row: &[Cell]| row.iter().all(|cell| cell.symbol() == " ");
    let rows = scratch.content().chunks(usize::from(width).max(1));
    let last = rows.rev().skip_while(|row| blank(row)).count();
    u16::try_from(last).unwrap_or(LONG)
}

fn middle(area: Rect, width: u16, height: u16) -> Rect {
    let [row] = Layout::vertical([Constraint::Length(height)])
        .flex(Flex::Center)
        .areas(area);
    let [place] = Layout::horizontal([Constraint::Length(width)])
        .flex(Flex::Center)
        .areas(row);
    place
}
