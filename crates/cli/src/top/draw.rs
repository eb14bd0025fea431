//! The picture: what is known, drawn into a buffer of any size. Pure, so that a test sees what a person sees.
//!
//! Nothing is said by colour alone: what is chosen has a mark, what is unwell a word.

mod dialog;
mod lists;
mod plain;

use domain::Bytes;
use paraphym_candle::control::protocol::look::Memory;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Sparkline, Widget, Wrap};

pub(crate) use plain::text;

use super::board::{Board, Course};
use super::list;
use super::state::{Link, State};
use crate::ctl::human::time;
use crate::history::safe;

/// The smallest screen that holds all parts. Below it there is one sentence.
pub(crate) const SMALLEST: (u16, u16) = (60, 16);
/// Lines above the lists, and the one below them.
const FRAME: u16 = 5;
/// From this height on the lists besides the actors have room for more.
const TALL: u16 = 34;

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) colours: bool,
    /// Whether it shows more than ASCII.
    pub(crate) unicode: bool,
}

impl Look {
    fn in_colour(self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }
}

/// Draws everything.
pub(crate) fn draw(state: &State, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buffer);
    } else {
        screen(state, look, buffer);
        dialog::draw(state, buffer);
    }
    if !look.unicode {
        plain::to_ascii(buffer);
    }
}

/// How high a screen has to be to show every row of every list.
pub(crate) fn whole_height(state: &State) -> u16 {
    let (actors, _) = state.actors();
    let board = state.board();
    let lists = [actors.len(), list::models(board).len(), board.events.len()];
    let rows: usize = lists.iter().map(|rows| 1 + rows.max(&1)).sum();
    let rows = match list::requests(board).len() {
        0 => rows,
        requests => rows + 1 + requests,
    };
    let rows = rows + usize::from(lists::choice(state).is_some());
    u16::try_from(rows)
        .unwrap_or(u16::MAX)
        .saturating_add(FRAME)
}

fn too_small(area: Rect, buffer: &mut Buffer) {
    let (width, height) = SMALLEST;
    let text = format!(
        "{}x{} is too small for paraphym top: make it {width}x{height} or more, or leave with q \
         and use paraphym top --once",
        area.width, area.height
    );
    Paragraph::new(text)
        .wrap(Wrap { trim: true })
        .render(area, buffer);
}

fn screen(state: &State, look: Look, buffer: &mut Buffer) {
    let area = buffer.area;
    let board = state.board();
    let rows = |count: usize, most: u16| u16::try_from(count).unwrap_or(most).clamp(1, most);
    let is_whole = area.height >= whole_height(state);
    let (few, some) = match area.height {
        _ if is_whole => (u16::MAX, u16::MAX),
        TALL.. => (6, 8),
        _ => (3, 3),
    };
    let models = 1 + rows(list::models(board).len(), few.min(area.height));
    let requests = match list::requests(board).len() {
        0 => 0,
        count => 1 + rows(count, few.min(area.height)),
    };
    let events = 1 + rows(board.events.len(), some.min(area.height));
    let [
        head,
        memory,
        tokens,
        queue,
        actors,
        models,
        requests,
        events,
        foot,
    ] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(4),
        Constraint::Length(models),
        Constraint::Length(requests),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(state, look, head, buffer);
    draw_memory(board, look, memory, buffer);
    draw_tokens(board, tokens, buffer);
    draw_queue(board, look, queue, buffer);
    lists::actors(state, look, actors, buffer);
    lists::models(state, look, models, buffer);
    if requests.height > 0 {
        lists::requests(state, requests, buffer);
    }
    lists::events(state, look, events, buffer);
    draw_foot(state, foot, buffer);
}

fn draw_head(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let board = state.board();
    if let Link::Lost { why, tries } = &state.link {
        let text = format!(" NO CONNECTION, tried again {tries} times: {}", safe(why));
        let style = look.in_colour(Color::Red).add_modifier(Modifier::REVERSED);
        buffer.set_style(area, style);
        Line::styled(text, style).render(area, buffer);
        return;
    }
    let Some(answer) = &board.now else {
        Line::raw(" the server has not answered yet").render(area, buffer);
        return;
    };
    let unwell = answer
        .actors
        .iter()
        .filter(|one| !list::is_well(one))
        .count();
    let how = match unwell {
        0 => Span::raw("all well"),
        some => Span::styled(format!("{some} UNWELL"), look.in_colour(Color::Red)),
    };
    let left = Line::from(vec![
        Span::styled(
            format!(" paraphym {}", safe(&answer.version)),
            Modifier::BOLD,
        ),
        Span::raw(format!(
            "  process {}  up {}  {} actors, ",
            answer.pid,
            time(answer.uptime_ms),
            answer.actors.len()
        )),
        how,
        Span::raw(format!("  {} messages/s", board.messages.last())),
    ]);
    left.render(area, buffer);
    if state.is_frozen() {
        let style = look.in_colour(Color::Cyan).add_modifier(Modifier::REVERSED);
        Line::styled(" FROZEN ", style)
            .right_aligned()
            .render(area, buffer);
    }
}

fn draw_memory(board: &Board, look: Look, area: Rect, buffer: &mut Buffer) {
    let answer = board.now.as_ref();
    let Some(memory) = answer.and_then(|answer| answer.memory.as_ref()) else {
        let silent = answer.map(|answer| answer.silent.join("; "));
        let text = format!(" memory  unknown  {}", safe(&silent.unwrap_or_default()));
        Line::raw(text).render(area, buffer);
        return;
    };
    let Memory {
        limit_bytes,
        leased_bytes,
        pressure,
        pressure_source,
        waiting,
        ..
    } = memory;
    let text = format!(
        "{} of {} leased, pressure {} ({})",
        Bytes(*leased_bytes),
        Bytes(*limit_bytes),
        safe(pressure),
        safe(pressure_source)
    );
    let text = match waiting {
        0 => text,
        some => format!("{text}, {some} waiting"),
    };
    let width = u16::try_from(text.len()).unwrap_or(area.width);
    let [name, bar, rest] = Layout::horizontal([
        Constraint::Length(9),
        Constraint::Max(40),
        Constraint::Length(width.saturating_add(1)),
    ])
    .areas(area);
    Line::raw(" memory").render(name, buffer);
    let colour = match pressure.as_str() {
        "low" | "none" | "normal" => Color::Green,
        "critical" => Color::Red,
        _ => Color::Yellow,
    };
    let share = *leased_bytes as f64 / (*limit_bytes).max(1) as f64;
    LineGauge::default()
        .ratio(share.clamp(0.0, 1.0))
        .label("")
        .filled_symbol("█")
        .unfilled_symbol("░")
        .filled_style(look.in_colour(colour))
        .unfilled_style(Style::new())
        .render(bar, buffer);
    Line::raw(format!(" {text}")).render(rest, buffer);
}

/// A name, a number, and how it went, where there is room.
fn course(area: Rect, name: &str, number: &str, of: &Course, buffer: &mut Buffer) {
    let [left, right] =
        Layout::horizontal([Constraint::Length(26), Constraint::Fill(1)]).areas(area);
    Line::raw(format!(" {name:<8}{number}")).render(left, buffer);
    let points: Vec<u64> = of
        .latest(usize::from(right.width.saturating_sub(1)))
        .collect();
    Sparkline::default().data(points).render(right, buffer);
}

fn halves(area: Rect) -> [Rect; 2] {
    Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
}

fn draw_tokens(board: &Board, area: Rect, buffer: &mut Buffer) {
    let [left, right] = halves(area);
    let decode = format!("{} tokens/s", board.decode.last());
    course(left, "decode", &decode, &board.decode, buffer);
    let prefill = format!("{} tokens/s", board.prefill.last());
    course(right, "prefill", &prefill, &board.prefill, buffer);
}

fn draw_queue(board: &Board, look: Look, area: Rect, buffer: &mut Buffer) {
    let [left, right] = halves(area);
    let first = board.first_token_ms.map_or("-".to_owned(), time);
    let queue = format!("{}, first token {first}", board.queue.last());
    Line::raw(format!(" queue   {queue}")).render(left, buffer);
    let answer = board.now.as_ref();
    let threads = answer.map(|answer| &answer.threads);
    let shown = ["main", "worker", "blocking", "host", "foreign"]
        .into_iter()
        .filter_map(|role| {
            let count = *threads?.get(role)?;
            let style = match role {
                "foreign" => look.in_colour(Color::Red),
                _ => Style::new(),
            };
            (count > 0).then(|| Span::styled(format!(" {role} {count}"), style))
        });
    let mut spans = vec![Span::raw(" threads")];
    spans.extend(shown);
    Line::from(spans).render(right, buffer);
}

fn draw_foot(state: &State, area: Rect, buffer: &mut Buffer) {
    let text = if state.is_filtering {
        format!(
            " filter: {}_  (enter keeps it, esc drops it)",
            safe(&state.filter)
        )
    } else if let Some(notice) = &state.notice {
        format!(" {}", safe(notice))
    } else {
        " q quit  ? help  / filter  s sort  space freeze  enter details  r p u c act".to_owned()
    };
    buffer.set_style(area, Modifier::REVERSED);
    Line::raw(text).render(area, buffer);
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
