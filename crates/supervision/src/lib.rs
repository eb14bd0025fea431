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
//! A whole supervised actor (`docs/supervision.md` explains it):
//!
//! ```
//! # extern crate paraphym_supervision as supervision;
//! # use std::time::Duration;
//! use supervision::kameo::actor::{Actor, ActorRef};
//! use supervision::kameo::error::Infallible;
//! use supervision::kameo::message::{Context, Message};
//! use supervision::{Birth, ChildSpec, Events, Inbox, SupervisorSpec, start_root};
//!
//! struct Greeter {
//!     greeting: String,
//!     inbox: Inbox<Self>,
//! }
//!
//! impl Actor for Greeter {
//!     type Args = Birth<Self, String>;
//!     type Error = Infallible;
//!
//!     async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
//!         Ok(Self { greeting: birth.seed, inbox: birth.inbox })
//!     }
//!
//!     supervision::receive_from!(inbox);
//! }
//!
//! struct Greet(String);
//!
//! impl Message<Greet> for Greeter {
//!     type Reply = String;
//!     async fn handle(&mut self, Greet(name): Greet, _: &mut Context<Self, String>) -> String {
//!         format!("{}, {name}!", self.greeting)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (spec, greeter) = ChildSpec::actor::<Greeter, _>("greeter", 16, "Hello".to_owned());
//! let root = start_root(SupervisorSpec::new("root").child(spec), Events::default()).await?;
//! let answer = greeter.ask(Greet("Ada".to_owned()), Duration::from_secs(1)).await?;
//! assert_eq!(answer, "Hello, Ada!");
//! root.stop(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Read on in `handle` (how to send), `inbox` (how to receive), `spec` (how to describe a tree), `root` (how to start
//! one), `topology` (how to see one), `family` (what is decided), `watch` (who is stuck); [`compared`] sets it beside OTP,
//! Akka and kameo. How to write an actor: `docs/supervision.md`.

mod actor_child;
mod admin;
mod backoff;
mod cell;
mod chance;
mod chaos;
mod child;
pub mod compared;
mod dependency_order;
mod events;
mod exit;
mod family;
mod flight;
mod handle;
mod handling;
mod health;
mod inbox;
mod instances;
mod intensity;
mod life;
mod names;
mod parcel;
mod patience;
mod policy;
mod queue;
mod root;
mod spec;
mod spec_error;
mod supervisor;
mod supervisor_child;
mod supervisor_spec;
mod tally;
mod tap;
mod task_child;
mod topology;
mod tree;
mod turn;
mod vitals;
mod watch;
mod work;

pub use kameo;

pub use admin::{
    AdminError, Administration, Affected, ChildCounts, ChildInfo, ChildSpecInfo, DeleteChildError,
    Fate, GetChildspecError, Impact, Intervention, RestartChildError, StartChildError, Started,
    SupervisorHandle, TerminateChildError,
};
pub use backoff::Backoff;
pub use chaos::Chaos;
pub use events::{DEFAULT_EVENT_CAPACITY, Events, Lifecycle, LifecycleEvent};
pub use exit::{ChildState, DownReason, Escalation, Exit, StartFailure};
pub use family::RestartCause;
pub use flight::{Flight, FlightRecord};
pub use handle::{Answer, AskError, Handle, Refusal, TellError};
pub use handling::Handling;
pub use health::Health;
pub use inbox::{AlarmDue, Birth, Inbox};
pub use instances::Instances;
pub use intensity::Intensity;
pub use names::{ChildId, ChildPath};
pub use policy::{
    AutoShutdown, DEFAULT_HANDLER_BUDGET, DEFAULT_SHUTDOWN, DEFAULT_START_TIMEOUT, KILL_GRACE,
    Kind, MIN_HANDLER_BUDGET, Policy, Restart, SUPERVISOR_KILL_GRACE, Shutdown, Strategy,
};
pub use root::{EndReason, RootHandle, StartTreeError, StopReport, start_root};
pub use spec::ChildSpec;
pub use spec_error::SpecError;
pub use supervisor_spec::{DEFAULT_MAX_RESTARTS, DEFAULT_PERIOD, SupervisorSpec};
pub use tap::{Outcome, Tap, TapLimits, Tapped};
pub use task_child::{TaskContext, TaskError};
pub use topology::{ChildrenUnknown, Topology, TopologyNode};
pub use tree::Abandoned;
pub use turn::TURN;
#[doc(hidden)]
pub use turn::within;
pub use vitals::{Vital, Vitals};
pub use work::WorkGuard;
