//! Messages of one actor as it handles them, until the look is over or somebody has seen enough.

use paraphym_candle::control::News;
use paraphym_candle::control::protocol::tap::{Tap, Tapped};

use super::human::micros;
use super::{Asking, LOOK, failure, json, show};
use crate::failure::Failure;
use crate::history::export::moment;

pub(super) async fn look(asking: &mut Asking<'_>, wish: Tap) -> Result<(), Failure> {
    asking.ask(&wish, LOOK).await?;
    let mut seen = 0_u64;
    let mut missed = 0_u64;
    loop {
        let next = asking.client.next();
        match asking
            .stage
            .unless_signalled(next)
            .await?
            .map_err(failure)?
        {
            News::Tapped(one) => {
                seen += 1;
                missed += one.missed;
                let out = &mut asking.stage.out;
                if asking.as_json {
                    out.json(&json(&one)?).await?;
                } else {
                    out.text(&line(&one)).await?;
                }
            }
            News::TapOver(_) => break,
            // Nothing else was asked for.
            News::Happened(_) | News::Lagged(_) | News::Ending(_) => {}
        }
    }
    if asking.as_json {
        return Ok(());
    }
    let told = match (seen, missed) {
        (0, _) => "no message was handled meanwhile".to_owned(),
        (seen, 0) => format!("{seen} messages"),
        (seen, missed) => format!("{seen} messages; {missed} more came too fast to be shown"),
    };
    asking.stage.out.aside(&told).await
}

fn line(one: &Tapped) -> String {
    let waited = one.waited_us.map_or_else(String::new, |us| {
        format!(" after {} in the queue", micros(us))
    });
    let missed = match one.missed {
        0 => String::new(),
        missed => format!("; {missed} before it not shown"),
    };
    format!(
        "{}  {} {} in {}{waited}{missed}\n",
        moment(one.at_ms),
        show::plain(&one.message),
        one.outcome,
        micros(one.took_us),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_line() {
        let mut one = Tapped {
            subscription: 1,
            at_ms: 0,
            message: "Load\u{1b}".to_owned(),
            life: 1,
            waited_us: None,
            took_us: 1_500,
            outcome: "handled".to_owned(),
            missed: 0,
        };
        let said = line(&one);
        assert!(said.ends_with(" handled in 1.5 ms\n"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said}");
        one.waited_us = Some(7);
        one.missed = 3;
        let said = line(&one);
        let end = "in 1.5 ms after 7 µs in the queue; 3 before it not shown\n";
        assert!(said.ends_with(end), "{said}");
    }
}
