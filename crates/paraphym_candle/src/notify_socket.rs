//! The socket of a service manager: a datagram at a time, and nobody waits for one who does not read. The kernel keeps ten or
//! so for a manager; a blocking send of one more would hold a worker of the runtime for as long as the manager sleeps.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;

/// Says it to whoever listens at `place`, as `NOTIFY_SOCKET` has it: a path, or `@` and an abstract name (`sd_notify(3)`).
///
/// # Errors
/// Nobody listens there, or who does has not read what was said before; then it is not said.
pub(crate) fn send(place: &OsStr, state: &[NotifyState<'_>]) -> io::Result<()> {
    let words: Vec<String> = state.iter().map(ToString::to_string).collect();
    let words = words.join("\n") + "\n";
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(words.as_bytes(), &address(place)?)?;
    Ok(())
}

fn address(place: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;

        if let Some(name) = place.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name);
        }
    }
    SocketAddr::from_pathname(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut bytes = [0; 200];
        let read = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    #[test]
    fn a_manager_that_does_not_read_keeps_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("notify.sock");
        assert!(send(place.as_os_str(), &[NotifyState::Ready]).is_err());
        let manager = UnixDatagram::bind(&place).unwrap();
        let stopping = [NotifyState::Stopping, NotifyState::Status("ending")];
        send(place.as_os_str(), &stopping).unwrap();
        // More than any kernel keeps.
        let refused = (0..10_000)
            .map(|_| send(place.as_os_str(), &[NotifyState::Watchdog]))
            .find_map(Result::err)
            .expect("there is an end to it");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(heard(&manager), "STOPPING=1\nSTATUS=ending\n");
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
        send(place.as_os_str(), &[NotifyState::Watchdog]).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manager_may_have_an_abstract_name() {
        use std::os::linux::net::SocketAddrExt;
        use std::time::Duration;

        let name = format!("paraphym-test-{}", std::process::id());
        let at = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&at).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        send(OsStr::new(&format!("@{name}")), &[NotifyState::Ready]).unwrap();
        assert_eq!(heard(&manager), "READY=1\n");
    }
}
