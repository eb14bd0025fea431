//! What a shell and `man` want to know of the command line: made from its definitions, so that it cannot be of another version.

use std::io::{ErrorKind, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::failure::Failure;

/// Prints the completions for a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "paraphym", &mut text);
    print(&text)
}

/// Prints the page of the program, or of one of its commands.
pub(crate) fn man(words: &[String]) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    let mut name = "paraphym".to_owned();
    for word in words {
        let found = command.find_subcommand(word).cloned();
        command = found.ok_or_else(|| {
            let what = format!("{name} has no command {word}");
            Failure::usage(what, format!("`{name} --help` lists them"))
        })?;
        name = format!("{name} {word}");
    }
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command);
    page.render(&mut text)
        .map_err(|error| Failure::failed(error, ""))?;
    print(&text)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let written = out.write_all(text).and_then(|()| out.flush());
    written.map_err(|error| {
        if error.kind() == ErrorKind::BrokenPipe {
            return Failure::NobodyReads;
        }
        let what = format!("standard output cannot be written: {error}");
        Failure::failed(what, "check where it goes")
    })
}

#[cfg(test)]
#[path = "manual_tests.rs"]
mod tests;
