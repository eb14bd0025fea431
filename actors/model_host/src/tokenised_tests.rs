//! A request's sheet, without leases: what it makes it knows, and nothing else.

use memory_governor::{Lease, Reserve};

use super::*;
use crate::crash_tests::common::{DEADLINE, Setting, Stage};

fn shelf() -> Tokenised {
    Tokenised::new(PLAN, None)
}

#[tokio::test(start_paused = true)]
async fn what_a_request_made_it_knows_and_hands_on_once() {
    let mut sheet = Sheet::new(shelf(), Instant::now());
    let mut tokens = vec![9];
    assert!(!sheet.look("hello", &mut tokens));
    assert_eq!(tokens, [9]);
    sheet.keep("hello", &[1, 2]);
    sheet.keep("", &[]);
    for _ in 0..3 {
        tokens.clear();
        assert!(sheet.look("hello", &mut tokens) && sheet.look("", &mut tokens));
        assert_eq!(tokens, [1, 2]);
        assert!(!sheet.look("hello ", &mut tokens));
    }
    let learned = sheet.finish();
    assert_eq!(learned.found, 0, "it was not on the shelf");
    let made: Vec<(&str, &[TokenId])> = learned.made.iter().map(|m| (&*m.key, &*m.value)).collect();
    assert_eq!(made, [("hello", &[1, 2][..]), ("", &[])]);
    assert_eq!(learned.bytes(), Bytes(2 * OVERHEAD + 5 + 8));
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_kept() {
    let shelf = shelf();
    let mut sheet = Sheet::new(shelf.clone(), Instant::now());
    sheet.keep("hello", &[1, 2]);
    let learned = sheet.finish();
    assert_eq!(shelf.missing(Bytes::ZERO), None);
    assert_eq!(shelf.missing(learned.bytes()), Some(PLAN.piece));
    assert_eq!(shelf.missing(Bytes::mib(3)), Some(Bytes::mib(3)));
    assert_eq!(shelf.missing(Bytes::mib(30)), Some(PLAN.bounds.bytes));
    learned.shelf.keep(learned.made, None, Instant::now());
    let mut sheet = Sheet::new(shelf.clone(), Instant::now());
    assert!(!sheet.look("hello", &mut Vec::new()));
    assert_eq!(shelf.close(), Bytes::ZERO);
    assert_eq!(shelf.missing(Bytes::mib(3)), None, "it is closed");
}

async fn lease(stage: &Stage, bytes: Bytes) -> Lease {
    let wish = Reserve {
        owner: "a test".to_owned(),
        purpose: PURPOSE.to_owned(),
        bytes,
    };
    stage.governor.ask(wish, DEADLINE).await.unwrap()
}

/// So many pieces of a kilobyte each, and what they take.
fn learned(shelf: &Tokenised, from: u32, count: u32) -> (Learned, Bytes) {
    let mut sheet = Sheet::new(shelf.clone(), Instant::now());
    for n in from..from + count {
        let text = format!("{n:1024}");
        sheet.keep(&text, &[n; 100]);
    }
    let learned = sheet.finish();
    let bytes = learned.bytes();
    (learned, bytes)
}

fn is_there(shelf: &Tokenised, n: u32) -> bool {
    let mut tokens = Vec::new();
    let found = Sheet::new(shelf.clone(), Instant::now()).look(&format!("{n:1024}"), &mut tokens);
    assert_eq!(tokens, vec![n; if found { 100 } else { 0 }]);
    found
}

/// As much is kept as is leased, and no more.
#[tokio::test(start_paused = true)]
async fn what_is_not_leased_is_not_kept() {
    let stage = Setting::text("").start().await;
    let shelf = shelf();
    let (learned, bytes) = learned(&shelf, 0, 10);
    let most = Bytes(bytes.0 * 7 / 10);
    let lease = lease(&stage, most).await;
    shelf.keep(learned.made, Some(lease), Instant::now());
    let there: Vec<bool> = (0..10).map(|n| is_there(&shelf, n)).collect();
    assert_eq!(there, [[true; 7].as_slice(), &[false; 3]].concat());
    assert_eq!(shelf.missing(Bytes::ZERO), None);
    assert_eq!(shelf.missing(Bytes(1)), Some(PLAN.piece));
    assert_eq!(shelf.close(), most);
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}

/// With all leased that it may have, the least recently used makes room.
#[tokio::test(start_paused = true)]
async fn at_its_bound_the_oldest_makes_room() {
    let stage = Setting::text("").start().await;
    let shelf = shelf();
    let (first, bytes) = learned(&shelf, 0, 2000);
    let each = bytes.0 / 2000;
    assert_eq!(shelf.missing(bytes), Some(bytes));
    let some = lease(&stage, bytes).await;
    shelf.keep(first.made, Some(some), Instant::now());
    assert!(is_there(&shelf, 0), "and it was used just now");
    let most = PLAN.bounds.bytes;
    let rest = shelf.missing(most).unwrap();
    assert_eq!(rest, most.saturating_sub(bytes));
    let fits = u32::try_from(most.0 / each).unwrap();
    let (more, _) = learned(&shelf, 2000, fits - 2000 + 1);
    let rest = lease(&stage, rest).await;
    shelf.keep(more.made, Some(rest), Instant::now());
    assert_eq!(shelf.missing(most), None);
    assert!(is_there(&shelf, 0) && !is_there(&shelf, 1) && is_there(&shelf, 2));
    assert!(is_there(&shelf, fits));
    assert_eq!(shelf.close(), most);
    stage.close().await;
}

/// Its tokenizer is gone: what was encoded with it is nobody's, and its lease goes back at once.
#[tokio::test(start_paused = true)]
async fn what_comes_too_late_is_not_kept() {
    let stage = Setting::text("").start().await;
    let shelf = shelf();
    let (learned, bytes) = learned(&shelf, 0, 10);
    let lease = lease(&stage, bytes).await;
    assert_eq!(shelf.close(), Bytes::ZERO);
    shelf.keep(learned.made, Some(lease), Instant::now());
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    assert!(!is_there(&shelf, 0));
    assert_eq!(shelf.missing(Bytes(1)), None);
    stage.close().await;
}
