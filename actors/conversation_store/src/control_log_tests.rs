//! The control log: what it keeps, for how long, and how many.

use crate::control_log::{DropOld, Holding, KEPT, KEPT_MS, holding};
use crate::error::StoreError;
use crate::messages::{LogControl, ReadControlLog};
use crate::proving::{NOW, ask, in_memory};

fn act(detail: &str, now_ms: i64) -> LogControl {
    LogControl {
        actor: "a person".to_owned(),
        action: "settings".to_owned(),
        detail: detail.to_owned(),
        now_ms,
    }
}

#[test]
fn acts_are_read_latest_first_page_by_page() {
    let archive = in_memory();
    for number in 0..5 {
        ask(&archive, act(&number.to_string(), NOW + number)).unwrap();
    }
    let mut details = Vec::new();
    let mut before = None;
    loop {
        let page = ask(&archive, ReadControlLog { limit: 2, before }).unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        details.extend(page.iter().map(|act| act.detail.clone()));
    }
    assert_eq!(details, ["4", "3", "2", "1", "0"]);
}

#[test]
fn what_is_too_old_goes_when_it_is_swept() {
    let archive = in_memory();
    for age in [3, 1, 0] {
        ask(&archive, act(&age.to_string(), NOW - age)).unwrap();
    }
    let held = |records, due_ms| Holding { records, due_ms };
    let found = || holding(&archive.connection).unwrap();
    assert_eq!(found(), held(3, Some(NOW - 3 + KEPT_MS)));
    let now_ms = NOW - 1 + KEPT_MS;
    let (dropped, left) = ask(&archive, DropOld { now_ms }).unwrap();
    assert_eq!((dropped, left), (2, held(1, Some(NOW + KEPT_MS))));
    assert_eq!(found(), left);
    let now_ms = NOW + KEPT_MS;
    let (dropped, left) = ask(&archive, DropOld { now_ms }).unwrap();
    assert_eq!((dropped, left), (1, held(0, None)));
}

#[test]
fn no_more_than_so_many_are_kept() {
    let archive = in_memory();
    // All at once, because one after another takes seconds.
    archive
        .connection
        .execute(
            "INSERT INTO control_log (at_ms, actor, action, detail)
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
             SELECT i, 'a', 'b', 'c' FROM n",
            [i64::try_from(KEPT).unwrap()],
        )
        .unwrap();
    for _ in 0..3 {
        ask(&archive, act("d", NOW)).unwrap();
        let found = holding(&archive.connection).unwrap();
        assert_eq!(found.records, KEPT);
    }
}

#[test]
fn what_is_too_long_is_refused_by_name() {
    let archive = in_memory();
    for (wish, field) in [
        (
            LogControl {
                actor: String::new(),
                ..act("d", NOW)
            },
            "actor",
        ),
        (
            LogControl {
                action: "x".repeat(201),
                ..act("d", NOW)
            },
            "action",
        ),
        (act(&"x".repeat((64 << 10) + 1), NOW), "detail"),
    ] {
        let Err(StoreError::Invalid(error)) = ask(&archive, wish) else {
            panic!("{field} was taken");
        };
        assert_eq!(error.field, field);
    }
}
