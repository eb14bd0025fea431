//! Races that only real threads have. No time is measured here, and nothing sleeps.

use crate::common;

use common::*;
use supervision::{AskError, ChildSpec};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn senders_on_many_threads_lose_nothing_but_what_was_in_hand() {
    const SENDERS: u32 = 4;
    const EACH: u32 = 300;
    let log = Log::default();
    let orders = Orders::new("a", &log);
    let (a, handle) = ChildSpec::actor::<Probe, _>("a", 8, orders);
    let tree = started(root().child(a.backoff(supervision::Backoff::none()))).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let handle = handle.clone();
        senders.spawn(async move {
            let mut crashes = 0;
            for n in 0..EACH {
                let number = sender * EACH + n;
                match number % 10 {
                    3 => assert_eq!(handle.ask(Say(number), MINUTE).await.unwrap(), number),
                    7 => {
                        let error = handle.ask(Crash("boom"), MINUTE).await.unwrap_err();
                        assert!(matches!(error, AskError::Crashed { .. }), "{error}");
                        crashes += 1;
                    }
                    _ => handle.tell(Say(number)).await.unwrap(),
                }
            }
            crashes
        });
    }
    let crashes: usize = senders.join_all().await.into_iter().sum();
    // A child that has just crashed is not started once more to be stopped; so wait until it has handled the last message.
    handle.ask(Wake(MINUTE), MINUTE).await.unwrap();
    let report = tree.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    let lines = log.take();
    assert_eq!(lines.iter().filter(|l| *l == "a boom").count(), crashes);
    let said: Vec<u32> = lines
        .iter()
        .filter_map(|l| l.strip_prefix("a ")?.parse().ok())
        .collect();
    for sender in 0..SENDERS {
        let own = sender * EACH..(sender + 1) * EACH;
        let got: Vec<u32> = said.iter().copied().filter(|n| own.contains(n)).collect();
        let sent: Vec<u32> = own.filter(|n| n % 10 != 7).collect();
        assert_eq!(got, sent, "in order, none lost, none twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_among_senders_answers_or_returns_every_message() {
    for _ in 0..50 {
        let log = Log::default();
        let (a, handle) = Orders::new("a", &log).spec();
        let tree = started(root().child(a)).await;
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..4 {
            let handle = handle.clone();
            senders.spawn(async move {
                let mut taken = Vec::new();
                for n in 0..1000 {
                    let number = sender * 1000 + n;
                    match handle.tell(Say(number)).await {
                        Ok(()) => taken.push(number),
                        Err(error) => {
                            assert_eq!(error.into_message().0, number);
                            break;
                        }
                    }
                }
                taken
            });
        }
        tokio::task::yield_now().await;
        let report = tree.stop(MINUTE).await;
        assert_eq!(report.abandoned, []);
        let mut taken: Vec<u32> = senders.join_all().await.concat();
        let mut said: Vec<u32> = log
            .take()
            .iter()
            .filter_map(|l| l.strip_prefix("a ")?.parse().ok())
            .collect();
        taken.sort_unstable();
        said.sort_unstable();
        assert_eq!(said, taken);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn impatient_senders_at_a_small_queue_send_what_they_were_told_was_sent() {
    const SENDERS: u32 = 8;
    const EACH: u32 = 400;
    let log = Log::default();
    let (a, handle) = ChildSpec::actor::<Probe, _>("a", 2, Orders::new("a", &log));
    let tree = started(root().child(a)).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let handle = handle.clone();
        senders.spawn(async move {
            let mut sent = Vec::new();
            for n in 0..EACH {
                let number = sender * EACH + n;
                let impatience = async {
                    for _ in 0..number % 5 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    told = handle.tell(Say(number)) => {
                        told.unwrap();
                        sent.push(number);
                    }
                    () = impatience => {}
                }
            }
            (sender, sent)
        });
    }
    let sent = tokio::time::timeout(MINUTE, senders.join_all()).await;
    let sent = sent.expect("nobody waits for ever");
    handle.ask(Wake(MINUTE), MINUTE).await.unwrap();
    tree.stop(MINUTE).await;
    let lines = log.take();
    let said: Vec<u32> = lines
        .iter()
        .filter_map(|l| l.strip_prefix("a ")?.parse().ok())
        .collect();
    assert_eq!(
        said.len(),
        sent.iter().map(|(_, sent)| sent.len()).sum::<usize>()
    );
    for (sender, sent) in sent {
        assert!(sent.is_sorted());
        let own = sender * EACH..(sender + 1) * EACH;
        let got: Vec<u32> = said.iter().copied().filter(|n| own.contains(n)).collect();
        assert_eq!(got, sent, "in order, none lost, none twice, none unsent");
    }
}
