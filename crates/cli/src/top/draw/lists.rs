//! The lists: actors, models, requests, events. What is chosen has a mark in the first column; where the arrows move, its
//! whole row is turned round.

use domain::Bytes;
use paraphym_candle::control::protocol::vitals::ActorVitals;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Row, StatefulWidget, Table, TableState, Widget};

use super::{Look, State};
use crate::ctl::human::{perhaps, time};
use crate::history::export::moment;
use crate::history::safe;
use crate::top::list::{self, Sort};
use crate::top::state::Pane;

/// From this width on there is room for more columns.
const WIDE: u16 = 100;

/// A column: its head, its width, and where its text stands.
type Column = (&'static str, Constraint, Alignment);

const fn left(head: &'static str, width: u16) -> Column {
    (head, Constraint::Length(width), Alignment::Left)
}

const fn right(head: &'static str, width: u16) -> Column {
    (head, Constraint::Length(width), Alignment::Right)
}

const fn rest(head: &'static str) -> Column {
    (head, Constraint::Fill(1), Alignment::Left)
}

/// One list on its place.
struct List<'a> {
    columns: Vec<Column>,
    rows: Vec<(Vec<String>, Style)>,
    chosen: Option<usize>,
    /// Whether the arrows move here.
    focused: bool,
    /// What stands in the place of no rows.
    nothing: &'a str,
}

impl List<'_> {
    fn draw(self, area: Rect, buffer: &mut Buffer) {
        let aligned = |text: String, column: Option<&Column>| {
            let to = column.map_or(Alignment::Left, |(.., to)| *to);
            Text::from(Line::raw(text).alignment(to))
        };
        let head = self.columns.iter();
        let head = head.map(|column| aligned(column.0.to_owned(), Some(column)));
        let style = if self.focused {
            Modifier::BOLD | Modifier::REVERSED
        } else {
            Modifier::BOLD | Modifier::UNDERLINED
        };
        let head = Row::new(head).style(style);
        if self.rows.is_empty() {
            let below = Rect {
                y: area.y + 1,
                height: 1,
                ..area
            }
            .intersection(area);
            Line::raw(format!("  {}", self.nothing)).render(below, buffer);
        }
        let height = usize::from(area.height.saturating_sub(1));
        let at = self.chosen.unwrap_or_default();
        // What is chosen stays in the middle, where there is more than fits.
        let most = self.rows.len().saturating_sub(height);
        let offset = at.saturating_sub(height / 2).min(most);
        let columns = &self.columns;
        let rows = self.rows.into_iter().map(|(cells, style)| {
            let cells = cells.into_iter().zip(columns);
            Row::new(cells.map(|(text, column)| aligned(text, Some(column)))).style(style)
        });
        let widths = columns.iter().map(|(_, width, _)| *width);
        let chosen = if self.focused {
            Modifier::REVERSED
        } else {
            Modifier::empty()
        };
        let table = Table::new(rows, widths)
            .header(head)
            .column_spacing(1)
            .highlight_symbol(">")
            .highlight_spacing(ratatui::widgets::HighlightSpacing::Always)
            .row_highlight_style(chosen);
        let mut seen = TableState::new()
            .with_offset(offset)
            .with_selected(self.chosen);
        StatefulWidget::render(table, area, buffer, &mut seen);
    }
}

fn actor_columns(name: u16, is_wide: bool) -> Vec<Column> {
    let takes = is_wide.then(|| right("TAKES", 7));
    let first = [
        left("ACTOR", name),
        left("STATE", 11),
        right("MAILBOX", 8),
        right("MSG/S", 7),
    ];
    let last = [right("RESTARTS", 8), rest("DOES")];
    first.into_iter().chain(takes).chain(last).collect()
}

pub(super) fn actors(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let choice = choice(state);
    let above = Constraint::Length(u16::from(choice.is_some()));
    let [above, area] = Layout::vertical([above, Constraint::Fill(1)]).areas(area);
    if let Some(choice) = choice {
        Line::raw(format!(" {choice}")).render(above, buffer);
    }
    let (all, chosen) = state.actors();
    let is_wide = area.width >= WIDE;
    let as_tree = state.sort == Sort::Tree;
    let names = all.iter().map(|one| name(one, as_tree));
    let names: Vec<String> = names.collect();
    let longest = names
        .iter()
        .map(|name| Span::raw(name).width())
        .max()
        .unwrap_or_default();
    let most = if is_wide { area.width / 3 } else { 26 };
    let width = u16::try_from(longest).unwrap_or(most).clamp(12, most);
    let columns = actor_columns(width, is_wide);
    let rows = all.iter().zip(names).map(|(one, name)| {
        let pace = state.board().pace(&one.actor.actor);
        let mailbox = match one.actor.capacity {
            0 => String::new(),
            capacity => format!("{}/{capacity}", one.actor.queued),
        };
        let mut cells = vec![
            cut(&name, usize::from(width)),
            condition(one),
            mailbox,
            pace.map(|pace| count(pace.messages)).unwrap_or_default(),
        ];
        if is_wide {
            let takes = pace.and_then(|pace| pace.handling_us);
            cells.push(takes.map(brief).unwrap_or_default());
        }
        let restarts = one.actor.restarts;
        cells.push(if restarts == 0 {
            String::new()
        } else {
            restarts.to_string()
        });
        cells.push(does(one));
        (cells, style(one, look))
    });
    let nothing = match (state.board().now.is_some(), state.filter.as_str()) {
        (false, _) => "nothing is known yet",
        (true, "") => "there are no actors",
        (true, _) => "no actor has that in its path; esc takes the filter away",
    };
    List {
        rows: rows.collect(),
        columns: columns.clone(),
        chosen,
        focused: state.pane == Pane::Actors,
        nothing,
    }
    .draw(area, buffer);
    // Which of them, where not all are seen.
    let hidden = all.len() > usize::from(area.height.saturating_sub(1));
    if let Some(at) = chosen.filter(|_| hidden) {
        place(at, all.len(), &columns, area, buffer);
    }
}

/// How the actors are sorted and filtered, where that was chosen.
pub(super) fn choice(state: &State) -> Option<String> {
    let sort = (state.sort != Sort::Tree).then(|| format!("by {}", state.sort.word()));
    let filter = safe(&state.filter);
    let filter = (!filter.is_empty()).then(|| format!("only paths with /{filter}"));
    let said: Vec<String> = sort.into_iter().chain(filter).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// Where in the list one is: in the last column's head, behind its word, where both fit.
fn place(at: usize, all: usize, columns: &[Column], area: Rect, buffer: &mut Buffer) {
    let taken = columns.iter().map(|(_, width, _)| match width {
        Constraint::Length(width) => usize::from(*width) + 1,
        _ => 0,
    });
    let word = columns.last().map_or(0, |column| column.0.len());
    let text = format!("{}/{all}", at + 1);
    // The mark of what is chosen is before the first column.
    let needed = 1 + taken.sum::<usize>() + word + 1 + text.len();
    if needed <= usize::from(area.width) {
        let head = Rect { height: 1, ..area };
        Line::raw(text).right_aligned().render(head, buffer);
    }
}

fn name(one: &ActorVitals, as_tree: bool) -> String {
    let path = &one.actor.actor;
    if !as_tree {
        return safe(path);
    }
    let id = path.rsplit('/').next().unwrap_or(path);
    format!("{:1$}{2}", "", 2 * one.actor.depth, safe(id))
}

/// A state in a word. The queue of one that is paused waits, whatever else.
fn condition(one: &ActorVitals) -> String {
    if one.actor.paused {
        "paused".to_owned()
    } else {
        safe(&one.actor.health)
    }
}

/// What it is busy or stuck with, or why it is not there.
fn does(one: &ActorVitals) -> String {
    let actor = &one.actor;
    if let Some(message) = &actor.handling {
        return format!("{} {}", safe(message), perhaps(actor.handling_ms));
    }
    if !list::is_well(one) {
        let why = [&actor.down, &actor.children_unknown, &actor.last_error];
        if let Some(why) = why.into_iter().flatten().next() {
            return safe(why);
        }
    }
    safe(&actor.work.join(" "))
}

fn style(one: &ActorVitals, look: Look) -> Style {
    match one.actor.health.as_str() {
        _ if list::is_well(one) => Style::new(),
        "stuck" | "down" => look.in_colour(Color::Red).add_modifier(Modifier::BOLD),
        _ => look.in_colour(Color::Yellow),
    }
}

/// A number in five places.
fn count(number: f64) -> String {
    match number {
        n if n < 0.05 => "0".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n if n < 10_000.0 => format!("{n:.0}"),
        n if n < 10_000_000.0 => format!("{:.0}k", n / 1e3),
        n => format!("{:.0}M", n / 1e6),
    }
}

/// A time in microseconds, in a few places.
fn brief(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => time((us / 1e3) as u64),
    }
}

/// No wider than that; what is left out is left out in the middle, because names differ at their ends.
fn cut(text: &str, width: usize) -> String {
    if Span::raw(text).width() <= width {
        return text.to_owned();
    }
    let wide = |some: &[char]| Span::raw(some.iter().collect::<String>()).width();
    let all: Vec<char> = text.chars().collect();
    let room = width.saturating_sub(1);
    let mut head = all.as_slice();
    while wide(head) > room.div_ceil(2) {
        head = head.split_last().map_or(&[], |(_, rest)| rest);
    }
    let mut tail = all.as_slice();
    while wide(tail) > room / 2 {
        tail = tail.split_first().map_or(&[], |(_, rest)| rest);
    }
    head.iter().chain(&['…']).chain(tail).collect()
}

pub(super) fn models(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let (chosen, _) = state.chosen();
    let name = if area.width >= WIDE {
        area.width / 3
    } else {
        23
    };
    let columns = vec![
        left("MODEL", name),
        left("STATE", 9),
        right("WEIGHTS", 9),
        right("KV+KEPT", 9),
        right("LEASES", 6),
        right("ANSW", 4),
        right("WAIT", 4),
        rest("LEAVES"),
    ];
    let rows = list::models(state.board()).iter().map(|one| {
        let model = &one.model;
        let leaves = match (model.pinned, model.expires_in_ms) {
            (true, _) => "pinned".to_owned(),
            (_, Some(ms)) => format!("in {}", time(ms)),
            _ => String::new(),
        };
        let cells = vec![
            cut(&safe(&model.model), usize::from(name)),
            safe(&model.state),
            Bytes(model.weights_bytes).to_string(),
            Bytes(model.kv_bytes.saturating_add(model.kept_bytes)).to_string(),
            model.leases.to_string(),
            model.answering.to_string(),
            model.waiting.to_string(),
            leaves,
        ];
        let style = match model.state.as_str() {
            "ready" | "unloaded" | "loading" => Style::new(),
            _ => look.in_colour(Color::Red),
        };
        (cells, style)
    });
    List {
        rows: rows.collect(),
        columns,
        chosen,
        focused: state.pane == Pane::Models,
        nothing: "no model is in memory",
    }
    .draw(area, buffer);
}

pub(super) fn requests(state: &State, area: Rect, buffer: &mut Buffer) {
    let (_, chosen) = state.chosen();
    let id = if area.width >= WIDE {
        area.width / 3
    } else {
        30
    };
    let columns = vec![
        left("REQUEST", id),
        left("STATE", 9),
        right("FOR", 7),
        right("TOKENS", 7),
        rest("MODEL"),
    ];
    let rows = list::requests(state.board()).iter().map(|one| {
        let cells = vec![
            cut(&safe(&one.id), usize::from(id)),
            if one.answering {
                "answering"
            } else {
                "waiting"
            }
            .to_owned(),
            time(one.for_ms),
            one.generated_tokens.to_string(),
            safe(&one.model),
        ];
        (cells, Style::new())
    });
    List {
        rows: rows.collect(),
        columns,
        chosen,
        focused: state.pane == Pane::Requests,
        nothing: "no request is under way",
    }
    .draw(area, buffer);
}

pub(super) fn events(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let board = state.board();
    let height = usize::from(area.height.saturating_sub(1));
    let skip = board.events.len().saturating_sub(height);
    let rows = board.events.iter().skip(skip).map(|one| {
        let style = match one.event.as_str() {
            "crashed" | "killed" | "escalated" | "stuck" | "start_failed" => {
                look.in_colour(Color::Red)
            }
            "backing_off" | "restarted" => look.in_colour(Color::Yellow),
            _ => Style::new(),
        };
        let at = moment(one.at_ms);
        let clock = at.get(11..19).unwrap_or_default().to_owned();
        let path = one.actor.strip_prefix("root/").unwrap_or(&one.actor);
        (
            vec![clock, format!("{} {}", safe(path), safe(&one.text))],
            style,
        )
    });
    let lost = match board.lost {
        0 => "EVENTS (UTC)".to_owned(),
        lost => format!("EVENTS (UTC), {lost} lost"),
    };
    List {
        rows: rows.collect(),
        columns: vec![left("", 8), rest("")],
        chosen: None,
        focused: false,
        nothing: "nothing happened lately",
    }
    .draw(area, buffer);
    Line::raw(format!(" {lost}")).render(Rect { height: 1, ..area }, buffer);
}
