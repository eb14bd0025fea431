//! An answer of the host as messages to an actix actor.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use actix::{Actor, ActorContext, Context, Handler, Message};
use futures_util::StreamExt;
use paraphym_actix_bridge::{DeliveryError, DeliveryLimits, deliver, run};
use paraphym_candle::GenerationEvent;
use testkit::scripted::Answer;

use crate::common::*;

struct Said(GenerationEvent);

impl Message for Said {
    type Result = ();
}

/// Notes the text it hears, and stops at the word it waits for.
struct Reader {
    log: Log,
    until: &'static str,
}

impl Actor for Reader {
    type Context = Context<Self>;
}

impl Handler<Said> for Reader {
    type Result = ();

    fn handle(&mut self, Said(event): Said, ctx: &mut Context<Self>) {
        if let GenerationEvent::Text(text) = event {
            if text.contains(self.until) {
                ctx.stop();
            }
            self.log.note(text);
        }
    }
}

#[tokio::test]
async fn an_actix_actor_reads_an_answer_to_its_end() {
    run(async |_| {
        let dir = tempfile::tempdir().unwrap();
        let (host, _) = host(dir.path(), Answer::Text("all of it".to_owned())).await;
        let log = Log::default();
        let (reader, until) = (log.clone(), "never");
        let reader = Reader { log: reader, until }.start();
        let answer = host.prompt("Well?").await.unwrap().map(Said);
        let told = deliver(answer, reader.recipient(), DeliveryLimits::default());
        assert!(told.await.unwrap() >= 2, "the text, and its end");
        assert_eq!(log.take().concat(), "all of it");
        host.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn an_actix_actor_that_stops_stops_the_model() {
    run(async |_| {
        let dir = tempfile::tempdir().unwrap();
        let (host, control) = host(dir.path(), Answer::Counting).await;
        let (log, until) = (Log::default(), " ");
        let reader = Reader { log, until }.start();
        let (third, tenth) = (control.gate_step(3), control.gate_step(10));
        let answer = host.prompt("Count.").await.unwrap().map(Said);
        let told = deliver(
            answer,
            reader.clone().recipient(),
            DeliveryLimits::default(),
        );
        let beside = async {
            control.wait_until(|counts| counts.steps == 3).await;
            while reader.connected() {
                tokio::task::yield_now().await;
            }
            third.release();
        };
        let (told, ()) = tokio::join!(told, beside);
        assert!(
            matches!(told, Err(DeliveryError::Closed { .. })),
            "{told:?}"
        );
        let counts = control.wait_until(|counts| counts.open_now() == 0).await;
        assert!(counts.steps < 10, "{counts:?}");
        drop(tenth);
        host.shutdown().await;
    })
    .await;
}
