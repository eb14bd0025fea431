//! A thread that looks at every connection each second becomes one actor for each connection, started when the client comes:
//! it owns what it knows, and has its own alarm.

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    AlarmDue, Birth, ChildSpec, Inbox, Instances, Policy, Restart, SupervisorSpec, TellError,
};
use tokio::time::{Duration, Instant, sleep};

const SILENCE_MAX: Duration = Duration::from_secs(45);

struct Client {
    inbox: Inbox<Self>,
}

impl Actor for Client {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut inbox = birth.inbox;
        inbox.set_alarm(Some(Instant::now() + SILENCE_MAX));
        Ok(Self { inbox })
    }

    supervision::receive_from!(inbox, alarm);
}

struct Heard;

impl Message<Heard> for Client {
    type Reply = ();

    async fn handle(&mut self, _: Heard, _: &mut Context<Self, ()>) {
        self.inbox.set_alarm(Some(Instant::now() + SILENCE_MAX));
    }
}

impl Message<AlarmDue> for Client {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, context: &mut Context<Self, ()>) {
        context.stop();
    }
}

fn clients() -> (SupervisorSpec, Instances<Client, ()>) {
    let policy = Policy {
        restart: Restart::Temporary,
        ..Policy::worker()
    };
    SupervisorSpec::simple_one_for_one("clients", 8, policy)
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_gone_at_its_deadline_and_the_others_do_not_notice() {
    let (spec, clients) = clients();
    let root = started(root().child(ChildSpec::supervisor(spec))).await;
    let silent = clients.start("silent", ()).await.unwrap();
    let lively = clients.start("lively", ()).await.unwrap();

    sleep(Duration::from_secs(44)).await;
    lively.tell(Heard).await.unwrap();
    sleep(Duration::from_millis(999)).await;
    assert_eq!(clients.supervisor().count_children().await.active, 2);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(clients.supervisor().count_children().await.active, 1);
    let late = silent.tell(Heard).await;
    assert!(matches!(late, Err(TellError::Down { .. })));
    lively.tell(Heard).await.unwrap();
    root.stop(MINUTE).await;
}
