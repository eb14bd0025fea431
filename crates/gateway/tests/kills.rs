//! Eight clients at once, of whom one is killed every second for a minute and another takes its place. A second is fifty
//! steps of the scripted model: the clock of computing, and nothing here measures real time. Whom it hits, and how, comes
//! from a seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::support;

use std::collections::BTreeMap;
use std::time::Duration;

use memory_governor::Status;
use model_host::Unload;
use support::chance::Chance;
use support::{FOR_EVER, Scene, ask, post};
use telemetry::{Metrics, names::HTTP_IN_FLIGHT};
use testkit::scripted::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

const CLIENTS: u64 = 8;
const KILLS: u64 = 60;
/// Steps to a second.
const SECOND: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(5);

/// One client: asks, reads to the end, checks every byte of the text, and asks again; whole answers are counted.
async fn client(
    scene_address: std::net::SocketAddr,
    name: u64,
    whole: tokio::sync::watch::Sender<u64>,
    abruptly: bool,
) {
    for round in 0.. {
        let (seed, tokens) = (name * 31 + round * 7, 100 + (name + round) % 5 * 60);
        let fields = format!(r#","stream":true,"max_tokens":{tokens},"seed":{seed}"#);
        let mut stream = TcpStream::connect(scene_address).await.unwrap();
        if abruptly {
            // Its end is a reset, as that of a process that is killed with unread bytes.
            stream.set_zero_linger().unwrap();
        }
        let named = post(&ask(&fields), &format!("x-request-id: client-{name}\r\n"));
        stream.write_all(named.as_bytes()).await.unwrap();
        let mut raw = String::new();
        stream.read_to_string(&mut raw).await.unwrap();
        let answer = support::Response::parse(&raw);
        assert_eq!(answer.status, 200, "{raw}");
        let expected = Answer::counting(seed % 1000, u32::try_from(tokens).unwrap());
        assert_eq!(
            support::said(&answer.body),
            expected,
            "client {name}, round {round}"
        );
        assert!(answer.body.ends_with("data: [DONE]\n\n"));
        whole.send_modify(|whole| *whole += 1);
    }
}

struct Crowd<'a> {
    scene: &'a Scene,
    tasks: JoinSet<()>,
    alive: BTreeMap<u64, AbortHandle>,
    whole: tokio::sync::watch::Sender<u64>,
    next: u64,
}

impl Crowd<'_> {
    fn join(&mut self, abruptly: bool) {
        let name = self.next;
        self.next += 1;
        let life = client(self.scene.address, name, self.whole.clone(), abruptly);
        self.alive.insert(name, self.tasks.spawn(life));
    }

    /// Kills one of those who are being answered; what was held for it is given back within one step or two.
    async fn kill(&mut self, chance: &mut Chance) {
        let at = chance.below(self.alive.len());
        let (&name, _) = self.alive.iter().nth(at).unwrap();
        self.alive.remove(&name).unwrap().abort();
        while self
            .scene
            .work()
            .await
            .contains(&format!("POST /v1/chat/completions client-{name}"))
        {
            tokio::task::yield_now().await;
        }
    }

    /// The invariants of every second.
    async fn look(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            let error = ended.expect_err("clients do not end by themselves");
            assert!(
                error.is_cancelled(),
                "a survivor's answer was not whole: {error}"
            );
        }
        let (work, counts) = (self.scene.work().await, self.scene.control.counts());
        assert!(work.len() <= CLIENTS as usize, "{work:?}");
        for name in work {
            let name = name.rsplit_once('-').unwrap().1.parse().unwrap();
            assert!(
                self.alive.contains_key(&name),
                "{name} was killed, and is still worked for"
            );
        }
        // One step may be under way that was begun for somebody who has gone meanwhile.
        assert!(counts.open_now() <= CLIENTS + 1, "{counts:?}");
    }
}

fn sockets() -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = all.filter_map(|one| std::fs::read_link(one.unwrap().path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .count()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

async fn leased(scene: &Scene) -> Vec<String> {
    let status = scene.governor.ask(Status, PATIENCE).await.unwrap();
    let held = status.leases.iter().filter(|lease| lease.bytes.0 > 0);
    held.map(|lease| format!("{} for {}: {}", lease.owner, lease.purpose, lease.bytes))
        .collect()
}

/// Until `now` says what is wished: for what is given back behind the last answer, in tasks of its own.
async fn becomes<T: PartialEq + std::fmt::Debug>(
    what: &str,
    wished: T,
    mut now: impl AsyncFnMut() -> T,
) {
    let waiting = async {
        while now().await != wished {
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(FOR_EVER, waiting).await;
    assert!(
        waited.is_ok(),
        "{what}: {:?} instead of {wished:?}",
        now().await
    );
}

#[tokio::test]
async fn one_of_eight_clients_killed_every_second_for_a_minute_costs_the_others_nothing() {
    let metrics = Metrics::install().unwrap();
    let tasks_before = tasks();
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    // A lane has tasks of its own once its model was asked.
    assert_eq!(support::chat(scene.address, &ask("")).await.status, 200);
    let idle = (sockets(), tasks());
    let whole = tokio::sync::watch::Sender::new(0);
    let mut crowd = Crowd {
        scene: &scene,
        tasks: JoinSet::new(),
        alive: BTreeMap::new(),
        whole,
        next: 0,
    };
    for n in 0..CLIENTS {
        crowd.join(n % 2 == 0);
    }
    let mut chance = Chance(8);
    for second in 1..=KILLS {
        timeout(
            FOR_EVER,
            scene.control.wait_until(|c| c.steps >= second * SECOND),
        )
        .await
        .expect("answers go on");
        crowd.kill(&mut chance).await;
        crowd.join(chance.one_in(2));
        crowd.look().await;
    }
    // Every survivor's present answer is whole, too.
    let enough = *crowd.whole.borrow() + 2 * CLIENTS;
    let mut whole = crowd.whole.subscribe();
    timeout(FOR_EVER, whole.wait_for(|whole| *whole >= enough))
        .await
        .expect("answers go on")
        .unwrap();
    crowd.look().await;
    assert_eq!(crowd.next, CLIENTS + KILLS);
    crowd.tasks.shutdown().await;
    becomes("answers", 0, async || scene.work().await.len()).await;
    becomes("sequences", 0, async || scene.control.counts().open_now()).await;
    becomes("sockets and tasks", idle, async || (sockets(), tasks())).await;
    let none_in_flight = format!("{HTTP_IN_FLIGHT} 0");
    assert!(
        metrics.render().contains(&none_in_flight),
        "{}",
        metrics.render()
    );
    scene
        .host
        .ask(
            Unload {
                model: domain::ModelName::new("tiny"),
            },
            PATIENCE,
        )
        .await
        .unwrap();
    becomes("leases", Vec::new(), async || leased(&scene).await).await;
    scene.end().await;
    becomes("tasks at the end", tasks_before, async || tasks()).await;
}
