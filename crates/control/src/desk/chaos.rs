//! Faults on purpose, and looks at messages: what is asked of one actor to learn about it.

use std::time::Duration;

use supervision::{Chaos, Tap, TapLimits};

use super::parts::find;
use super::{ACT, Desk, Who, done, would};
use crate::convert::refused;
use crate::protocol::act::{self, Acted, Fault};
use crate::protocol::rpc::{Code, RpcError};
use crate::protocol::tap;

/// How much later a slow actor handles each message, unless somebody says.
const DELAY_MS: u64 = 100;
/// How long a fault lasts, unless somebody says.
const LASTS_MS: u64 = 10_000;

impl Desk {
    pub(super) async fn chaos(&self, wish: act::Chaos, who: &Who) -> Result<Acted, RpcError> {
        let chaos = fault(&wish)?;
        let topology = self.topology().await;
        let path = find(&topology, &wish.actor)?.info.child.to_string();
        if !self.deps.chaos {
            let what =
                "faults on purpose are off: start the server with --allow-chaos to have them";
            return Err(RpcError::new(Code::Refused, what));
        }
        if wish.dry_run {
            return Ok(would(format!("would make {path} {chaos}")));
        }
        let ordered = self.orders(who).chaos(&path, chaos, ACT).await;
        ordered.map_err(|error| refused(&error))?;
        Ok(done(format!("{path} will {chaos}")))
    }

    /// Begins a look; whoever asked takes the messages.
    pub(crate) async fn tap(&self, wish: &tap::Tap, who: &Who) -> Result<Tap, RpcError> {
        in_range("for_s", wish.for_s, TapLimits::LONGEST.as_secs().into())?;
        let usual = TapLimits::default();
        let limits = TapLimits {
            lasts: wish.for_s.map_or(usual.lasts, Duration::from_secs),
            messages: wish.messages.unwrap_or(usual.messages),
            per_second: wish.per_second.unwrap_or(usual.per_second),
        };
        let topology = self.topology().await;
        let path = find(&topology, &wish.actor)?.info.child.to_string();
        let tap = self.orders(who).tap(&path, limits, ACT).await;
        tap.map_err(|error| refused(&error))
    }
}

fn in_range(field: &str, value: Option<u64>, most: u128) -> Result<(), RpcError> {
    match value {
        Some(value) if value == 0 || u128::from(value) > most => {
            let what = format!("{field} = {value} is not accepted: use 1 to {most}");
            Err(RpcError::new(Code::Params, what))
        }
        _ => Ok(()),
    }
}

fn fault(wish: &act::Chaos) -> Result<Chaos, RpcError> {
    let idle = |field: &str, of: &str| {
        let what = format!("{field} = is not accepted here: only {of} takes it");
        Err(RpcError::new(Code::Params, what))
    };
    let fields = [
        ("for_ms", wish.for_ms, Chaos::LONGEST),
        ("delay_ms", wish.delay_ms, Chaos::SLOWEST),
    ];
    for (field, value, most) in fields {
        in_range(field, value, most.as_millis())?;
    }
    let lasts = Duration::from_millis(wish.for_ms.unwrap_or(LASTS_MS));
    match wish.fault {
        Fault::Crash if wish.for_ms.is_some() => idle("for_ms", "stall or slow"),
        Fault::Crash | Fault::Stall if wish.delay_ms.is_some() => idle("delay_ms", "slow"),
        Fault::Crash => Ok(Chaos::Crash),
        Fault::Stall => Ok(Chaos::Stall { lasts }),
        Fault::Slow => Ok(Chaos::Slow {
            delay: Duration::from_millis(wish.delay_ms.unwrap_or(DELAY_MS)),
            lasts,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_its_times_and_no_others() {
        let of = |text: &str| fault(&serde_json::from_str(text).unwrap());
        let (seconds, ms) = (Duration::from_secs, Duration::from_millis);
        for (text, expected) in [
            (r#"{"actor":"a","fault":"crash"}"#, Chaos::Crash),
            (
                r#"{"actor":"a","fault":"stall"}"#,
                Chaos::Stall { lasts: seconds(10) },
            ),
            (
                r#"{"actor":"a","fault":"slow","delay_ms":7,"for_ms":9}"#,
                Chaos::Slow {
                    delay: ms(7),
                    lasts: ms(9),
                },
            ),
        ] {
            assert_eq!(of(text), Ok(expected), "{text}");
        }
        for (text, field) in [
            (r#"{"actor":"a","fault":"crash","for_ms":1}"#, "for_ms"),
            (r#"{"actor":"a","fault":"crash","delay_ms":1}"#, "delay_ms"),
            (r#"{"actor":"a","fault":"stall","delay_ms":1}"#, "delay_ms"),
            (
                r#"{"actor":"a","fault":"slow","delay_ms":0}"#,
                "delay_ms = 0",
            ),
            (r#"{"actor":"a","fault":"stall","for_ms":0}"#, "for_ms = 0"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.message.contains(field), "{error}");
        }
    }
}
