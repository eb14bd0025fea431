//! When each cache is asked, as tables.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn due(at: Instant) -> Held {
    Held {
        entries: 1,
        bytes: Bytes(1),
        next_due: Some(at),
    }
}

fn one(start: Instant) -> (Roster<()>, CacheId) {
    let mut roster = Roster::default();
    let id = roster.register("a".to_owned(), ()).unwrap();
    roster.hold(id, due(start));
    (roster, id)
}

#[tokio::test(start_paused = true)]
async fn a_cache_has_one_order_at_a_time() {
    let start = Instant::now();
    let (mut roster, id) = one(start + SECOND);
    assert_eq!(roster.take_moved(), [(id, Some(start + SECOND))]);
    assert!(roster.due(id, start).is_none(), "too early");
    assert_eq!(
        roster.take_moved(),
        [(id, Some(start + SECOND))],
        "noted again"
    );
    let first = roster.due(id, start + SECOND).unwrap();
    assert_eq!(roster.take_moved(), [(id, None)]);
    roster.hold(id, due(start + SECOND));
    assert!(!roster.has_moved(), "while it is swept it is not asked");
    assert!(roster.due(id, start + SECOND).is_none());
    let goal = Goal { free: Bytes(1) };
    assert!(roster.order(id, goal).is_none());
    roster.hold(id, Held::default());
    let swept = Ending::Swept(Swept::default());
    assert_eq!(
        roster.ended(first.id, swept, start + SECOND).as_deref(),
        Some("a")
    );
    assert_eq!(roster.ended(first.id, swept, start + SECOND), None);
    assert_eq!(roster.order(id, goal).unwrap().goal, goal);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_fails_rests_longer_each_time() {
    let start = Instant::now();
    let (mut roster, id) = one(start);
    let mut now = start;
    for (failures, ending, rest) in [
        (1, Ending::Silent, SECOND),
        (2, Ending::Dropped, 2 * SECOND),
        (3, Ending::Full, 4 * SECOND),
        // What is due is still there.
        (4, Ending::Swept(Swept::default()), 8 * SECOND),
    ] {
        let errand = roster.due(id, now).unwrap();
        roster.ended(errand.id, ending, now);
        let status = &roster.status()[0];
        assert_eq!(status.failures, failures);
        assert_eq!(status.asked_next, Some(now + rest), "{ending:?}");
        now += rest;
    }
    let errand = roster.due(id, now).unwrap();
    let some = Swept {
        swept: 1,
        ..Swept::default()
    };
    roster.ended(errand.id, Ending::Swept(some), now);
    assert_eq!(roster.status()[0].failures, 0);
    assert_eq!(roster.status()[0].asked_next, Some(now + GAP));
    assert_eq!(rest(u32::MAX), REST_AT_MOST);
}

#[tokio::test(start_paused = true)]
async fn a_new_life_waits_for_nothing_of_the_last_one() {
    let start = Instant::now();
    let (mut roster, id) = one(start);
    let errand = roster.due(id, start).unwrap();
    roster.reborn();
    assert_eq!(roster.take_moved(), [(id, Some(start))]);
    assert_eq!(roster.ended(errand.id, Ending::Silent, start), None);
    assert_eq!(roster.status()[0].failures, 0);
    assert!(roster.due(id, start).is_some());
}

#[test]
fn names_and_numbers_are_bounded() {
    let mut roster = Roster::default();
    assert_eq!(
        roster.register(String::new(), 0).unwrap_err(),
        RegisterError::Name { length: 0 }
    );
    let long = "x".repeat(NAME + 1);
    assert!(roster.register(long, 0).is_err());
    let ids: Vec<_> = (0..CACHES)
        .map(|n| roster.register(n.to_string(), n).unwrap())
        .collect();
    let error = roster.register("more".to_owned(), 0).unwrap_err();
    assert_eq!(
        error,
        RegisterError::TooMany {
            name: "more".to_owned(),
            limit: CACHES
        }
    );
    let again = roster.register("7".to_owned(), 0).unwrap();
    assert_ne!(again, ids[7], "the same name is another cache");
    assert_eq!(roster.status().len(), CACHES);
    roster.remove(ids[0]);
    assert!(roster.register("more".to_owned(), 0).is_ok());
    roster.retain(|to| *to != 0);
    assert_eq!(roster.status().len(), CACHES - 2);
}
