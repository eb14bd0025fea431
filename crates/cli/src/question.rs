//! A question to whoever sits at the terminal, answered by a line. Everything but a clear yes is a no.

use std::io;

use tokio::io::AsyncReadExt;

use crate::failure::Failure;
use crate::stage::{Stage, leave_now};

/// The longest answer that is looked at: `yes` with room for slips.
const LONGEST: usize = 16;

/// The next line of standard input, without its end. The thread that reads cannot be told to stop: who drops this has to
/// leave without waiting for it.
pub(crate) async fn line() -> io::Result<Vec<u8>> {
    let mut input = tokio::io::stdin();
    let (mut line, mut byte) = (Vec::new(), [0_u8]);
    while input.read(&mut byte).await? == 1 && byte != *b"\n" {
        if line.len() <= LONGEST {
            line.extend(byte);
        }
    }
    Ok(line)
}

/// Whether a line means yes. One that is longer than a yes can be does not.
pub(crate) fn is_yes(line: &[u8]) -> bool {
    let whole = line.len() <= LONGEST;
    let line = line.trim_ascii().to_ascii_lowercase();
    whole && (line == b"y" || line == b"yes")
}

/// Whether the line is a yes; a signal ends the process here.
pub(crate) async fn yes(stage: &mut Stage) -> Result<bool, Failure> {
    match stage.unless_signalled(line()).await {
        Ok(line) => Ok(line.is_ok_and(|line| is_yes(&line))),
        Err(signal) => leave_now(signal.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        for (line, yes) in [
            (&b"y"[..], true),
            (b" YES \r", true),
            (b"", false),
            (b"n", false),
            (b"yellow", false),
            (b"ja", false),
            (b"y                no, stop", false),
        ] {
            assert_eq!(is_yes(line), yes, "{line:?}");
        }
    }
}
