//! What a line typed into the chat means. Pure: a line goes in, a meaning comes out.

use std::path::PathBuf;

use domain::ModelName;

/// What a line means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// Nothing was typed.
    Nothing,
    /// Something for the model.
    Say(String),
    /// Something for the chat itself.
    Do(Command),
    /// Not understood; the text says why and what would be.
    Wrong(String),
}

/// A command of the chat. `None` asks for the present value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Command {
    Help,
    Model(Option<ModelName>),
    Agent(Option<String>),
    System(Option<String>),
    /// `/system off`.
    NoSystem,
    Temperature(Option<f32>),
    Tokens(Option<u32>),
    Clear,
    Continue,
    History,
    Save(PathBuf),
    Exit,
}

/// The commands: name, what follows it, what it does.
pub(crate) const COMMANDS: [(&str, &str, &str); 11] = [
    ("/help", "", "this list"),
    (
        "/model",
        "[NAME|PATH]",
        "show the model, or choose another for the next turn",
    ),
    (
        "/agent",
        "[NAME]",
        "show the agents, or choose one for the next turn",
    ),
    (
        "/system",
        "[TEXT|off]",
        "show the standing instructions, set them, or drop them",
    ),
    (
        "/temperature",
        "[0..2]",
        "show or set how much chance there is; 0 is none",
    ),
    ("/tokens", "[N]", "show or set how long an answer may be"),
    ("/continue", "", "go on with an answer that broke off"),
    ("/clear", "", "forget what was said"),
    ("/history", "", "show what was said"),
    (
        "/save",
        "FILE",
        "write what was said to a file (Markdown, or JSON if it ends with .json)",
    ),
    ("/exit", "", "leave; /quit and Ctrl-D do too"),
];

/// Reads a line. A text that begins with a slash is said with two: `//etc`.
pub(crate) fn parse(line: &str) -> Line {
    let line = line.trim();
    if line.is_empty() {
        return Line::Nothing;
    }
    let Some(command) = line.strip_prefix('/') else {
        return Line::Say(line.to_owned());
    };
    if command.starts_with('/') {
        return Line::Say(command.to_owned());
    }
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    match read(name, rest.trim()) {
        Ok(command) => Line::Do(command),
        Err(reason) => Line::Wrong(reason),
    }
}

fn read(name: &str, rest: &str) -> Result<Command, String> {
    let given = (!rest.is_empty()).then_some(rest);
    let alone = |command| match given {
        None => Ok(command),
        Some(extra) => Err(format!("/{name} takes nothing after it, not \"{extra}\"")),
    };
    match name {
        "help" | "?" => alone(Command::Help),
        "clear" => alone(Command::Clear),
        "history" => alone(Command::History),
        "continue" => alone(Command::Continue),
        "exit" | "quit" => alone(Command::Exit),
        "model" => Ok(Command::Model(given.map(unquote).map(ModelName::new))),
        "agent" => Ok(Command::Agent(given.map(unquote).map(str::to_owned))),
        "system" if rest == "off" => Ok(Command::NoSystem),
        "system" => Ok(Command::System(given.map(unquote).map(str::to_owned))),
        "temperature" => {
            number(given, "/temperature takes a number from 0 to 2").map(Command::Temperature)
        }
        "tokens" => number(given, "/tokens takes a number from 1 to 1048576").map(Command::Tokens),
        "save" => given
            .map(unquote)
            .filter(|file| !file.is_empty())
            .map(|file| Command::Save(PathBuf::from(file)))
            .ok_or_else(|| "/save takes a file name: /save talk.md".to_owned()),
        other => Err(unknown(other)),
    }
}

fn number<T: std::str::FromStr>(given: Option<&str>, allowed: &str) -> Result<Option<T>, String> {
    given
        .map(|text| {
            text.parse()
                .map_err(|_| format!("{allowed}, not \"{text}\""))
        })
        .transpose()
}

/// Without the quotes around it, if there are some.
fn unquote(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

fn unknown(name: &str) -> String {
    let near = COMMANDS
        .iter()
        .map(|(known, ..)| (distance(name, known.trim_start_matches('/')), known))
        .min();
    match near {
        // More than half wrong is no slip of the finger.
        Some((distance, known)) if distance <= 2.max(name.chars().count() / 2) => {
            format!("/{name} is not a command; did you mean {known}?")
        }
        _ => format!("/{name} is not a command; /help lists them"),
    }
}

/// Levenshtein's distance: single characters added, left out or exchanged.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            left = (diagonal + usize::from(x != *y))
                .min(above + 1)
                .min(left + 1);
            (*cell, diagonal) = (left, above);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let say = |text: &str| Line::Say(text.into());
        let model = |name: &str| Line::Do(Command::Model(Some(ModelName::new(name))));
        let system = |text: &str| Line::Do(Command::System(Some(text.into())));
        let save = |file: &str| Line::Do(Command::Save(file.into()));
        for (line, expected) in [
            ("", Line::Nothing),
            ("  \t ", Line::Nothing),
            (" hello ", say("hello")),
            ("//etc/passwd", say("/etc/passwd")),
            ("a /help b", say("a /help b")),
            ("/help", Line::Do(Command::Help)),
            ("/model", Line::Do(Command::Model(None))),
            ("/model tiny", model("tiny")),
            ("/model \"/my models/a.gguf\"", model("/my models/a.gguf")),
            ("/system", Line::Do(Command::System(None))),
            ("/system Be  brief. ", system("Be  brief.")),
            ("/system 'Be brief.'", system("Be brief.")),
            ("/system off", Line::Do(Command::NoSystem)),
            ("/temperature", Line::Do(Command::Temperature(None))),
            (
                "/temperature 0.5",
                Line::Do(Command::Temperature(Some(0.5))),
            ),
            ("/tokens\t64", Line::Do(Command::Tokens(Some(64)))),
            ("/clear", Line::Do(Command::Clear)),
            ("/history", Line::Do(Command::History)),
            ("/continue", Line::Do(Command::Continue)),
            ("/save a.md", save("a.md")),
            ("/save my talk.md", save("my talk.md")),
            ("/save \"my talk.md\"", save("my talk.md")),
            ("/save 'it''s.md'", save("it''s.md")),
            ("/exit", Line::Do(Command::Exit)),
            ("/quit", Line::Do(Command::Exit)),
        ] {
            assert_eq!(parse(line), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_not_understood_says_what_would_be() {
        for (line, part) in [
            ("/hlep", "did you mean /help?"),
            ("/temprature 1", "did you mean /temperature?"),
            ("/histroy", "did you mean /history?"),
            ("/mdoel x", "did you mean /model?"),
            ("/etc/passwd/or/so", "/help lists them"),
            ("/", "/help"),
            ("/temperature hot", "a number from 0 to 2, not \"hot\""),
            ("/tokens -3", "1 to 1048576, not \"-3\""),
            ("/tokens 1.5", "not \"1.5\""),
            ("/save", "/save talk.md"),
            ("/save \"\"", "/save talk.md"),
            ("/clear all", "takes nothing after it, not \"all\""),
            ("/exit now", "takes nothing after it"),
        ] {
            match parse(line) {
                Line::Wrong(reason) => assert!(reason.contains(part), "{line}: {reason}"),
                other => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn every_command_of_the_list_is_known() {
        for (name, rest, _) in COMMANDS {
            let line = format!("{name} {}", if rest == "FILE" { "x" } else { "" });
            assert!(matches!(parse(&line), Line::Do(_)), "{line}");
        }
    }

    #[test]
    fn distances_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("help", "hlep", 2),
            ("save", "safe", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
