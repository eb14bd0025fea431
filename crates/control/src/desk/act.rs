//! Acts on the host as a whole: its limits, its log, its end.

use std::time::Duration;

use domain::Bytes;
use memory_governor::SetLimit;
use model_host::SetLimits;
use supervision::AskError;
use tokio::time::Instant;

use super::parts::find;
use super::{ACT, Desk, done, silent, would};
use crate::loud;
use crate::protocol::act::{Acted, Limit, Limited, Log, Loudness, Shutdown};
use crate::protocol::rpc::{Code, RpcError};

/// How long an override of the log holds unless somebody says: long enough to look, too short to fill a disk unnoticed.
const LOUD: u64 = 600;
/// A day and a bit: a time beyond it is as good as for ever, and that has a word of its own.
const LOUDEST: u64 = 100_000;
/// The same as of the setting `model.queue`: more would wait than anybody waits for.
const QUEUE: u64 = 10_000;
/// How long a shutdown may take unless somebody says.
const SHUTDOWN_MS: u64 = 5000;
/// An hour.
const LONGEST_MS: u64 = 3_600_000;

impl Desk {
    pub(super) async fn limit(&self, wish: Limit) -> Result<Acted, RpcError> {
        match wish.what {
            Limited::Memory => self.limit_memory(wish.value, wish.dry_run).await,
            Limited::Queue => self.limit_queue(wish.value, wish.dry_run).await,
            Limited::Connections => self.limit_connections(wish.value, wish.dry_run),
        }
    }

    async fn limit_memory(&self, value: Option<u64>, dry_run: bool) -> Result<Acted, RpcError> {
        let bytes = value.map(Bytes);
        if bytes == Some(Bytes::ZERO) {
            let what = "value = 0 is not accepted: use bytes from 1, or null for no limit of ours";
            return Err(RpcError::new(Code::Params, what));
        }
        let shown = bytes.map_or("what the machine has".to_owned(), |bytes| bytes.to_string());
        if dry_run {
            return Ok(would(format!("would limit memory to {shown}")));
        }
        let set = self.deps.governor.ask(SetLimit { bytes }, ACT).await;
        let status = set.map_err(|error| silent(&error))?;
        Ok(done(format!(
            "memory is limited to {shown}: {} leased of {}",
            status.leased, status.limit
        )))
    }

    async fn limit_queue(&self, value: Option<u64>, dry_run: bool) -> Result<Acted, RpcError> {
        let queue = at_most(value, QUEUE, "so many requests may wait for each model")?;
        if dry_run {
            return Ok(would(format!(
                "would let {queue} requests wait for each model"
            )));
        }
        let limits = SetLimits {
            queue: Some(queue),
            ..SetLimits::default()
        };
        let set = self.deps.models.ask(limits, ACT).await;
        set.map_err(|error| match error {
            AskError::Handler(field) => RpcError::new(Code::Params, field),
            other => silent(&other),
        })?;
        Ok(done(format!("{queue} requests may wait for each model")))
    }

    pub(super) async fn log(&self, wish: Log) -> Result<Acted, RpcError> {
        let seconds = wish.for_s.unwrap_or(LOUD);
        if seconds > LOUDEST {
            let what = format!(
                "for_s = {seconds} is not accepted: use 1 to {LOUDEST}, or 0 until it is reset"
            );
            return Err(RpcError::new(Code::Params, what));
        }
        let Some(log) = &self.deps.log else {
            let what = "the log is not ours to change: the program that runs us writes it";
            return Err(RpcError::new(Code::Refused, what));
        };
        let mut target = None;
        if let Some(actor) = &wish.actor {
            let topology = self.topology().await;
            let path = find(&topology, actor)?.info.child.to_string();
            target = loud::target(&path);
            if target.is_none() {
                let what = format!("actor = {path} writes no lines of its own");
                return Err(RpcError::new(Code::Refused, what));
            }
        }
        let level = Some(wish.level).filter(|level| *level != Loudness::Reset);
        let whose = target.unwrap_or("everything");
        let what = match (level, seconds) {
            (None, _) => format!("{whose}: logged as the settings say"),
            (Some(level), 0) => format!("{whose}: logged at {} until it is reset", level.as_str()),
            (Some(level), _) => format!("{whose}: logged at {} for {seconds} s", level.as_str()),
        };
        if wish.dry_run {
            return Ok(would(what));
        }
        log.override_level(target, level.map(Loudness::as_str))
            .map_err(|error| RpcError::new(Code::Refused, error))?;
        let ends = level.is_some() && seconds > 0;
        let until = ends.then(|| Instant::now() + Duration::from_secs(seconds));
        self.overrides().set(target, until);
        self.rearm.notify_one();
        Ok(done(what))
    }

    pub(super) fn shutdown(&self, wish: Shutdown) -> Result<Acted, RpcError> {
        let within = wish.deadline_ms.unwrap_or(SHUTDOWN_MS);
        if within > LONGEST_MS {
            let what = format!("deadline_ms = {within} is not accepted: use 0 to {LONGEST_MS}");
            return Err(RpcError::new(Code::Params, what));
        }
        if wish.dry_run {
            return Ok(would(format!("would end the server within {within} ms")));
        }
        if self.deps.stop.is_closed() {
            let what = "nobody listens who could end the server: end its process";
            return Err(RpcError::new(Code::Refused, what));
        }
        self.deps
            .stop
            .send_replace(Some(Duration::from_millis(within)));
        Ok(done(format!("the server ends within {within} ms")))
    }
}

/// A limit from 1 to `most`; `means` says what it limits.
pub(super) fn at_most(value: Option<u64>, most: u64, means: &str) -> Result<usize, RpcError> {
    let fits = value.filter(|value| (1..=most).contains(value));
    fits.and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| {
            let shown = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
            let what = format!(
                "value = {shown} is not accepted: use a whole number from 1 to {most}, {means}"
            );
            RpcError::new(Code::Params, what)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_the_range_of_its_setting() {
        let catalogue = chat_config::Catalogue::new();
        for (key, most) in [
            ("model.queue", QUEUE),
            ("limits.connections", super::super::connections::MOST),
        ] {
            let limit = |value| at_most(value, most, "so many");
            for fits in [1, 32, most] {
                assert_eq!(limit(Some(fits)).map(|limit| limit as u64), Ok(fits));
            }
            let range = &catalogue.get(key).unwrap().allowed;
            for (value, shown) in [
                (None, "null".to_owned()),
                (Some(0), "0".to_owned()),
                (Some(most + 1), (most + 1).to_string()),
                (Some(u64::MAX), "18446744073709551615".to_owned()),
            ] {
                let error = limit(value).unwrap_err();
                let said = format!("value = {shown} is not accepted: use {range}, so");
                assert!(error.message.starts_with(&said), "{key}: {error}");
            }
        }
    }
}
