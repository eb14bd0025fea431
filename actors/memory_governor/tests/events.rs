//! What the kernel counts where a group had no room, from its files to the level and to why: on a paused clock and a
//! machine the test writes; and what a real kernel counts, where a group can be made.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::io;
use std::path::Path;
use std::time::Duration;

use common::{DEADLINE, KIB, Tree, start};
use domain::Bytes;
use memory_governor::events::{Grown, Seen, Strike};
use memory_governor::limit::measure;
use memory_governor::pressure::{BANDS, Source};
use memory_governor::{FileProbe, Level, Probe, ReserveError, Stage, Standing, WatchPressure};
use paraphym_memory_governor as memory_governor;
use testkit::memory_cgroup::MemoryCgroup;
use tokio::time::sleep;

/// A look at the machine, and a moment for what it starts.
const POLL: Duration = Duration::from_millis(5001);

/// A group of 800 KiB with so much in use that is no page cache.
fn group(tree: &Tree, used_kib: u64, events: &str) {
    tree.machine.write("/proc/self/cgroup", "0::/app\n");
    let file = |name: &str, text: &str| {
        let path = format!("/sys/fs/cgroup/app/memory.{name}");
        tree.machine.write(&path, text);
    };
    file("max", &(800 * KIB).to_string());
    // The page cache takes the rest, as it does.
    file("current", &(800 * KIB).to_string());
    let cache = (800 - used_kib) * KIB;
    file("stat", &format!("anon 1\ninactive_file {cache}\n"));
    file("events.local", events);
}

async fn now(tree: &Tree) -> (Level, Source) {
    let pressure = tree.status().await.pressure;
    (pressure.level, pressure.source)
}

/// A tool's child is killed: what it had is free again, and still nobody may take it for granted until the kernel had a
/// whole interval without.
#[tokio::test(start_paused = true)]
async fn a_kill_in_the_group_is_critical_at_once_and_told_with_its_figures() {
    let tree = start().await;
    group(&tree, 400, "max 7\noom 0\noom_kill 3\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::Low, Source::Cgroup), "the past");
    let mut pressure = tree.governor.ask(WatchPressure, DEADLINE).await.unwrap();
    group(&tree, 200, "max 9\noom 1\noom_kill 5\n");
    pressure.changed().await.unwrap();
    let seen = *pressure.borrow_and_update();
    assert_eq!(
        (seen.level, seen.source),
        (Level::Critical, Source::OutOfMemory)
    );
    let refused = tree.reserve(KIB).await;
    let zero = Bytes::ZERO;
    assert!(matches!(refused, Err(ReserveError::Refused { available, .. }) if available == zero));
    assert_eq!(
        tree.told("the kernel").await,
        [
            "the kernel ran out of memory in /sys/fs/cgroup/app: killed 2×, out of memory 1×, at the limit 2×; \
             now 200.0 KiB of 800.0 KiB in use"
        ]
    );
    assert_eq!(
        tree.told("pressure").await,
        ["pressure from low to critical: the cgroup ran out of memory"]
    );
    // One look without growth ends it, and the next looks find nothing new.
    sleep(POLL).await;
    assert_eq!(now(&tree).await.0, Level::Low);
    tree.reserve(KIB).await.unwrap();
    sleep(POLL * 3).await;
    assert_eq!(tree.told("the kernel").await.len(), 1);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn kills_look_after_look_keep_it_critical_and_ask_everyone() {
    let tree = start().await;
    let mut caches = tree.enlist("caches", Stage::Caches).await;
    let _lease = tree.reserve(100 * KIB).await.unwrap();
    for kills in 0..5 {
        group(&tree, 400, &format!("oom_kill {kills}\n"));
        sleep(POLL).await;
        let expected = if kills == 0 {
            Level::Low
        } else {
            Level::Critical
        };
        assert_eq!(now(&tree).await.0, expected, "{kills} kills");
    }
    let order = caches.recv().await.unwrap();
    assert!(order.wanted > Bytes::ZERO);
    drop(order);
    sleep(POLL).await;
    let status = tree.status().await;
    assert_eq!(
        (status.pressure.level, status.standing),
        (Level::Low, Standing::Calm)
    );
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_group_that_gives_up_page_cache_is_not_under_pressure_and_one_without_is() {
    let tree = start().await;
    group(&tree, 600, "high 0\nmax 0\n");
    sleep(POLL).await;
    // 75%, and a model file is read through the limit for a minute.
    for look in 1..12 {
        group(&tree, 600, &format!("high 0\nmax {}\n", look * 1000));
        sleep(POLL).await;
        assert_eq!(now(&tree).await, (Level::Normal, Source::Cgroup));
    }
    // 82.5%: by itself no more than normal.
    group(&tree, 660, "high 0\nmax 11000\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::Normal, Source::Cgroup));
    group(&tree, 660, "high 0\nmax 11001\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::High, Source::AtLimit));
    assert_eq!(tree.told("the kernel").await, [""; 0], "nobody was killed");
    // Without growth the level falls as it always does: not yet at 80%.
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::High, Source::Cgroup));
    group(&tree, 639, "high 0\nmax 11001\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::Normal, Source::Cgroup));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_held_up_below_the_limit_are_seen() {
    let tree = start().await;
    let high = "/sys/fs/cgroup/app/memory.high";
    tree.machine.write(high, &(400 * KIB).to_string());
    group(&tree, 390, "high 0\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await.0, Level::Low, "48.7% of the limit");
    group(&tree, 390, "high 1\n");
    sleep(POLL).await;
    let pressure = tree.status().await.pressure;
    assert_eq!(
        pressure.to_string(),
        "high: the cgroup was at its limit, 97.5% is in use"
    );
    sleep(POLL).await;
    assert_eq!(now(&tree).await.0, Level::Low);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_and_a_group_that_is_another_invent_nothing() {
    let tree = start().await;
    group(&tree, 660, "max 5\noom_kill 5\n");
    sleep(POLL).await;
    for events in [
        "",
        "max x\noom_kill -1\n",
        "max 1\noom_kill 0\n",
        "max 1\noom_kill 0\n",
    ] {
        group(&tree, 660, events);
        sleep(POLL).await;
        assert_eq!(
            now(&tree).await,
            (Level::Normal, Source::Cgroup),
            "{events:?}"
        );
    }
    // Nothing can be read at all, and then it can: what grew in between counts.
    tree.machine.write("/proc/self/cgroup", "");
    sleep(POLL).await;
    group(&tree, 660, "max 1\noom_kill 1\n");
    sleep(POLL).await;
    assert_eq!(now(&tree).await, (Level::Critical, Source::OutOfMemory));
    tree.stop().await;
}

/// The machine as a process in the group sees it.
struct Inside(String);

impl Probe for Inside {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new("/proc/self/cgroup") {
            return Ok(self.0.clone());
        }
        FileProbe.read(path)
    }
}

/// As root, where memory groups are; elsewhere the reason is printed.
#[test]
fn a_real_kernel_tells_page_cache_that_goes_from_a_program_that_is_killed() {
    let group = match MemoryCgroup::new("events", Bytes::mib(16)) {
        Ok(group) => group,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    group.allow_swap().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let run = |script: &str| {
        let mut program = group.command("/bin/sh");
        program.args(["-c", script]).arg(folder.path().join("file"));
        program.output().unwrap()
    };
    let probe = Inside(group.membership());
    let mut seen = Seen::default();
    let mut look = || -> Vec<Grown> { seen.compare(&measure(&probe).groups) };
    assert_eq!(look(), [], "a group without a past");
    // Twice as much as there is room for, written and read.
    let read = run("head -c 32m /dev/zero > \"$0\"; cat \"$0\" > /dev/null");
    assert!(read.status.success(), "{read:?}");
    let cache = look();
    assert!(cache.iter().any(|grown| grown.max > 0), "{cache:?}");
    assert_eq!(Strike::worst(&cache, &BANDS), None, "{cache:?}");
    group.set_limit(Bytes::mib(16)).unwrap();
    // One that has to remember twice as much as there is room for.
    run("head -c 32m /dev/zero | tail -c 32m > /dev/null");
    let killed = look();
    let strike = Strike::worst(&killed, &BANDS).unwrap();
    assert_eq!(
        (strike.level, strike.source),
        (Level::Critical, Source::OutOfMemory),
        "{killed:?}"
    );
    let kills: u64 = killed.iter().map(|grown| grown.oom_kill).sum();
    assert_eq!(kills, group.kills().unwrap());
    assert_eq!(look(), [], "nothing since");
}
