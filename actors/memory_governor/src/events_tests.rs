//! What counts as growth, and what follows from it, as tables and over any sequence of looks. Apart, for its length.

use domain::Bytes;
use proptest::prelude::*;

use super::*;
use crate::pressure::BANDS;

const fn counts(high: u64, max: u64, oom: u64, oom_kill: u64) -> Counts {
    Counts {
        high: Some(high),
        max: Some(max),
        oom: Some(oom),
        oom_kill: Some(oom_kill),
    }
}

fn fill(used: u64) -> Fill {
    let (used, of) = (Bytes(used), Bytes(1000));
    Fill { used, of }
}

/// What is read look by look, and how much it grew then: held up, at its limit, out of memory, killed.
type Looks<'a> = &'a [(Counts, [u64; 4])];

fn group(folder: &str, counts: Counts) -> Group {
    Group {
        folder: PathBuf::from(folder),
        limit: Some(fill(500)),
        throttle: None,
        counts,
    }
}

#[test]
fn what_cannot_be_read_is_not_known_and_not_zero() {
    for (text, expected) in [
        (
            "low 0\nhigh 1\nmax 22\noom 3\noom_kill 4\noom_group_kill 5\n",
            counts(1, 22, 3, 4),
        ),
        ("", Counts::default()),
        (
            "max\nhigh many\noom -1\noom_kill 18446744073709551616\n",
            Counts::default(),
        ),
        (
            "oom_kill 7",
            Counts {
                oom_kill: Some(7),
                ..Counts::default()
            },
        ),
    ] {
        assert_eq!(Counts::parse_v2(text), expected, "{text:?}");
    }
    let v1 = |max, oom_kill| Counts {
        max,
        oom_kill,
        ..Counts::default()
    };
    let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
    // Kernels before 4.13 count no kills.
    let old = "oom_kill_disable 0\nunder_oom 1\n";
    for (failcnt, swap, control, expected) in [
        ("12\n", "", control, v1(Some(12), Some(3))),
        ("0\n", "7\n", control, v1(Some(7), Some(3))),
        ("12\n", "7\n", old, v1(Some(19), None)),
        ("x", "7\n", "", v1(None, None)),
    ] {
        let counts = Counts::parse_v1(failcnt, swap, control);
        assert_eq!(counts, expected, "{failcnt:?} {swap:?}");
    }
}

#[test]
fn only_growth_that_was_seen_counts() {
    let unknown = Counts::default();
    let cases: [(&str, Looks<'_>); 6] = [
        ("the past is not ours", &[(counts(9, 9, 9, 9), [0; 4])]),
        (
            "each by itself",
            &[
                (counts(1, 2, 3, 4), [0; 4]),
                (counts(1, 2, 3, 4), [0; 4]),
                (counts(2, 4, 6, 8), [1, 2, 3, 4]),
            ],
        ),
        (
            "one that goes back is another group's",
            &[
                (counts(5, 5, 5, 5), [0; 4]),
                (counts(0, 1, 2, 3), [0; 4]),
                (counts(0, 1, 2, 4), [0, 0, 0, 1]),
            ],
        ),
        (
            "what is not told is no zero",
            &[
                (unknown, [0; 4]),
                (counts(5, 5, 5, 5), [0; 4]),
                (unknown, [0; 4]),
                (counts(5, 6, 5, 5), [0, 1, 0, 0]),
            ],
        ),
        (
            "some of it",
            &[
                (
                    Counts {
                        oom: None,
                        ..counts(1, 1, 1, 1)
                    },
                    [0; 4],
                ),
                (counts(2, 1, 7, 1), [1, 0, 0, 0]),
            ],
        ),
        (
            "to the end",
            &[
                (counts(0, 0, 0, 0), [0; 4]),
                (counts(u64::MAX, 0, 0, 0), [u64::MAX, 0, 0, 0]),
            ],
        ),
    ];
    for (name, looks) in cases {
        let mut seen = Seen::default();
        for (step, (counts, expected)) in looks.iter().enumerate() {
            let grown = seen.compare(&[group("/a", *counts)]);
            let found = grown.first().map(|g| [g.high, g.max, g.oom, g.oom_kill]);
            assert_eq!(found.unwrap_or_default(), *expected, "{name}, look {step}");
            let is_news = *expected != [0; 4];
            assert_eq!(grown.len(), usize::from(is_news), "{name}, look {step}");
        }
    }
}

#[test]
fn a_process_that_moves_begins_anew_and_a_failed_look_forgets_nothing() {
    let mut seen = Seen::default();
    let mut compare = |folders: &[(&str, u64)]| -> Vec<(String, u64)> {
        let groups: Vec<_> = folders
            .iter()
            .map(|(folder, max)| group(folder, counts(0, *max, 0, 0)))
            .collect();
        let grown = seen.compare(&groups);
        let folder = |grown: &Grown| grown.folder.to_str().unwrap().to_owned();
        grown
            .iter()
            .map(|grown| (folder(grown), grown.max))
            .collect()
    };
    assert_eq!(compare(&[("/a/b", 1), ("/a", 1)]), []);
    assert_eq!(compare(&[]), []);
    assert_eq!(compare(&[("/a/b", 3), ("/a", 1)]), [("/a/b".to_owned(), 2)]);
    assert_eq!(compare(&[("/c", 70), ("/a", 2)]), [("/a".to_owned(), 1)]);
    assert_eq!(compare(&[("/a/b", 90), ("/a", 2)]), [], "it was away");
}

/// Held up, at its limit, out of memory, killed.
fn grown([high, max, oom, oom_kill]: [u64; 4], limit: Option<u64>, throttle: Option<u64>) -> Grown {
    Grown {
        folder: PathBuf::from("/a"),
        limit: limit.map(fill),
        throttle: throttle.map(fill),
        high,
        max,
        oom,
        oom_kill,
    }
}

#[test]
fn a_group_at_its_limit_counts_only_without_page_cache_to_give_up() {
    let (full, quiet) = (Some(990), [0; 4]);
    for (name, counts, limit, throttle, expected) in [
        ("page cache goes", [0, 999, 0, 0], Some(799), None, None),
        ("there is none", [0, 1, 0, 0], Some(800), None, Some(800)),
        ("nor here", [0, 1, 0, 0], full, None, full),
        ("held up for cache", [9, 0, 0, 0], None, Some(799), None),
        ("held up", [9, 0, 0, 0], None, Some(801), Some(801)),
        ("held up only", [9, 0, 0, 0], Some(950), Some(100), None),
        ("at its limit only", [0, 9, 0, 0], Some(100), full, None),
        ("both", [1, 1, 0, 0], Some(810), Some(900), Some(900)),
        ("full, and nothing happened", quiet, full, full, None),
        ("no limit of its own", [0, 9, 0, 0], None, None, None),
    ] {
        let strike = grown(counts, limit, throttle).strike(&BANDS);
        let expected = expected.map(|used| Strike {
            level: Level::High,
            source: Source::AtLimit,
            fill: Some(fill(used)),
        });
        assert_eq!(strike, expected, "{name}");
    }
}

#[test]
fn a_group_without_memory_is_critical_however_full_it_is_then() {
    for (name, counts, limit, throttle, expected) in [
        ("killed", [0, 0, 0, 1], Some(100), None, Some(100)),
        ("killed for the host", [0, 0, 0, 1], None, None, None),
        (
            "out of memory",
            [1, 1, 1, 0],
            Some(900),
            Some(950),
            Some(900),
        ),
        (
            "by what holds it up",
            [1, 0, 0, 1],
            None,
            Some(950),
            Some(950),
        ),
    ] {
        let strike = grown(counts, limit, throttle).strike(&BANDS);
        let expected = Strike {
            level: Level::Critical,
            source: Source::OutOfMemory,
            fill: expected.map(fill),
        };
        assert_eq!(strike, Some(expected), "{name}");
    }
}

#[test]
fn the_worst_group_decides() {
    let at = |used, max, oom_kill| grown([0, max, 0, oom_kill], Some(used), None);
    let (full, fuller, killed) = (at(850, 1, 0), at(900, 1, 0), at(100, 0, 1));
    for (all, share) in [
        (vec![], None),
        (vec![at(10, 1, 0)], None),
        (vec![full.clone(), fuller.clone()], Some(900)),
        (vec![fuller, killed, full], Some(100)),
    ] {
        let worst = Strike::worst(&all, &BANDS);
        let found = worst.map(|strike| strike.fill.unwrap().used.0);
        assert_eq!(found, share, "{all:?}");
    }
}

#[test]
fn it_is_said_with_its_figures() {
    let mut grown = Grown {
        folder: PathBuf::from("/sys/fs/cgroup/app"),
        limit: Some(Fill {
            used: Bytes::mib(90),
            of: Bytes::mib(100),
        }),
        throttle: None,
        high: 0,
        max: 7,
        oom: 2,
        oom_kill: 1,
    };
    assert_eq!(
        grown.to_string(),
        "/sys/fs/cgroup/app: killed 1×, out of memory 2×, at the limit 7×; now 90.0 MiB of 100.0 MiB in use"
    );
    grown.limit = None;
    (grown.high, grown.max, grown.oom) = (4, 0, 0);
    assert_eq!(
        grown.to_string(),
        "/sys/fs/cgroup/app: killed 1×, held up 4×; no limit of its own"
    );
}

fn any_counts() -> impl Strategy<Value = Counts> {
    let count = || prop::option::of(0u64..50);
    (count(), count(), count(), count()).prop_map(|(high, max, oom, oom_kill)| Counts {
        high,
        max,
        oom,
        oom_kill,
    })
}

proptest! {
    #[test]
    fn whatever_is_told_no_growth_is_invented(looks in prop::collection::vec(any_counts(), 1..30)) {
        let mut seen = Seen::default();
        let mut last = Counts::default();
        for now in looks {
            let grown = seen.compare(&[group("/a", now)]);
            let expected = growth(last.max, now.max);
            prop_assert_eq!(grown.first().map_or(0, |grown| grown.max), expected);
            // The same again is nothing new.
            prop_assert_eq!(seen.compare(&[group("/a", now)]), []);
            last = now.or(last);
        }
    }

    #[test]
    fn garbage_is_parsed_without_a_panic(text in "(max|high|oom|oom_kill| |\n|[0-9]|-|x){0,60}") {
        let v2 = Counts::parse_v2(&text);
        let v1 = Counts::parse_v1(&text, &text, &text);
        prop_assert_eq!(v2.oom_kill, v1.oom_kill);
    }
}
