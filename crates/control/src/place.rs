//! Where the socket is, and how it is taken: a folder that is nobody else's, a socket that a dead process left is taken over,
//! one that a living process listens at is not.
//!
//! Without `XDG_RUNTIME_DIR` the socket is under `/tmp`, where anybody may make a folder of any name: so the folder has to
//! be no link, the user's own, and closed to others, or it is refused.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};

/// How long a listener may take to be found alive: its kernel answers, not itself.
const ALIVE: Duration = Duration::from_secs(1);
/// The longest path of a socket on Linux, in bytes.
const LONGEST: usize = 107;

/// Why a socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Another server listens there.
    #[error(
        "control = {socket} is taken by process {pid}: stop that one with `paraphym ctl shutdown`, or choose another place with --control PATH"
    )]
    Taken {
        /// Where.
        socket: String,
        /// Whose it is; `?` if the kernel does not say.
        pid: String,
    },
    /// There is something else in its place.
    #[error(
        "control = {socket} is {found}, no socket: it is left alone; choose another place with --control PATH"
    )]
    NotASocket {
        /// Where.
        socket: String,
        /// What it is.
        found: &'static str,
    },
    /// The folder may be somebody else's doing.
    #[error(
        "control = {socket}: the folder {folder} {wrong}; mend that, or choose another place with --control PATH"
    )]
    Folder {
        /// Where.
        socket: String,
        /// The folder.
        folder: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// The path is too long for a socket.
    #[error(
        "control = {socket} has {bytes} bytes, and a socket's path has at most {LONGEST}: choose a shorter one with --control PATH"
    )]
    TooLong {
        /// Where.
        socket: String,
        /// Its length.
        bytes: usize,
    },
    /// The system refused.
    #[error(
        "control = {socket} cannot be used: {source}; choose another place with --control PATH, or --control off"
    )]
    System {
        /// Where.
        socket: String,
        /// Its words.
        source: io::Error,
    },
}

/// Where the socket is unless somebody says otherwise: `$XDG_RUNTIME_DIR/paraphym/control.sock`, where that folder is set
/// and absolute; else `/tmp/paraphym-UID/control.sock`.
pub fn usual(runtime_dir: Option<PathBuf>, uid: u32) -> PathBuf {
    let own = runtime_dir.filter(|folder| folder.is_absolute());
    let folder = own.map_or_else(
        || PathBuf::from(format!("/tmp/paraphym-{uid}")),
        |folder| folder.join("paraphym"),
    );
    folder.join("control.sock")
}

/// The same for this process.
pub fn usual_here() -> PathBuf {
    usual(
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        own_uid(),
    )
}

/// The user that this process acts as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A socket that is ours; it is removed in the end, unless somebody else's is in its place by then.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    identity: (u64, u64),
}

impl Place {
    /// Takes the socket.
    pub(crate) async fn take(path: &Path) -> Result<(UnixListener, Self), PlaceError> {
        let refused = |source| PlaceError::System {
            socket: shown(path),
            source,
        };
        let bytes = path.as_os_str().len();
        if bytes > LONGEST {
            let socket = shown(path);
            return Err(PlaceError::TooLong { socket, bytes });
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        prepare(path, folder)?;
        let _turn = turn(path).map_err(refused)?;
        clear(path).await?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(refused)?;
        let identity = std::fs::symlink_metadata(path).map_err(refused)?;
        let place = Self {
            path: path.to_owned(),
            identity: (identity.dev(), identity.ino()),
        };
        Ok((listener, place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever takes it over holds the turn, and will find nobody listening.
        let Ok(_turn) = turn(&self.path) else { return };
        let found = std::fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// One process at a time looks whether a socket is dead and takes it: two that start together would each remove the
/// other's. The lock ends with the process.
fn turn(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(PathBuf::from(name))?;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::Error(error) => error,
        std::fs::TryLockError::WouldBlock => io::Error::new(
            ErrorKind::WouldBlock,
            "another process is taking it at this moment",
        ),
    })?;
    Ok(file)
}

/// Makes the folder, or looks whose it is.
fn prepare(path: &Path, folder: &Path) -> Result<(), PlaceError> {
    let refused = |source| PlaceError::System {
        socket: shown(path),
        source,
    };
    let above = folder
        .parent()
        .filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        std::fs::create_dir_all(above).map_err(refused)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refused(error)),
    }
    let found = std::fs::symlink_metadata(folder).map_err(refused)?;
    match unfit(&Seen::of(&found), own_uid()) {
        None => Ok(()),
        Some(wrong) => Err(PlaceError::Folder {
            socket: shown(path),
            folder: shown(folder),
            wrong,
        }),
    }
}

/// What counts of a folder.
#[derive(Clone, Copy, Debug)]
struct Seen {
    is_folder: bool,
    uid: u32,
    mode: u32,
}

impl Seen {
    fn of(found: &Metadata) -> Self {
        Self {
            is_folder: found.is_dir(),
            uid: found.uid(),
            mode: found.mode(),
        }
    }
}

/// Why a folder that was there already may not hold the socket: somebody else could put another one in its place.
fn unfit(seen: &Seen, own: u32) -> Option<String> {
    // Of others' folders only those where nobody can remove what is mine: as /tmp itself.
    let sticky = seen.mode & 0o1000 != 0;
    if !seen.is_folder {
        Some("is a link or a file".to_owned())
    } else if seen.uid != own && seen.uid != 0 {
        Some(format!("belongs to the user {}, not to {own}", seen.uid))
    } else if seen.mode & 0o022 != 0 && !sticky {
        let mode = seen.mode & 0o777;
        Some(format!(
            "may be written by others (mode {mode:03o}): chmod 700 it"
        ))
    } else {
        None
    }
}

/// Removes a socket that nobody listens at.
async fn clear(path: &Path) -> Result<(), PlaceError> {
    let socket = || shown(path);
    let refused = |source| PlaceError::System {
        socket: socket(),
        source,
    };
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    };
    let kind = found.file_type();
    if !kind.is_socket() {
        let found = match (kind.is_dir(), kind.is_symlink()) {
            (true, _) => "a folder",
            (_, true) => "a link",
            _ => "a file",
        };
        return Err(PlaceError::NotASocket {
            socket: socket(),
            found,
        });
    }
    match tokio::time::timeout(ALIVE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
            tracing::info!(socket = %path.display(), "a dead process left the socket; it is taken over");
            std::fs::remove_file(path).map_err(refused)
        }
        Ok(Err(error)) => Err(refused(error)),
        Ok(Ok(stream)) => {
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
            Err(PlaceError::Taken {
                socket: socket(),
                pid: pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()),
            })
        }
        // So many wait to be accepted that the kernel does not take another: somebody is there.
        Err(_) => Err(PlaceError::Taken {
            socket: socket(),
            pid: "?".to_owned(),
        }),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_place_is_the_users_own() {
        for (given, expected) in [
            (Some("/run/user/7"), "/run/user/7/paraphym/control.sock"),
            (Some("here"), "/tmp/paraphym-7/control.sock"),
            (Some(""), "/tmp/paraphym-7/control.sock"),
            (None, "/tmp/paraphym-7/control.sock"),
        ] {
            assert_eq!(usual(given.map(PathBuf::from), 7), Path::new(expected));
        }
    }

    #[test]
    fn a_folder_in_which_others_could_replace_the_socket_is_refused() {
        for (is_folder, uid, mode, wrong) in [
            (true, 7, 0o40700, None),
            (true, 7, 0o40755, None),
            (true, 0, 0o41777, None),
            (true, 0, 0o40755, None),
            (true, 7, 0o40770, Some("mode 770")),
            (true, 7, 0o40707, Some("mode 707")),
            (true, 8, 0o40700, Some("the user 8")),
            (true, 8, 0o41777, Some("the user 8")),
            (false, 7, 0o120_777, Some("a link")),
        ] {
            let found = unfit(
                &Seen {
                    is_folder,
                    uid,
                    mode,
                },
                7,
            );
            match wrong {
                None => assert_eq!(found, None),
                Some(part) => assert!(found.unwrap().contains(part), "{part}"),
            }
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_taken_over_and_a_live_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("deep/er/control.sock");
        let (first, place) = Place::take(&path).await.unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let taken = Place::take(&path).await.unwrap_err().to_string();
        let pid = format!("taken by process {}", std::process::id());
        assert!(taken.contains(&pid), "{taken}");
        // As after a kill: the file is there, and nobody listens.
        drop(first);
        std::mem::forget(place);
        let (_second, place) = Place::take(&path).await.unwrap();
        drop(place);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone_and_so_is_another_ones() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        let refused = Place::take(&file).await.unwrap_err().to_string();
        assert!(refused.contains("is a file, no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        let long = home.path().join("x".repeat(200));
        let refused = Place::take(&long).await.unwrap_err().to_string();
        assert!(refused.contains("at most 107"), "{refused}");
        // Somebody removed ours and put another in its place: that one stays.
        let path = home.path().join("s.sock");
        let (_ours, place) = Place::take(&path).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        let _theirs = UnixListener::bind(&path).unwrap();
        drop(place);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn whoever_comes_while_another_is_taking_it_is_told_so() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("s.sock");
        let _turn = turn(&path).unwrap();
        let refused = Place::take(&path).await.unwrap_err().to_string();
        assert!(refused.contains("at this moment"), "{refused}");
    }
}
