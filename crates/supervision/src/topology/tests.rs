//! What a snapshot shows of a tree that is made up, so that every kind of child is in it.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::admin::{Command, Commands, Control, Survey};
use crate::exit::ChildState;
use crate::names::ChildId;
use crate::policy::{Kind, Restart};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn actor(path: &str) -> TopologyNode {
    let (_, id) = path.rsplit_once('/').unwrap_or(("", path));
    TopologyNode {
        info: ChildInfo {
            id: ChildId::new(id),
            child: ChildPath::root(&ChildId::new(path)),
            state: ChildState::Up,
            health: Health::Up,
            kind: Kind::Worker,
            dynamic: false,
            paused: false,
            restart: Restart::Permanent,
            incarnation: 1,
            restarts: 0,
            depth: 0,
            capacity: 16,
            handled: 0,
            handling: None,
            current: None,
            handler_budget: Some(secs(10)),
            work: Vec::new(),
            last_error: None,
            down: None,
            uptime: Some(Duration::from_millis(2150)),
        },
        strategy: None,
        children: Vec::new(),
        children_unknown: None,
    }
}

fn task(path: &str) -> TopologyNode {
    let mut node = actor(path);
    node.info.capacity = 0;
    node
}

fn supervisor(path: &str, strategy: Strategy, children: Vec<TopologyNode>) -> TopologyNode {
    let mut node = task(path);
    node.info.kind = Kind::Supervisor;
    node.strategy = Some(strategy);
    node.children = children;
    node
}

/// The tree of the documentation.
fn tree() -> Topology {
    let mut counter = actor("root/counter");
    counter.info.incarnation = 2;
    counter.info.restarts = 1;
    counter.info.last_error = Some("1000 is too much for me".to_owned());
    let mut stuck = actor("root/agents/worker-1");
    stuck.info.health = Health::Stuck;
    (stuck.info.depth, stuck.info.capacity) = (3, 8);
    stuck.info.current = Some(("Generate".to_owned(), secs(12)));
    let mut resting = actor("root/agents/worker-2");
    resting.info.health = Health::BackingOff;
    resting.info.state = ChildState::BackingOff;
    (resting.info.depth, resting.info.capacity) = (1, 8);
    (resting.info.incarnation, resting.info.restarts) = (3, 2);
    resting.info.last_error = Some("connection refused".to_owned());
    resting.info.uptime = None;
    let mut listener = task("root/listener");
    listener.info.work = vec!["127.0.0.1:8080".to_owned()];
    let agents = vec![stuck, resting];
    let agents = supervisor("root/agents", Strategy::RestForOne, agents);
    let children = vec![counter, agents, listener];
    Topology {
        top: supervisor("root", Strategy::OneForOne, children),
    }
}

#[test]
fn a_tree_is_drawn_with_one_line_per_child_in_columns() {
    let expected = "\
root          up           one_for_one, up 2.1 s
  counter     up           queue 0/16, up 2.1 s, life 2, 1 restart, last error: 1000 is too much for me
  agents      up           rest_for_one, up 2.1 s
    worker-1  stuck        queue 3/8, up 2.1 s, handling Generate for 12 s (budget 10 s)
    worker-2  backing_off  queue 1/8, life 3, 2 restarts, last error: connection refused
  listener    up           task, up 2.1 s, work: 127.0.0.1:8080";
    assert_eq!(tree().to_string(), expected);
}

#[test]
fn what_children_say_in_several_lines_is_cut_to_one() {
    let mut tree = tree();
    tree.top.children.truncate(1);
    tree.top.children[0].info.last_error = Some("first\nsecond\nthird".to_owned());
    tree.top.children[0].info.work = vec!["a\nb".to_owned(), "c".to_owned()];
    let drawn = tree.to_string();
    assert_eq!(drawn.lines().count(), 2, "{drawn}");
    assert!(
        drawn.ends_with("work: a …; c, last error: first …"),
        "{drawn}"
    );
}

#[test]
fn a_long_name_moves_only_its_own_line() {
    let mut tree = tree();
    let long = "n".repeat(200);
    tree.top.children[0].info.id = ChildId::new(&long);
    let drawn = tree.to_string();
    let columns: Vec<_> = drawn
        .lines()
        .filter(|line| !line.contains(&long))
        .map(|line| line.find("up ").or_else(|| line.find("stuck")))
        .collect();
    assert_eq!(columns[0], Some(50), "{drawn}");
}

#[test]
fn nodes_come_depth_first_in_start_order() {
    let tree = tree();
    let ids: Vec<_> = tree.nodes().map(|node| node.info.id.as_str()).collect();
    let expected = [
        "root", "counter", "agents", "worker-1", "worker-2", "listener",
    ];
    assert_eq!(ids, expected);
    let path = ChildPath::root(&ChildId::new("root/agents/worker-2"));
    let found = tree.find(&path).expect("it is there");
    assert_eq!(found.health(), Health::BackingOff);
}

#[test]
fn unhealthy_are_those_neither_up_nor_quietly_down() {
    let down = |reason: Option<DownReason>| {
        let mut node = actor("root/a");
        (node.info.health, node.info.state) = (Health::Down, ChildState::Down);
        node.info.down = reason;
        node
    };
    let with = |health: Health| {
        let mut node = actor("root/a");
        node.info.health = health;
        node
    };
    let mut mute = supervisor("root/a", Strategy::OneForOne, Vec::new());
    mute.children_unknown = Some(ChildrenUnknown::Busy);
    let table = [
        (with(Health::Up), true),
        (with(Health::Starting), false),
        (with(Health::BackingOff), false),
        (with(Health::Stuck), false),
        (with(Health::Draining), false),
        (mute, false),
        (down(None), true),
        (down(Some(DownReason::Stopped)), true),
        (down(Some(DownReason::Finished)), true),
        (down(Some(DownReason::Ignored)), true),
        (down(Some(DownReason::Orphaned)), false),
        (down(Some(DownReason::StartFailed("x".to_owned()))), false),
        (down(Some(DownReason::Crashed("x".to_owned()))), false),
        (down(Some(DownReason::Escalated("x".to_owned()))), false),
    ];
    for (node, well) in table {
        let top = supervisor("root", Strategy::OneForOne, vec![node.clone()]);
        let tree = Topology { top };
        let unhealthy: Vec<_> = tree.unhealthy().collect();
        let expected: Vec<&TopologyNode> = if well { vec![] } else { vec![&node] };
        assert_eq!(unhealthy, expected);
    }
}

#[test]
fn why_children_are_unknown_is_part_of_the_line() {
    let mut tree = tree();
    tree.top.children.clear();
    let deadline = Duration::from_millis(1500);
    tree.top.children_unknown = Some(ChildrenUnknown::NoAnswer { deadline });
    let expected = "root  up           one_for_one, up 2.1 s, children unknown: it did not answer within 1.5 s";
    assert_eq!(tree.to_string(), expected);
}

#[test]
fn times_are_told_in_one_unit() {
    let table = [
        (Duration::ZERO, "0 ms"),
        (Duration::from_millis(999), "999 ms"),
        (Duration::from_millis(1999), "1.9 s"),
        (secs(10), "10 s"),
        (secs(119), "119 s"),
        (secs(120), "2 min"),
        (secs(7199), "119 min"),
        (secs(7200), "2 h"),
        (secs(2 * 86_400), "2 d"),
    ];
    for (time, told) in table {
        assert_eq!(show::human(time), told);
    }
}

// ---- asking supervisors that are made up, because real ones always answer

fn place(id: &str) -> Arc<Control> {
    Arc::new(Control::new(&ChildId::new(id)))
}

/// A child that is a supervisor, with its place.
fn below(path: &str, place: &Arc<Control>) -> (ChildInfo, Option<Arc<Control>>) {
    let node = supervisor(path, Strategy::OneForOne, Vec::new());
    (node.info, Some(place.clone()))
}

/// Answers every question for the tree with these children.
async fn answer(mut commands: Commands, children: Vec<(ChildInfo, Option<Arc<Control>>)>) {
    while let Some(Command::Survey { reply }) = commands.next().await {
        let survey = Survey {
            incarnation: 1,
            uptime: None,
            children: children.clone(),
        };
        assert!(reply.send(survey).is_ok(), "somebody waits");
    }
}

fn paths(tree: &Topology) -> Vec<&str> {
    tree.nodes().map(|node| node.info.child.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_hides_only_what_is_below_it_and_costs_no_more_than_the_deadline()
{
    let [root, mute, fine, deep] = ["root", "mute", "fine", "deep"].map(place);
    let mut lives = JoinSet::new();
    let children = vec![below("root/mute", &mute), below("root/fine", &fine)];
    lives.spawn(answer(root.commands(), children));
    let _mute_but_alive = mute.commands();
    lives.spawn(answer(
        fine.commands(),
        vec![below("root/fine/deep", &deep)],
    ));
    let leaf = (actor("root/fine/deep/leaf").info, None);
    lives.spawn(answer(deep.commands(), vec![leaf]));
    let begun = Instant::now();
    let tree = ask_tree(&root, secs(3)).await;
    assert!(begun.elapsed() >= secs(3) && begun.elapsed() < secs(4));
    let expected = [
        "root",
        "root/mute",
        "root/fine",
        "root/fine/deep",
        "root/fine/deep/leaf",
    ];
    assert_eq!(paths(&tree), expected);
    let unknown: Vec<_> = tree.nodes().map(|node| node.children_unknown).collect();
    let deadline = secs(3);
    let late = Some(ChildrenUnknown::NoAnswer { deadline });
    assert_eq!(unknown, [None, late, None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn one_whose_queue_is_full_is_not_waited_for() {
    let root = place("root");
    let _alive = root.commands();
    let mut answers = Vec::new();
    loop {
        let (reply, answer) = tokio::sync::oneshot::channel();
        if !root.survey(reply) {
            break;
        }
        answers.push(answer);
    }
    let begun = Instant::now();
    let tree = ask_tree(&root, secs(3)).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(tree.top.children_unknown, Some(ChildrenUnknown::Busy));
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_with_the_question_unanswered_is_shown_as_it_ended() {
    let root = place("root");
    let commands = root.commands();
    let mut lives = JoinSet::new();
    let place = root.clone();
    lives.spawn(async move {
        tokio::time::sleep(secs(1)).await;
        place.down();
        drop(commands);
    });
    let begun = Instant::now();
    let tree = ask_tree(&root, secs(3)).await;
    assert!(begun.elapsed() < secs(2));
    assert_eq!(tree.top.children_unknown, Some(ChildrenUnknown::Down));
}

#[tokio::test(start_paused = true)]
async fn the_longest_deadline_is_one_too() {
    let root = place("root");
    let mut lives = JoinSet::new();
    lives.spawn(answer(root.commands(), Vec::new()));
    let tree = ask_tree(&root, Duration::MAX).await;
    assert_eq!(paths(&tree), ["root"]);
}
