//! One story: several clients and two conversations, and what happens to them by chance; then all come to rest, and what
//! each knows is held against what was said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::ConversationId;
use paraphym_connection::Limits;
use paraphym_connection::replay::Bounds;
use room::Ending;
use testkit::scripted::Answer;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::dice::Dice;
use crate::player::{Order, Player};
use crate::stage::{Stage, script};
use crate::view::View;
use crate::witness::{CONVERSATIONS, Told, WITNESS};

const DEADLINE: Duration = Duration::from_secs(5);
/// Longer than anything takes to come to rest that does.
const PATIENCE: Duration = Duration::from_mins(10);

/// What came of a story.
pub struct Outcome {
    pub faults: Vec<String>,
    pub seen: BTreeSet<&'static str>,
    pub diary: Vec<String>,
    /// Turns that were answered.
    pub turns: usize,
}

struct Story {
    stage: Stage,
    dice: Dice,
    orders: Vec<mpsc::Sender<Order>>,
    players: JoinSet<Vec<String>>,
    /// Where each thing said begins to count, and how far it goes, by its nonce.
    said: BTreeMap<String, (u64, u32)>,
    faults: Vec<String>,
    seen: BTreeSet<&'static str>,
    diary: Vec<String>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Bounds that are met in some stories, and in most are not.
fn limits(dice: &mut Dice) -> Limits {
    let mut limits = Limits::default();
    if dice.percent(25) {
        limits.replay = Bounds {
            bytes: 2000,
            ..limits.replay
        };
    }
    if dice.percent(25) {
        limits.waiting_bytes = 4000;
    }
    limits
}

pub async fn tell(seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let tasks = tokio::runtime::Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let stage = Stage::start(seed, limits(&mut dice)).await;
    let mut story = Story {
        stage,
        dice,
        orders: Vec::new(),
        players: JoinSet::new(),
        said: BTreeMap::new(),
        faults: Vec::new(),
        seen: BTreeSet::new(),
        diary: Vec::new(),
    };
    story.begin().await;
    for step in 0..story.dice.below(25) + 15 {
        story.step(step).await;
    }
    let views = story.come_to_rest().await;
    story.stage.watching.shutdown().await;
    let (ended, faults) = story.stage.witness.leave();
    story.faults.extend(faults);
    story.compare(&views, &ended);
    story.is_empty().await;
    let turns = ended.values().map(Vec::len).sum();
    let report = story.stage.scene.stop().await;
    if !report.abandoned.is_empty() {
        story
            .faults
            .push(format!("abandoned: {:?}", report.abandoned));
    }
    if story.stage.control.counts().open_now() != 0 {
        story.faults.push("the model still answers".to_owned());
    }
    drop((story.stage.connections, story.stage.rooms));
    settled().await;
    let after = tasks.num_alive_tasks();
    if after > before {
        story
            .faults
            .push(format!("{} tasks are left", after - before));
    }
    Outcome {
        faults: story.faults,
        seen: story.seen,
        diary: story.diary,
        turns,
    }
}

/// What was dropped has been let go.
async fn settled() {
    sleep(ms(1)).await;
}

impl Story {
    async fn begin(&mut self) {
        for name in 0..self.dice.below(3) + 2 {
            let (to, orders) = mpsc::channel(16);
            // Two may be one person, with two windows.
            let user = ["ann", "bob", "cid", "ann"][name as usize];
            let player = Player::new(user.to_owned(), self.stage.connections.clone(), orders);
            self.players.spawn(player.live());
            self.orders.push(to);
        }
        for who in 0..self.orders.len() {
            let first = self.dice.pick(&CONVERSATIONS);
            self.order(who, Order::Join(first)).await;
        }
        sleep(ms(50)).await;
    }

    async fn order(&self, who: usize, order: Order) {
        self.orders[who].send(order).await.unwrap();
    }

    async fn step(&mut self, step: u64) {
        let who = self.dice.below(self.orders.len() as u64) as usize;
        let conversation = self.dice.pick(&CONVERSATIONS);
        let order = match self.dice.below(100) {
            0..15 => Order::Cut,
            15..38 => Order::Return,
            38..41 => Order::Forget,
            41..49 => Order::Join(conversation),
            49..54 => Order::Leave(conversation),
            54..68 => self.say(conversation, step),
            68..71 => Order::Stop(conversation),
            71..80 => Order::Type(conversation, self.dice.percent(70)),
            80..84 => Order::Slow(ms(self.dice.below(50))),
            84..88 => Order::Stall(ms(self.dice.below(100_000))),
            88..90 => Order::Mute(ms(self.dice.below(60_000))),
            90..94 => return self.kill_a_connection().await,
            94..97 => return self.kill("root/typing", "typing killed").await,
            _ => return self.kill_an_answer().await,
        };
        self.order(who, order).await;
        let long = match self.dice.below(20) {
            0..6 => 0,
            6..17 => self.dice.below(400),
            17..19 => self.dice.below(20_000),
            _ => self.dice.below(150_000),
        };
        sleep(ms(long)).await;
    }

    fn say(&mut self, conversation: &'static str, step: u64) -> Order {
        let dial = self.dice.below(1000);
        let nonce = format!("n{step}");
        self.said.insert(nonce.clone(), script(dial));
        Order::Say {
            conversation,
            nonce,
            dial,
        }
    }

    async fn kill(&mut self, path: &str, word: &'static str) {
        self.diary.push(format!("{path} is killed"));
        let admin = self.stage.scene.root().administration();
        // It may just have ended.
        if admin.kill(path, DEADLINE).await.is_ok() {
            self.seen.insert(word);
        }
    }

    async fn kill_a_connection(&mut self) {
        let all = self.children("root/connection_supervisor").await;
        if !all.is_empty() {
            let at = self.dice.below(all.len() as u64) as usize;
            self.kill(&all[at], "connection killed").await;
        }
    }

    async fn kill_an_answer(&mut self) {
        let all = self.children("root/room_supervisor").await;
        if let Some(first) = all.first() {
            self.kill(first, "answer killed").await;
        }
    }

    async fn children(&self, path: &str) -> Vec<String> {
        let tree = self.stage.scene.supervisor().topology(DEADLINE).await;
        let paths = tree.nodes().map(|node| node.info.child.as_str());
        let within =
            paths.filter(|one| one.strip_prefix(path).is_some_and(|rest| !rest.is_empty()));
        within.map(str::to_owned).collect()
    }

    /// Everybody is there and has heard everything; every answer has ended, and nobody types. What each knows.
    async fn come_to_rest(&mut self) -> Vec<View> {
        let mut settling = JoinSet::new();
        for who in 0..self.orders.len() {
            let (reply, settled) = oneshot::channel();
            self.order(who, Order::Settle(&CONVERSATIONS, reply)).await;
            settling.spawn(settled);
        }
        let begun = Instant::now();
        while !settling.is_empty() && begun.elapsed() < PATIENCE {
            sleep(ms(100)).await;
            while settling.try_join_next().is_some() {}
        }
        if !settling.is_empty() {
            self.faults
                .push(format!("{} did not settle", settling.len()));
        }
        let runs = |of: &str| {
            !self
                .stage
                .rooms
                .look(&ConversationId::new(of))
                .turns()
                .is_empty()
        };
        while CONVERSATIONS.iter().any(|of| runs(of)) && begun.elapsed() < PATIENCE {
            sleep(ms(100)).await;
        }
        sleep(typing::EXPIRY + Duration::from_secs(1)).await;
        let mut views = Vec::new();
        let members: Vec<BTreeSet<String>> =
            CONVERSATIONS.iter().map(|of| self.members(of)).collect();
        for who in 0..self.orders.len() {
            let (reply, view) = oneshot::channel();
            self.order(who, Order::Look(reply)).await;
            match timeout(PATIENCE, view).await {
                Ok(Ok(view)) => views.push(view),
                _ => self.faults.push(format!("client {who} does not answer")),
            }
        }
        for who in 0..self.orders.len() {
            let politely = self.dice.percent(50);
            self.order(who, Order::End(politely)).await;
        }
        self.orders.clear();
        while let Some(diary) = self.players.join_next().await {
            self.diary.extend(diary.unwrap_or_default());
        }
        self.present(&views, &members);
        views
    }

    fn members(&self, conversation: &str) -> BTreeSet<String> {
        let room = self.stage.rooms.look(&ConversationId::new(conversation));
        room.members()
            .map(|one| one.connection.to_string())
            .collect()
    }

    /// All know who is there.
    fn present(&mut self, views: &[View], members: &[BTreeSet<String>]) {
        for (conversation, members) in CONVERSATIONS.iter().zip(members) {
            for view in views {
                let known = view.rooms.get(*conversation).map(|room| &room.members);
                if known != Some(members) {
                    self.faults.push(format!(
                        "{conversation} has {members:?}, known are {known:?}"
                    ));
                }
            }
        }
    }

    fn compare(&mut self, views: &[View], ended: &BTreeMap<String, Vec<Told>>) {
        for view in views {
            self.faults.extend(view.faults.iter().cloned());
            self.seen.extend(view.seen.iter());
        }
        let mut nonces = BTreeSet::new();
        for (conversation, told) in ended
            .iter()
            .flat_map(|(of, all)| all.iter().map(move |one| (of, one)))
        {
            if !nonces.insert(told.nonce.clone()) {
                self.faults
                    .push(format!("{} was answered twice", told.nonce));
            }
            self.is_whole(told);
            for (who, view) in views.iter().enumerate() {
                let known = view
                    .rooms
                    .get(conversation)
                    .and_then(|room| room.text(&told.turn));
                if known != Some(&told.text) {
                    let fault = format!("client {who} has {known:?} of {told:?}");
                    self.faults.push(fault);
                }
                let turn = view.turns.get(&told.nonce);
                if turn.is_some_and(|turn| *turn != told.turn) {
                    self.faults
                        .push(format!("client {who}: {turn:?} is {told:?}"));
                }
            }
        }
        for nonce in self.said.keys().filter(|nonce| !nonces.contains(*nonce)) {
            self.faults.push(format!("{nonce} was never answered"));
        }
        for room in views.iter().flat_map(|view| view.rooms.values()) {
            if !room.typing.is_empty() || !room.live.is_empty() {
                self.faults.push(format!("at rest: {room:?}"));
            }
        }
    }

    /// An answer that is complete is all that the model says; another one is how that begins.
    fn is_whole(&mut self, told: &Told) {
        let Some((seed, tokens)) = self.said.get(&told.nonce) else {
            return self.faults.push(format!("nobody said {}", told.nonce));
        };
        let whole = Answer::counting(*seed, *tokens);
        let fits = match told.ending {
            Ending::Finished { .. } => told.text == whole,
            Ending::Stopped | Ending::Failed(_) => whole.starts_with(&told.text),
        };
        if !fits {
            self.faults.push(format!("{told:?} is not {whole:?}"));
        }
    }

    /// All have gone: nothing is left of them once nobody believes that they come back.
    async fn is_empty(&mut self) {
        sleep(Duration::from_secs(121)).await;
        let count = self.stage.connections.count();
        if count > 0 {
            self.faults.push(format!("{count} sessions are left"));
        }
        for of in CONVERSATIONS {
            let members = self.members(of);
            if !members.is_empty() {
                self.faults
                    .push(format!("{members:?} sit in {of} ({WITNESS} has left)"));
            }
        }
        let typing = self
            .stage
            .typing
            .ask(typing::Status, DEADLINE)
            .await
            .unwrap();
        if (typing.typing, typing.watched) != (0, 0) {
            self.faults.push(format!("{typing:?}"));
        }
        if typing.tally.began != typing.tally.ended {
            self.seen.insert("typists lost with a life of typing");
        }
        for path in ["root/room_supervisor", "root/connection_supervisor"] {
            let all = self.children(path).await;
            if !all.is_empty() {
                self.faults.push(format!("{all:?} are left"));
            }
        }
    }
}
