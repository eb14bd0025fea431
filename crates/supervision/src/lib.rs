//! OTP supervision semantics over kameo actors.
//!
//! A restart loses nothing that was queued, because the queue does not live in the actor:
//!
//! ```text
//!   Handle<A> --M--> Cell<A> --Signal<A>--> Inbox<A> --Message<M>::handle--> A
//!      ^              queue, gate,            one per life                 kameo actor,
//!      '--Reply-------work, state             (Birth)                      one per life
//!                        ^
//!                        | Child: begin, ask_stop, kill, down, look
//!                        |
//!   SupervisorHandle --Command--> Supervisor --Event--> Family (decides; no clock, no task)
//!                                     |     <--Effect--
//!                                     '--LifecycleEvent--> Events
//! ```
//!
//! Read on in `handle` (how to send), `inbox` (how to receive), `spec` (how to describe a tree), `root` (how to start
//! one), `family` (what is decided). How to write an actor: `docs/supervision.md`.

mod actor_child;
mod admin;
mod backoff;
mod cell;
mod chance;
mod child;
mod events;
mod exit;
mod family;
mod handle;
mod inbox;
mod intensity;
pub mod metric_names;
mod names;
mod policy;
mod root;
mod spec;
mod supervisor;
mod supervisor_child;
mod task_child;
mod tree;
mod work;

pub use kameo;

pub use admin::{ChildInfo, StartChildError, SupervisorHandle, TerminateChildError};
pub use backoff::Backoff;
pub use events::{DEFAULT_EVENT_CAPACITY, Events, Lifecycle, LifecycleEvent};
pub use exit::{ChildState, DownReason, Escalation, Exit, StartFailure};
pub use handle::{Answer, AskError, Handle, Refusal, TellError};
pub use inbox::{AlarmDue, Birth, Inbox};
pub use intensity::Intensity;
pub use names::{ChildId, ChildPath};
pub use policy::{
    AutoShutdown, DEFAULT_SHUTDOWN, DEFAULT_START_TIMEOUT, KILL_GRACE, Kind, Policy, Restart,
    SUPERVISOR_KILL_GRACE, Shutdown, Strategy,
};
pub use root::{EndReason, RootHandle, StartTreeError, StopReport, start_root};
pub use spec::{ChildSpec, DEFAULT_MAX_RESTARTS, DEFAULT_PERIOD, SpecError, SupervisorSpec};
pub use task_child::{TaskContext, TaskError};
pub use tree::Abandoned;
pub use work::WorkGuard;
