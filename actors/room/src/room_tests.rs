//! Whoever has seen a room and each event since knows the room; what is under way ends once; the same said again is said once.

use domain::{FinishReason, GenerationError, ToolCall, ToolCallId, TurnError, Usage};
use proptest::prelude::*;

use super::*;

fn member(connection: &str, user: &str) -> Member {
    Member {
        connection: ConnectionId::new(connection),
        user: UserId::new(user),
        since_ms: 7,
    }
}

fn question(turn: &str, nonce: &str) -> Question {
    Question {
        turn: RequestId::new(turn),
        by: UserId::new("ann"),
        text: "why?".into(),
        nonce: nonce.into(),
        model: ModelName::new("m"),
        at_ms: 7,
    }
}

fn turn(name: &str) -> RequestId {
    RequestId::new(name)
}

fn finished() -> TurnEvent {
    TurnEvent::Finished {
        reason: FinishReason::Stop,
        usage: Usage::default(),
    }
}

#[test]
fn a_window_more_is_a_member_more_and_the_same_one_is_not() {
    let mut room = Room::default();
    let one = member("1", "ann");
    assert_eq!(
        room.join(one.clone()),
        Ok(Some(RoomEvent::Joined(one.clone())))
    );
    assert_eq!(room.join(one), Ok(None));
    assert!(room.join(member("2", "ann")).unwrap().is_some());
    assert_eq!(room.members().count(), 2);
    let gone = ConnectionId::new("1");
    assert_eq!(room.leave(&gone), Some(RoomEvent::Left(gone.clone())));
    assert_eq!(room.leave(&gone), None);
    assert!(!room.is_idle());
    room.leave(&ConnectionId::new("2"));
    assert!(room.is_idle());
}

#[test]
fn an_answer_says_what_it_does_then_its_pieces_then_its_end() {
    let mut room = Room::default();
    assert!(matches!(
        room.ask(question("t", "n")),
        Ok(Asked::New(RoomEvent::Began(_)))
    ));
    let call = ToolCall {
        id: ToolCallId::new("c"),
        name: "clock".into(),
        arguments: "{}".into(),
    };
    for (event, activity) in [
        (TurnEvent::Queued { position: 3 }, Activity::Queued(3)),
        (
            TurnEvent::Loading { fraction: 0.509 },
            Activity::Loading(50),
        ),
        (
            TurnEvent::Prefill { done: 1, total: 3 },
            Activity::Prefill(33),
        ),
        (
            TurnEvent::ToolStarted { call },
            Activity::Tool("clock".into()),
        ),
    ] {
        let turn = turn("t");
        let heard = room.hear(&turn, event.clone());
        assert_eq!(
            heard,
            Some(RoomEvent::Does {
                turn: turn.clone(),
                activity
            })
        );
        assert_eq!(room.hear(&turn, event), None, "no change is no event");
    }
    for (text, at) in [("Hé", 0), ("llo", 2)] {
        let heard = room.hear(&turn("t"), TurnEvent::Text(text.into()));
        let (turn, text) = (turn("t"), text.to_owned());
        assert_eq!(heard, Some(RoomEvent::Text { turn, at, text }));
    }
    assert_eq!(room.turns()[0].activity, Activity::Typing);
    let over = room.hear(&turn("t"), finished());
    assert!(matches!(over, Some(RoomEvent::Ended { text, .. }) if text == "Héllo"));
    assert_eq!(room.hear(&turn("t"), finished()), None, "it ends once");
    assert_eq!(room.hear(&turn("t"), TurnEvent::Text("x".into())), None);
    assert!(room.is_idle());
}

#[test]
fn each_end_is_told_as_what_it_is() {
    let cancelled = TurnError::from(GenerationError::Cancelled);
    let spent = TurnError::MaxTurns { max_turns: 3 };
    for (error, expected) in [
        (cancelled, Ending::Stopped),
        (spent.clone(), Ending::Failed(spent.to_string())),
    ] {
        let mut room = Room::default();
        room.ask(question("t", "n")).unwrap();
        let over = room.hear(&turn("t"), TurnEvent::Failed(error));
        assert!(matches!(over, Some(RoomEvent::Ended { ending, .. }) if ending == expected));
    }
}

#[test]
fn the_same_said_again_is_said_once_even_after_its_answer() {
    let mut room = Room::default();
    room.ask(question("t", "n")).unwrap();
    assert_eq!(room.ask(question("u", "n")), Ok(Asked::Again(turn("t"))));
    room.hear(&turn("t"), finished());
    assert_eq!(room.ask(question("v", "n")), Ok(Asked::Again(turn("t"))));
    // Somebody else may use the same name.
    let other = Question {
        by: UserId::new("bob"),
        ..question("w", "n")
    };
    assert!(matches!(room.ask(other), Ok(Asked::New(_))));
    // What could not be handed on was not said.
    let refused = room.refused(&turn("w"), "no".into());
    assert!(matches!(
        refused,
        Some(RoomEvent::Ended {
            ending: Ending::Failed(_),
            ..
        })
    ));
    let again = Question {
        by: UserId::new("bob"),
        ..question("x", "n")
    };
    assert!(matches!(room.ask(again), Ok(Asked::New(_))));
}

#[test]
fn too_much_is_refused_and_what_was_taken_is_not() {
    let mut room = Room::default();
    for number in 0..TURNS {
        let name = number.to_string();
        assert!(matches!(
            room.ask(question(&name, &name)),
            Ok(Asked::New(_))
        ));
    }
    assert_eq!(
        room.ask(question("late", "late")),
        Err(RoomError::TooManyTurns)
    );
    assert_eq!(room.ask(question("late", "3")), Ok(Asked::Again(turn("3"))));
    room.end(&turn("0"), Ending::Stopped);
    assert!(room.ask(question("late", "late")).is_ok());
    for number in 0..MEMBERS {
        room.join(member(&number.to_string(), "ann")).unwrap();
    }
    assert_eq!(
        room.join(member("late", "ann")),
        Err(RoomError::TooManyMembers)
    );
    assert_eq!(room.join(member("7", "ann")), Ok(None));
}

#[test]
fn what_is_remembered_of_questions_is_bounded() {
    let mut room = Room::default();
    for number in 0..REMEMBERED * 3 {
        let name = number.to_string();
        room.ask(question(&name, &name)).unwrap();
        room.end(&turn(&name), Ending::Stopped);
    }
    assert_eq!(room.said.len(), REMEMBERED);
}

/// What a viewer makes of what it hears.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    members: Vec<String>,
    turns: Vec<LiveTurn>,
}

impl Seen {
    fn of(room: &Room) -> Self {
        Self {
            members: room
                .members()
                .map(|one| one.connection.to_string())
                .collect(),
            turns: room.turns().to_vec(),
        }
    }

    fn hear(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::Joined(member) => {
                self.members.push(member.connection.to_string());
                self.members.sort();
            }
            RoomEvent::Left(connection) => self.members.retain(|one| *one != connection.as_str()),
            RoomEvent::Began(live) => self.turns.push(live),
            RoomEvent::Does { turn, activity } => self.live(&turn).activity = activity,
            RoomEvent::Text { turn, at, text } => {
                let live = self.live(&turn);
                assert_eq!(live.chars, at, "a piece is missing");
                live.chars += text.chars().count() as u64;
                live.text.push_str(&text);
                live.activity = Activity::Typing;
            }
            RoomEvent::Ended { turn, text, .. } => {
                assert_eq!(self.live(&turn).text, text);
                self.turns.retain(|live| live.question.turn != turn);
            }
            RoomEvent::Kept { turn, .. } => {
                assert!(
                    self.turns.iter().all(|live| live.question.turn != turn),
                    "it is told behind the end"
                );
            }
        }
    }

    fn live(&mut self, turn: &RequestId) -> &mut LiveTurn {
        self.turns
            .iter_mut()
            .find(|live| live.question.turn == *turn)
            .unwrap()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8),
    Leave(u8),
    Ask(u8),
    Does(u8, u8),
    Text(u8, String),
    End(u8),
    Refused(u8),
    Kept(u8),
    /// A viewer comes, and sees the room as it is.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0u8..6).prop_map(Step::Join),
        1 => (0u8..6).prop_map(Step::Leave),
        3 => (0u8..9).prop_map(Step::Ask),
        2 => (0u8..9, 0u8..101).prop_map(|(turn, done)| Step::Does(turn, done)),
        5 => (0u8..9, "[a-zé]{1,3}").prop_map(|(turn, text)| Step::Text(turn, text)),
        2 => (0u8..9).prop_map(Step::End),
        1 => (0u8..9).prop_map(Step::Refused),
        2 => (0u8..9).prop_map(Step::Kept),
        1 => Just(Step::Look),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whoever_saw_it_and_each_event_since_knows_it(steps in steps()) {
        let mut room = Room::default();
        let mut viewers = vec![Seen::default()];
        for (at, step) in steps.into_iter().enumerate() {
            let name = |turn: u8| turn.to_string();
            let event = match step {
                Step::Join(one) => room.join(member(&name(one), "ann")).unwrap(),
                Step::Leave(one) => room.leave(&ConnectionId::new(name(one))),
                Step::Ask(one) => match room.ask(question(&name(one), &at.to_string())) {
                    // A turn's name is never used again.
                    Ok(Asked::New(event)) if room.turns().iter().filter(|live| live.question.turn.as_str() == name(one)).count() == 1 => Some(event),
                    Ok(Asked::New(_)) => {
                        room.turns.pop();
                        None
                    }
                    _ => None,
                },
                Step::Does(one, done) => room.hear(
                    &turn(&name(one)),
                    TurnEvent::Prefill { done: done.into(), total: 100 },
                ),
                Step::Text(one, text) => room.hear(&turn(&name(one)), TurnEvent::Text(text)),
                Step::End(one) => room.hear(&turn(&name(one)), finished()),
                Step::Refused(one) => room.refused(&turn(&name(one)), "no".into()),
                Step::Kept(one) => room.kept(&turn(&name(one)), "n".into(), Kept::default()),
                Step::Look => {
                    viewers.push(Seen::of(&room));
                    None
                }
            };
            for viewer in &mut viewers {
                if let Some(event) = &event {
                    viewer.hear(event.clone());
                }
            }
        }
        for viewer in viewers {
            prop_assert_eq!(viewer, Seen::of(&room));
        }
    }
}
