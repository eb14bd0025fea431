//! An actor of the app's own in the same tree: it crashes, is started again, and no message that waited is lost.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --example own_actor
//! ```
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

use std::error::Error;
use std::time::Duration;

use paraphym_candle::supervision::kameo::actor::{Actor, ActorRef};
use paraphym_candle::supervision::kameo::error::Infallible;
use paraphym_candle::supervision::kameo::message::{Context, Message};
use paraphym_candle::supervision::{AskError, Birth, ChildSpec, Inbox, receive_from};
use paraphym_candle::{Lifecycle, Paraphym, RuntimeOptions, run};

/// Counts visitors. What must outlive a crash would lie outside of it.
struct Doorman {
    seen: u32,
    inbox: Inbox<Self>,
}

impl Actor for Doorman {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            seen: 0,
            inbox: birth.inbox,
        })
    }

    receive_from!(inbox);
}

/// Somebody comes.
struct Visit(&'static str);

impl Message<Visit> for Doorman {
    type Reply = String;

    async fn handle(&mut self, Visit(name): Visit, _: &mut Context<Self, String>) -> String {
        assert!(!name.is_empty(), "nobody has no name");
        self.seen += 1;
        format!("{name} is number {}", self.seen)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&RuntimeOptions::default(), |runtime| async move {
        let (spec, doorman) = ChildSpec::actor::<Doorman, _>("doorman", 16, ());
        let host = Paraphym::builder()
            .runtime(runtime)
            .child(spec)
            .start()
            .await?;
        let mut events = host.events();

        let deadline = Duration::from_secs(5);
        println!("{}", doorman.ask(Visit("Ada"), deadline).await?);
        // Both are asked at once: the first crashes the actor, the second waits for its next life.
        let (crashed, next) = tokio::join!(
            doorman.ask(Visit(""), deadline),
            doorman.ask(Visit("Grace"), deadline),
        );
        match crashed {
            Err(AskError::Crashed { .. }) => println!("it crashed"),
            other => return Err(format!("not a crash: {other:?}").into()),
        }
        println!("{}", next?);

        while let Ok(event) = events.try_recv() {
            let what = match event.what {
                Lifecycle::Crashed { reason } => format!("crashed: {reason}"),
                Lifecycle::BackingOff { delay, .. } => format!("rests for less than {delay:?}"),
                Lifecycle::Restarted { restarts, .. } => format!("restart {restarts}"),
                _ => continue,
            };
            eprintln!("{}: {what}", event.child);
        }
        let app = host.app().ok_or("there are children of the app")?;
        println!("{} child of the app", app.which_children().await.len());
        host.shutdown().await;
        Ok(())
    })?
}
