//! What the kernel says of a process group.

use std::time::Duration;

use super::PATIENCE;

/// A process: its id, its state and its name.
pub type Seen = (u32, char, String);

/// The living of a group. A zombie is nobody; that of a child of ours would have to be reaped, and is counted.
pub fn of_group(group: u32) -> Vec<Seen> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        // pid (name) state ppid pgrp …; the name may have anything in it.
        let Some((head, tail)) = stat.rsplit_once(')') else {
            continue;
        };
        let Some((pid, name)) = head.split_once(" (") else {
            continue;
        };
        let mut fields = tail.split_whitespace();
        let state = fields.next().and_then(|state| state.chars().next());
        let parent: Option<u32> = fields.next().and_then(|parent| parent.parse().ok());
        let its_group: Option<u32> = fields.next().and_then(|group| group.parse().ok());
        if let (Ok(pid), Some(state)) = (pid.parse(), state)
            && its_group == Some(group)
            && (state != 'Z' || parent == Some(std::process::id()))
        {
            found.push((pid, state, name.to_owned()));
        }
    }
    found
}

/// Waits until nobody of a group lives: what was killed without waiting is over a moment later.
pub async fn gone(group: u32) {
    let gone = async {
        while !of_group(group).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(PATIENCE, gone).await;
    assert!(gone.is_ok(), "still there: {:?}", of_group(group));
}
