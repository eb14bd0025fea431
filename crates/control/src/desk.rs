//! Carries out what was asked for: each method is a message to whoever knows or does it, with a deadline. What changes
//! something is written down before and after.

mod act;
mod audit;
mod cancel;
mod chaos;
mod connections;
mod denials;
mod drain;
mod look;
mod models;
mod parts;
mod present;
mod settings;
mod tree;
mod vitals;
mod why;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use supervision::AskError;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::ControlDeps;
use crate::loud::Overrides;
use crate::past::Recorder;
use crate::protocol::act::Acted;
use crate::protocol::level::Level;
use crate::protocol::rpc::{Code, RpcError};
use crate::protocol::table::{Call, method};
use crate::session::to_value;

/// How long a question may take: nobody who is asked computes, and a person is waiting.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// How long a change may take: it may wait for a restart of whoever makes it.
pub(crate) const ACT: Duration = Duration::from_secs(10);

/// Whoever asks, as the audit log has it.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) String);

/// Carries out calls. It outlives the lives of control.
pub(crate) struct Desk {
    pub(crate) deps: ControlDeps,
    pub(crate) version: String,
    pub(crate) began: Instant,
    recorder: Mutex<Recorder>,
    overrides: Mutex<Overrides>,
    denials: Mutex<denials::Denials>,
    /// A time of an override was set or taken away.
    pub(crate) rearm: Notify,
    acts: AtomicU64,
}

impl Desk {
    pub(crate) fn new(deps: ControlDeps, version: String) -> Self {
        let began = Instant::now();
        Self {
            recorder: Mutex::new(Recorder::new(deps.events.subscribe())),
            deps,
            version,
            began,
            overrides: Mutex::default(),
            denials: Mutex::new(denials::Denials::new(began)),
            rearm: Notify::new(),
            acts: AtomicU64::new(0),
        }
    }

    /// The same moment on both clocks.
    pub(crate) fn moment(&self) -> (Instant, SystemTime) {
        (Instant::now(), (self.deps.clock)())
    }

    pub(crate) fn recorder(&self) -> std::sync::MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overrides(&self) -> std::sync::MutexGuard<'_, Overrides> {
        self.overrides
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next override of the log is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.overrides().deadline()
    }

    /// Ends those overrides of the log whose time is over.
    pub(crate) fn quiet_down(&self) {
        let over = self.overrides().over(Instant::now());
        let Some(log) = &self.deps.log else { return };
        for target in over {
            match log.override_level(target, None) {
                Ok(()) => tracing::info!(target, "the log is as the settings say again"),
                Err(error) => tracing::warn!(%error, target, "the log stays as it was overridden"),
            }
        }
    }

    /// Carries a call out.
    pub(crate) async fn carry_out(&self, call: Call, who: &Who) -> Result<Value, RpcError> {
        let Some(method) = method(call.name()).filter(|method| method.changes) else {
            return self.look(call).await;
        };
        let number = self.acts.fetch_add(1, Ordering::Relaxed) + 1;
        let action = format!("control.{}", call.name());
        let params = self.shown(&call);
        let asked = json!({"call": number, "params": params});
        let before = self.write_down(who, &action, asked.to_string()).await;
        if let (Err(error), Level::Admin) = (&before, method.level) {
            return Err(audit::unwritten(&call, error));
        }
        let done = self.act(call, who).await;
        let outcome = match &done {
            Ok(acted) => json!({"call": number, "done": acted.done, "what": acted.what}),
            Err(error) => json!({"call": number, "refused": error.message}),
        };
        let after = self.write_down(who, &action, outcome.to_string()).await;
        to_value(&Acted {
            audited: before.is_ok() && after.is_ok(),
            ..done?
        })
    }

    async fn look(&self, call: Call) -> Result<Value, RpcError> {
        match call {
            Call::Status(_) => to_value(&self.status().await),
            Call::Tree(_) => to_value(&self.tree().await),
            Call::Ps(_) => to_value(&self.ps().await?),
            Call::Vitals(_) => to_value(&self.vitals().await),
            Call::Inspect(wish) => to_value(&self.inspect(&wish.actor).await?),
            Call::Events(wish) => to_value(&self.events(&wish)?),
            Call::Why(wish) => to_value(&self.why(&wish).await),
            Call::Conversations(wish) => to_value(&self.conversations(wish).await?),
            Call::Connections(_) => to_value(&self.connections()?),
            Call::ConfigGet(wish) => to_value(&self.config_get(wish.key.as_deref()).await?),
            Call::Audit(wish) => to_value(&self.audit(wish).await?),
            // The session answers these itself, and what changes something is not looked at here.
            other => Err(RpcError::new(
                Code::Internal,
                format!("{} is not a question", other.name()),
            )),
        }
    }

    async fn act(&self, call: Call, who: &Who) -> Result<Acted, RpcError> {
        match call {
            Call::Restart(wish) => self.restart(&wish.actor, wish.dry_run, who).await,
            Call::Stop(wish) => self.stop(&wish.actor, wish.dry_run, who).await,
            Call::Start(wish) => self.start(&wish.actor, wish.dry_run, who).await,
            Call::Kill(wish) => self.kill(&wish.actor, wish.dry_run, who).await,
            Call::Pause(wish) => self.hold(&wish.actor, true, wish.dry_run, who).await,
            Call::Resume(wish) => self.hold(&wish.actor, false, wish.dry_run, who).await,
            Call::Chaos(wish) => self.chaos(wish, who).await,
            Call::Limit(wish) => self.limit(wish).await,
            Call::Load(wish) => self.load(&wish.model, wish.dry_run).await,
            Call::Unload(wish) => self.unload(&wish.model, wish.dry_run).await,
            Call::Pin(wish) => self.pin(&wish.model, wish.dry_run).await,
            Call::Unpin(wish) => self.unpin(&wish.model, wish.dry_run).await,
            Call::Cancel(wish) => self.cancel(&wish.id, wish.dry_run).await,
            Call::Kick(wish) => self.kick(wish),
            Call::Log(wish) => self.log(wish).await,
            Call::Drain(wish) => self.drain(wish.dry_run),
            Call::ConfigSet(wish) => self.config_set(wish, who).await,
            Call::Shutdown(wish) => self.shutdown(wish),
            other => Err(RpcError::new(
                Code::Internal,
                format!("{} changes nothing", other.name()),
            )),
        }
    }

    /// A number that no other call of this process has.
    pub(crate) fn number(&self) -> u64 {
        self.acts.load(Ordering::Relaxed)
    }
}

/// What was done.
pub(crate) fn done(what: impl Into<String>) -> Acted {
    Acted {
        done: true,
        what: what.into(),
        audited: false,
    }
}

/// What would be.
pub(crate) fn would(what: impl Into<String>) -> Acted {
    Acted {
        done: false,
        what: what.into(),
        audited: false,
    }
}

/// Whoever was asked does not answer.
pub(crate) fn silent<E: std::fmt::Debug + std::fmt::Display>(error: &AskError<E>) -> RpcError {
    RpcError::new(Code::Unavailable, error)
}
