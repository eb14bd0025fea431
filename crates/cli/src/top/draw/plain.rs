//! A picture as plain text, and for terminals that show ASCII alone.

use ratatui::buffer::Buffer;

/// The picture's lines, without what is blank at their ends.
pub(crate) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let mut text = String::new();
    for row in buffer.content().chunks(width) {
        let mut line = String::new();
        let mut skip = 0;
        for cell in row {
            // What stands behind a wide character is not there.
            if skip > 0 {
                skip -= 1;
                continue;
            }
            skip = ratatui::text::Span::raw(cell.symbol())
                .width()
                .saturating_sub(1);
            line.push_str(cell.symbol());
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Puts something similar in the place of what is not ASCII.
pub(super) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        let symbol = cell.symbol();
        if symbol.is_ascii() {
            continue;
        }
        let similar = match symbol {
            "█" => "#",
            "░" => ".",
            "▁" => "_",
            "▂" | "▃" | "─" => "-",
            "▄" | "▅" => "=",
            "▆" | "▇" => "*",
            "│" => "|",
            "┌" | "┐" | "└" | "┘" => "+",
            "…" => "~",
            _ => "?",
        };
        cell.set_symbol(similar);
    }
}
