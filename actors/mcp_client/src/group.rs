//! Shell: a program in a process group of its own, so that whatever it starts ends with it.
//!
//! Invariant: when a `Group` is gone, however that came about, nothing of its process group runs. A task that is aborted, a
//! panic and a runtime that is shut down drop it, and that kills. What no drop sees: if this process itself is killed
//! (`SIGKILL`), the programs' inputs close, which ends every server that keeps to the protocol; and a program that leaves
//! its group on purpose (`setsid`) cannot be followed.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use crate::config::Transport;

/// Of our environment this is handed on, as the protocol's own clients do: the rest may hold secrets.
const INHERITED: [&str; 8] = [
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR",
];
/// How often a group whose leader has ended is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long the kernel may take to end what was killed. 1 s: after that it is the kernel's.
const KILLED: Duration = Duration::from_secs(1);

/// The ends of a program's pipes.
pub(crate) struct Pipes {
    pub(crate) input: ChildStdin,
    pub(crate) output: ChildStdout,
    pub(crate) errors: ChildStderr,
}

/// A program and all its children.
pub(crate) struct Group {
    leader: Child,
    id: Pid,
    is_gone: bool,
}

impl Group {
    /// Starts it. Nothing is waited for.
    pub(crate) fn start(transport: &Transport) -> Result<(Self, Pipes), String> {
        let Transport::Stdio {
            command,
            args,
            env,
            cwd,
        } = transport
        else {
            return Err("it is no program".to_owned());
        };
        let mut program = Command::new(command);
        program
            .args(args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                program.env(name, value);
            }
        }
        program.envs(env);
        if let Some(cwd) = cwd {
            program.current_dir(cwd);
        }
        let mut leader = program
            .spawn()
            .map_err(|error| format!("{command} cannot be started: {error}"))?;
        let raw = leader.id().and_then(|id| i32::try_from(id).ok());
        let Some(id) = raw.and_then(Pid::from_raw) else {
            return Err(format!("{command} ended before it began"));
        };
        let pipes = (
            leader.stdin.take(),
            leader.stdout.take(),
            leader.stderr.take(),
        );
        let group = Self {
            leader,
            id,
            is_gone: false,
        };
        match pipes {
            (Some(input), Some(output), Some(errors)) => Ok((
                group,
                Pipes {
                    input,
                    output,
                    errors,
                },
            )),
            _ => Err(format!("{command} has no pipes")),
        }
    }

    /// The program's process id, which is its group's, too.
    pub(crate) fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the program itself has ended. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        self.leader.wait().await
    }

    /// Ends it, in at most twice `grace` and a second: its input is closed already, so it may end by itself; then it is
    /// asked to (`SIGTERM`); then it is killed, and whatever it started with it.
    pub(crate) async fn end(&mut self, grace: Duration) {
        let mut is_over = self.over(grace).await;
        if !is_over {
            self.signal(Signal::TERM);
            is_over = self.over(grace).await;
        }
        if !is_over {
            self.signal(Signal::KILL);
            is_over = self.over(KILLED).await;
        }
        self.is_gone = is_over;
    }

    /// Whether all of it is over within `patience`.
    async fn over(&mut self, patience: Duration) -> bool {
        let over = async {
            // Reaped; it cannot be waited for only if somebody else did.
            let _ = self.leader.wait().await;
            while test_kill_process_group(self.id).is_ok() {
                sleep(LOOK).await;
            }
        };
        timeout(patience, over).await.is_ok()
    }

    fn signal(&self, signal: Signal) {
        // Nobody is left there: that is what is wanted. The number of a group is not given to another while it has members,
        // and numbers come round only after all others were used.
        let _ = kill_process_group(self.id, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.is_gone {
            self.signal(Signal::KILL);
        }
    }
}
