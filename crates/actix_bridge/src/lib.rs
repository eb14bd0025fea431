//! An actix application and our actors, on the one runtime and not one more thread.
//!
//! ```text
//!   run(main)         a local set on this thread: actix actors live here      ── Bridge: the way to it
//!   Bridge::actor     an actix actor as a child of our tree, restarted when it panics     Handle<Guest<A>>
//!   gate, gate_to     actix asks ours                                         Recipient<M>  ──> Handle<A>
//!   envoy             ours ask actix                                          Handle<Envoy<M>> ──> Recipient<M>
//!   deliver, delivery a stream of tokens as messages, held back and cancelled by the actor that hears it
//!   Bridge::web       routes of actix-web, without its threads
//!   Bridge::task      anything that is not `Send`
//! ```
//!
//! ```
//! # extern crate paraphym_actix_bridge as actix_bridge;
//! # use std::time::Duration;
//! use actix::{Actor, Context, Handler, Message};
//! use supervision::{AskError, Events, SupervisorSpec, start_root};
//!
//! struct Sum(u64);
//! impl Actor for Sum {
//!     type Context = Context<Self>;
//! }
//!
//! struct Add(u64);
//! impl Message for Add {
//!     type Result = u64;
//! }
//! impl Handler<Add> for Sum {
//!     type Result = u64;
//!     fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> u64 {
//!         assert!(n < 1000, "{n} is too much for me");
//!         self.0 += n;
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # const SECOND: Duration = Duration::from_secs(5);
//! actix_bridge::run(async |bridge| {
//!     let (spec, sum) = bridge.actor("sum", 16, |_| Sum(0));
//!     let root = start_root(SupervisorSpec::new("root").child(spec), Events::default()).await?;
//!     assert_eq!(sum.ask(Add(1), SECOND).await?, 1);
//!     let crashed = sum.ask(Add(1000), SECOND).await;
//!     assert!(matches!(crashed, Err(AskError::Crashed { .. })));
//!     assert_eq!(sum.ask(Add(2), SECOND).await?, 2); // a new one, behind the same handle
//!     root.stop(SECOND).await;
//!     Ok(())
//! })
//! .await
//! # }
//! ```
//!
//! How to use it, and what it does not promise: `docs/actix.md`.
//!
//! Invariants: nothing here makes a thread or a runtime, nothing waits without a bound, and nothing lives that no
//! supervisor, actor or caller owns.

mod bridge;
mod delivery;
mod envoy;
mod gate;
mod guest;
mod local_task;
mod names;
mod stay;
#[cfg(feature = "web")]
mod web;

pub use actix;
pub use bridge::{Bridge, Gone, run};
pub use delivery::{DeliveryError, DeliveryLimits, deliver, delivery};
pub use envoy::{Envoy, EnvoyLimits, EnvoySeed, Undelivered, envoy};
pub use gate::{Gate, GateLimits, gate, gate_to};
pub use guest::{Answered, Guest, GuestError, GuestSeed};
#[cfg(feature = "web")]
pub use web::WebLimits;
