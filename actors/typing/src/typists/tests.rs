//! Who types where: tables, and whatever they do against the plainest list.

use proptest::prelude::*;

use super::*;

fn key(conversation: &str, user: &str) -> Key {
    Key {
        conversation: ConversationId::new(conversation),
        user: UserId::new(user),
    }
}

fn client(name: &str) -> ConnectionId {
    ConnectionId::new(name)
}

fn names(typists: &Typists, conversation: &str, now: Instant) -> Vec<String> {
    let all = typists.typing(&ConversationId::new(conversation), now);
    all.iter().map(ToString::to_string).collect()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ended(key: Key, cause: Cause, after: Duration) -> Edge {
    let what = Turned::Ended { cause, after };
    Edge { key, what }
}

#[test]
fn a_keystroke_more_is_no_edge_and_the_whole_time_counts() {
    let t0 = Instant::now();
    let mut typists = Typists::new(EXPIRY);
    let ann = key("c", "ann");
    let began = typists.typed(ann.clone(), client("1"), t0).unwrap();
    assert_eq!(began.map(|edge| edge.what), Some(Turned::Began));
    for second in 1..30 {
        let more = typists.typed(ann.clone(), client("1"), t0 + secs(second));
        assert_eq!(more, Ok(None));
    }
    let over = typists.stopped(&ann, &client("1"), t0 + secs(31));
    assert_eq!(over, Some(ended(ann.clone(), Cause::Stopped, secs(31))));
    assert_eq!(typists.stopped(&ann, &client("1"), t0 + secs(32)), None);
    assert_eq!((typists.count(), typists.deadline()), (0, None));
}

#[test]
fn who_falls_silent_is_gone_at_the_deadline_and_not_before_even_if_nobody_looks() {
    let t0 = Instant::now();
    let mut typists = Typists::new(secs(10));
    let ann = key("c", "ann");
    typists.typed(ann.clone(), client("1"), t0).unwrap();
    typists
        .typed(ann.clone(), client("1"), t0 + secs(4))
        .unwrap();
    assert_eq!(typists.deadline(), Some(t0 + secs(14)));
    let just_before = t0 + secs(14) - Duration::from_nanos(1);
    assert!(typists.expire(just_before).is_empty());
    assert_eq!(names(&typists, "c", just_before), ["ann"]);
    assert!(names(&typists, "c", t0 + secs(14)).is_empty());
    // Looked at late: they typed until the deadline.
    let late = typists.expire(t0 + secs(60));
    assert_eq!(late, [ended(ann, Cause::Expired, secs(14))]);
}

#[test]
fn two_windows_of_one_person_are_one_person_and_one_that_closes_does_not_end_it() {
    let t0 = Instant::now();
    let mut typists = Typists::new(EXPIRY);
    let ann = key("c", "ann");
    typists.typed(ann.clone(), client("1"), t0).unwrap();
    let second = typists.typed(ann.clone(), client("2"), t0 + secs(1));
    assert_eq!((second, typists.count()), (Ok(None), 1));
    assert!(typists.left(&client("1"), t0 + secs(2)).is_empty());
    let over = typists.left(&client("2"), t0 + secs(3));
    assert_eq!(over, [ended(ann, Cause::Left, secs(3))]);
    assert!(typists.left(&client("2"), t0 + secs(3)).is_empty());
}

#[test]
fn who_leaves_ends_everywhere_and_nobody_else_does() {
    let t0 = Instant::now();
    let mut typists = Typists::new(EXPIRY);
    for (conversation, user, of) in [("a", "ann", "1"), ("b", "ann", "1"), ("a", "bob", "2")] {
        typists
            .typed(key(conversation, user), client(of), t0)
            .unwrap();
    }
    assert_eq!(typists.left(&client("1"), t0).len(), 2);
    assert_eq!(names(&typists, "a", t0), ["bob"]);
    assert!(names(&typists, "b", t0).is_empty());
}

#[test]
fn ids_with_separators_in_them_are_not_mixed_up() {
    let t0 = Instant::now();
    let mut typists = Typists::new(EXPIRY);
    typists.typed(key("a:b", "c"), client("1"), t0).unwrap();
    typists.typed(key("a", "b:c"), client("1"), t0).unwrap();
    assert_eq!(typists.count(), 2);
    typists.stopped(&key("a:b", "c"), &client("1"), t0);
    assert_eq!(names(&typists, "a", t0), ["b:c"]);
}

#[test]
fn a_lease_has_no_deadline_and_ends_when_it_is_given_back() {
    let t0 = Instant::now();
    let mut typists = Typists::new(secs(1));
    let agent = key("c", "assistant");
    typists.lend(agent.clone(), 7, t0).unwrap();
    assert!(typists.expire(t0 + secs(86_400)).is_empty());
    assert_eq!(typists.leases().collect::<Vec<_>>(), [7]);
    let over = typists.returned(7, t0 + secs(90_000));
    assert_eq!(over, Some(ended(agent, Cause::Returned, secs(90_000))));
    assert_eq!(typists.returned(7, t0 + secs(90_000)), None);
    assert_eq!(typists.leases().count(), 0);
}

#[test]
fn another_expiry_holds_for_those_who_type_already() {
    let t0 = Instant::now();
    let mut typists = Typists::new(secs(10));
    typists.typed(key("c", "ann"), client("1"), t0).unwrap();
    typists
        .typed(key("c", "bob"), client("2"), t0 + secs(5))
        .unwrap();
    typists.set_expiry(secs(6));
    let gone = typists.expire(t0 + secs(7));
    assert_eq!(gone, [ended(key("c", "ann"), Cause::Expired, secs(6))]);
    assert_eq!(typists.deadline(), Some(t0 + secs(11)));
    typists.set_expiry(secs(60));
    assert_eq!(typists.deadline(), Some(t0 + secs(65)));
    // The next word moves the deadline, and leaves none of the old ones behind.
    typists
        .typed(key("c", "bob"), client("2"), t0 + secs(9))
        .unwrap();
    typists.stopped(&key("c", "bob"), &client("2"), t0 + secs(9));
    assert_eq!(typists.deadline(), None);
}

#[test]
fn what_may_be_set_is_between_a_second_and_two_minutes() {
    for (expiry, fits) in [
        (Duration::ZERO, false),
        (Duration::from_millis(999), false),
        (EXPIRY_MIN, true),
        (EXPIRY, true),
        (EXPIRY_MAX, true),
        (EXPIRY_MAX + Duration::from_nanos(1), false),
        (Duration::MAX, false),
    ] {
        let checked = check(expiry);
        assert_eq!(checked.is_ok(), fits, "{expiry:?}");
        if let Err(error) = checked {
            let said = error.to_string();
            assert!(
                said.contains("expiry") && said.contains("1s to 2m"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_full_conversation_takes_nobody_more_and_loses_nobody() {
    let t0 = Instant::now();
    let mut typists = Typists::new(EXPIRY);
    for number in 0..IN_ONE {
        let user = format!("{number:03}");
        typists.typed(key("c", &user), client(&user), t0).unwrap();
    }
    let refused = typists.typed(key("c", "late"), client("late"), t0);
    assert_eq!(refused, Err(Refused::Conversation));
    assert_eq!(typists.typed(key("c", "007"), client("007"), t0), Ok(None));
    assert_eq!(typists.count(), IN_ONE);
    assert!(typists.left(&client("late"), t0).is_empty());
    typists.stopped(&key("c", "007"), &client("007"), t0);
    assert!(typists.typed(key("c", "late"), client("late"), t0).is_ok());
}

/// What one of them may do.
#[derive(Clone, Copy, Debug)]
enum Step {
    Typed(u8, u8, u8),
    Stopped(u8, u8, u8),
    Left(u8),
    Lend(u8, u8, u64),
    Returned(u64),
    Expire,
    Expiry(u64),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let one = || (0..3u8, 0..3u8, 0..4u8);
    let step = prop_oneof![
        6 => one().prop_map(|(c, u, by)| Step::Typed(c, u, by)),
        2 => one().prop_map(|(c, u, by)| Step::Stopped(c, u, by)),
        1 => (0..4u8).prop_map(Step::Left),
        1 => (0..3u8, 0..3u8, 0..3u64).prop_map(|(c, u, lease)| Step::Lend(c, u, lease)),
        1 => (0..3u64).prop_map(Step::Returned),
        2 => Just(Step::Expire),
        1 => (1..20u64).prop_map(Step::Expiry),
        6 => (0..9u64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..80)
}

/// The plainest way to say the same: who said what, when, in one list.
#[derive(Default)]
struct Plain {
    said: Vec<(Key, Holder, Option<Instant>)>,
}

impl Plain {
    fn put(&mut self, key: Key, holder: Holder, said: Option<Instant>) {
        self.said.retain(|(k, h, _)| (k, h) != (&key, &holder));
        self.said.push((key, holder, said));
    }

    fn typing(&self, conversation: &str, expiry: Duration, now: Instant) -> Vec<String> {
        let believed = self.said.iter().filter(|(key, _, said)| {
            key.conversation.as_str() == conversation && said.is_none_or(|said| said + expiry > now)
        });
        let mut users: Vec<String> = believed.map(|(key, ..)| key.user.to_string()).collect();
        users.sort();
        users.dedup();
        users
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever they do, who types is what the plain list says; each beginning has one end, and the times between them
    /// add up.
    #[test]
    fn it_is_what_a_plain_list_of_words_says(steps in steps()) {
        let mut now = Instant::now();
        let mut expiry = secs(5);
        let (mut typists, mut plain) = (Typists::new(expiry), Plain::default());
        let mut open: BTreeMap<Key, Instant> = BTreeMap::new();
        for step in steps {
            let who = |c: u8, u: u8| key(&format!("c{c}"), &format!("u{u}"));
            // As the actor does it: what is over is over before anything else happens.
            let mut edges = typists.expire(now);
            plain.said.retain(|(.., said)| said.is_none_or(|said| said + expiry > now));
            match step {
                Step::Typed(c, u, by) => {
                    let by = client(&by.to_string());
                    edges.extend(typists.typed(who(c, u), by.clone(), now).unwrap());
                    plain.put(who(c, u), Holder::Connection(by), Some(now));
                }
                Step::Stopped(c, u, by) => {
                    let by = client(&by.to_string());
                    edges.extend(typists.stopped(&who(c, u), &by, now));
                    let holder = Holder::Connection(by);
                    plain.said.retain(|(k, h, _)| (k, h) != (&who(c, u), &holder));
                }
                Step::Left(by) => {
                    let by = client(&by.to_string());
                    edges.extend(typists.left(&by, now));
                    let holder = Holder::Connection(by);
                    plain.said.retain(|(_, h, _)| h != &holder);
                }
                Step::Lend(c, u, lease) => {
                    if typists.leases().all(|out| out != lease) {
                        edges.extend(typists.lend(who(c, u), lease, now).unwrap());
                        plain.put(who(c, u), Holder::Lease(lease), None);
                    }
                }
                Step::Returned(lease) => {
                    edges.extend(typists.returned(lease, now));
                    plain.said.retain(|(_, h, _)| h != &Holder::Lease(lease));
                }
                Step::Expire => {}
                Step::Expiry(long) => {
                    expiry = secs(long);
                    typists.set_expiry(expiry);
                }
                Step::Wait(long) => now += secs(long),
            }
            for edge in edges {
                match edge.what {
                    Turned::Began => prop_assert!(open.insert(edge.key, now).is_none()),
                    Turned::Ended { after, .. } => {
                        let since = open.remove(&edge.key);
                        prop_assert!(since.is_some_and(|since| since + after <= now));
                    }
                }
            }
            for conversation in ["c0", "c1", "c2"] {
                let seen = names(&typists, conversation, now);
                prop_assert_eq!(seen, plain.typing(conversation, expiry, now));
            }
            prop_assert_eq!(open.len(), typists.count());
            prop_assert_eq!(typists.held, plain.said.len());
            let connections = plain.said.iter().filter(|(.., said)| said.is_some()).count();
            prop_assert_eq!(typists.deadlines.len(), connections);
            let kept: usize = typists.of_connections.values().map(BTreeSet::len).sum();
            prop_assert_eq!(kept, connections);
        }
    }
}
