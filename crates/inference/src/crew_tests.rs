//! Members agree, nobody waits for who does not come, and a panic ends it for all.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use engine::helpers::{Alone, Share};
use proptest::prelude::*;
use runtime::BlockingHelpers;

use super::*;

fn helpers(threads: usize) -> Arc<dyn Helpers> {
    let handle = tokio::runtime::Handle::current();
    Arc::new(BlockingHelpers::new(
        handle,
        NonZeroUsize::new(threads).unwrap(),
    ))
}

/// They say how many may come, and nobody does, or only when told.
#[derive(Debug, Default)]
struct Late(Mutex<Vec<Kept>>);

struct Kept(Share);

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("kept")
    }
}

impl Helpers for Late {
    fn threads(&self) -> usize {
        3
    }

    fn call(&self, share: Share) {
        self.0.lock().unwrap().push(Kept(share));
    }
}

/// A sum that every member needs the others' parts of, over and over.
fn ring(crew: &mut Crew, rounds: usize) -> (Vec<Vec<f32>>, usize) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let members = Arc::new(AtomicUsize::new(0));
    let (all_seen, all_members) = (seen.clone(), members.clone());
    let work: Arc<Work> = Arc::new(move |member: &Member<'_>| {
        let mut state: Vec<f32> = (0..8u8).map(f32::from).collect();
        // One for all rounds: what lies in it after an exchange is another's, and must not be seen.
        let mut own = Vec::new();
        for round in 0..rounds {
            let share = member.share(state.len(), 2);
            own.clear();
            own.extend(share.map(|at| state[at] * 0.5 + state[(at + 1) % 8]));
            // Of lengths that differ by round and member.
            let more = |number: usize| (round + number) % 5;
            own.resize(own.len() + more(member.number()), f32::NAN);
            let mut next = Vec::new();
            member.exchange(&mut own, |number, part| {
                let length = member.share_of(number, 8, 2).len();
                assert_eq!(part.len(), length + more(number));
                next.extend_from_slice(&part[..length]);
            });
            state = next;
        }
        all_members.fetch_max(member.of(), Ordering::Relaxed);
        all_seen.lock().unwrap().push(state);
    });
    crew.run(false, &work);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (seen, members.load(Ordering::Relaxed))
}

#[tokio::test]
async fn all_members_see_the_same_and_what_one_alone_sees() {
    tokio::task::spawn_blocking(all_see_the_same).await.unwrap();
}

fn all_see_the_same() {
    let (alone, members) = ring(&mut Crew::new(Arc::new(Alone)), 40);
    assert_eq!((alone.len(), members), (1, 1));
    for threads in [1, 2, 3, 5] {
        let mut crew = Crew::new(helpers(threads));
        for _ in 0..10 {
            let (all, members) = ring(&mut crew, 40);
            assert_eq!(all.len(), members);
            assert!((1..=threads).contains(&members));
            assert!(all.iter().all(|one| *one == alone[0]));
        }
    }
}

#[test]
fn nobody_waits_for_who_does_not_come_and_who_comes_late_goes_again() {
    let late = Arc::new(Late::default());
    let mut crew = Crew::new(late.clone());
    let (seen, members) = ring(&mut crew, 3);
    assert_eq!((seen.len(), members), (1, 1));
    let kept = std::mem::take(&mut *late.0.lock().unwrap());
    assert_eq!(kept.len(), 1);
    for Kept(share) in kept {
        share();
    }
}

#[tokio::test]
async fn if_one_panics_all_do_and_nobody_waits_for_ever() {
    tokio::task::spawn_blocking(all_panic).await.unwrap();
}

fn all_panic() {
    let mut crew = Crew::new(helpers(3));
    let mut by_helper = 0;
    for round in 0..200 {
        let run = AtomicU32::new(0);
        let of = Arc::new(AtomicUsize::new(0));
        let told = of.clone();
        let panics = round % 3;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run.fetch_add(1, Ordering::Relaxed);
            let work: Arc<Work> = Arc::new(move |member: &Member<'_>| {
                told.store(member.of(), Ordering::Relaxed);
                member.meet();
                if member.number() == panics {
                    resume_unwind(Box::new("on purpose"));
                }
                member.meet();
            });
            crew.run(false, &work);
        }));
        let there = panics < of.load(Ordering::Relaxed);
        assert_eq!(ended.is_err(), there, "round {round}");
        by_helper += usize::from(there && panics > 0);
    }
    assert!(by_helper > 0, "no helper ever came");
    // And it goes on.
    let (all, members) = ring(&mut crew, 10);
    assert_eq!(all.len(), members);
}

#[test]
fn where_nobody_comes_they_are_called_less_and_less() {
    let late = Arc::new(Late::default());
    let calls = || late.0.lock().unwrap().len();
    let mut crew = Crew::new(late.clone());
    let work: Arc<Work> = Arc::new(|member: &Member<'_>| member.meet());
    // Each call is followed by 8 runs alone, 16, 32 and so on, up to 1024.
    let mut expected = Vec::new();
    for (call, alone) in (1..).zip([8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]) {
        expected.extend(std::iter::repeat_n(call, alone + 1));
    }
    let seen: Vec<usize> = (0..expected.len())
        .map(|_| {
            crew.run(true, &work);
            calls()
        })
        .collect();
    assert_eq!(seen, expected);
    // Where the work is not even, nothing is learnt from it, nor does what was learnt matter to it.
    for mut crew in [crew, Crew::new(late.clone())] {
        let before = calls();
        for _ in 0..20 {
            crew.run(false, &work);
        }
        assert_eq!(calls(), before + 20);
    }
    // Calls that still wait keep nothing.
    let kept = Arc::downgrade(&work);
    drop(work);
    assert!(kept.upgrade().is_none(), "{} calls", calls());
}

/// Runs the share itself.
#[derive(Debug)]
struct Inline;

impl Helpers for Inline {
    fn threads(&self) -> usize {
        2
    }

    fn call(&self, share: Share) {
        share();
    }
}

#[test]
fn who_calls_is_no_help_to_itself() {
    let mut crew = Crew::new(Arc::new(Inline));
    for _ in 0..3 {
        let (all, members) = ring(&mut crew, 5);
        assert_eq!((all.len(), members), (1, 1));
    }
}

/// Calls one, and panics when it has begun, or earlier.
#[derive(Debug, Default)]
struct HalfWay {
    calls: AtomicUsize,
    called: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Helpers for HalfWay {
    fn threads(&self) -> usize {
        3
    }

    fn call(&self, share: Share) {
        let begun = Arc::new(AtomicBool::new(false));
        let tell = begun.clone();
        let one = tokio::task::spawn_blocking(move || {
            tell.store(true, Ordering::Release);
            share();
        });
        self.called.lock().unwrap().push(one);
        let turns = self.calls.fetch_add(1, Ordering::Relaxed);
        if turns.is_multiple_of(2) {
            wait(|| begun.load(Ordering::Acquire));
        }
        (0..turns * 10).for_each(|_| spin_loop());
        resume_unwind(Box::new("on purpose"));
    }
}

#[tokio::test]
async fn a_call_that_panics_half_way_leaves_nobody() {
    let helpers = Arc::new(HalfWay::default());
    let theirs = helpers.clone();
    let running = Arc::new(AtomicUsize::new(0));
    let inside = running.clone();
    let ended = tokio::task::spawn_blocking(move || {
        let mut crew = Crew::new(theirs);
        let work: Arc<Work> = Arc::new(move |member: &Member<'_>| {
            inside.fetch_add(1, Ordering::SeqCst);
            member.meet();
        });
        for _ in 0..200 {
            let ended = catch_unwind(AssertUnwindSafe(|| crew.run(true, &work)));
            assert!(ended.is_err());
        }
    });
    ended.await.unwrap();
    let called = std::mem::take(&mut *helpers.called.lock().unwrap());
    assert_eq!(called.len(), 200);
    for one in called {
        one.await.unwrap();
    }
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

proptest! {
    #[test]
    fn shares_are_all_of_it_in_order_and_in_whole_pieces(
        of in 1usize..9, all in 0usize..500, grain in 1usize..40,
    ) {
        let mut at = 0;
        for number in 0..of {
            let share = share_of(number, of, all, grain);
            prop_assert_eq!(share.start, at);
            prop_assert!(share.start.is_multiple_of(grain) || share.start == all);
            at = share.end;
        }
        prop_assert_eq!(at, all);
    }
}
