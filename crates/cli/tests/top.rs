//! `paraphym top` against a real server: in a pipe, and in a real terminal, which is tmux's: keys are pressed, screens are
//! captured, and whatever way it ends the terminal is as it was.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "no runtime and no paused clock here: real processes take real time"
)]

use crate::common;
use crate::server;

use std::cell::Cell;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Home, assert_refused};
use server::Server;

/// Far beyond what anything here takes.
const FOR_EVER: Duration = Duration::from_mins(1);

/// A terminal of 80 by 24 with a shell in it; gone with the test.
struct Terminal {
    socket: String,
    /// How often its flags were looked at, so that each look has a mark of its own.
    looks: Cell<u32>,
}

impl Terminal {
    /// `variables` are those of the shell, beside what every shell needs.
    fn open(home: &Home, variables: &str) -> Self {
        let socket = format!(
            "paraphym-{}-{}",
            std::process::id(),
            home.path("").display()
        );
        let terminal = Self {
            socket: socket.replace('/', "-"),
            looks: Cell::new(0),
        };
        let shell = format!(
            "env -i HOME={} XDG_RUNTIME_DIR={} PATH=/usr/bin:/bin TERM=screen PS1='ready> ' {variables} sh",
            home.path("").display(),
            home.path("run").display(),
        );
        let args = ["new-session", "-d", "-x", "80", "-y", "24", shell.as_str()];
        terminal.tmux(&[&["-f", "/dev/null"], &args[..]].concat());
        terminal.shows(|screen| screen.contains("ready>"));
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let ran = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(args)
            .env("LANG", "C.UTF-8")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{args:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until the screen is so, and gives it.
    #[track_caller]
    fn shows(&self, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if wanted(&screen) {
                return screen;
            }
            assert!(begun.elapsed() < FOR_EVER, "it never shows:\n{screen}");
        }
    }

    fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn enter(&self, line: &str) {
        self.press(&["-l", line]);
        self.press(&["Enter"]);
    }

    /// How the shell's terminal is set.
    fn flags(&self) -> String {
        let mark = self.looks.get() + 1;
        self.looks.set(mark);
        self.enter(&format!("clear; stty -a; echo look {mark}"));
        let end = format!("\nlook {mark}");
        let screen = self.shows(|screen| screen.contains(&end));
        let (from, to) = (screen.find("speed").unwrap(), screen.find(&end).unwrap());
        screen[from..to].to_owned()
    }

    /// Starts it and waits for its first picture; its process.
    fn top(&self, args: &str) -> u32 {
        self.enter(&format!("{} top {args}", env!("CARGO_BIN_EXE_paraphym")));
        self.shows(|screen| screen.contains("q quit") && screen.contains("memory_governor"));
        let shell = self.tmux(&["list-panes", "-F", "#{pane_pid}"]);
        let shell = shell.trim();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let children = std::fs::read_to_string(children).unwrap();
        children.trim().parse().unwrap()
    }

    /// It is gone, and nothing of it is left.
    #[track_caller]
    fn is_as_before(&self, flags: &str) {
        let screen = self.shows(|screen| screen.trim_end().ends_with("ready>"));
        assert!(!screen.contains("q quit"), "{screen}");
        assert_eq!(self.flags(), flags);
        let cursor = self.tmux(&["display-message", "-p", "#{cursor_flag} #{alternate_on}"]);
        assert_eq!(cursor.trim(), "1 0");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let ended = Command::new("tmux")
            .args(["-L", &self.socket, "kill-server"])
            .output();
        drop(ended);
    }
}

/// The lines of a screen without what differs from run to run: numbers, bars, and the space that they leave.
fn without_figures(screen: &str) -> Vec<String> {
    let lines = screen.lines().map(|line| {
        let words = line.split_whitespace().filter(|word| {
            let figure = word.contains(|c: char| c.is_ascii_digit());
            !figure && !word.contains(|c: char| ('\u{2580}'..='\u{259f}').contains(&c))
        });
        words.collect::<Vec<_>>().join(" ")
    });
    lines.collect()
}

#[test]
fn one_picture_in_a_pipe_is_plain_text_or_json() {
    let server = Server::start();
    server.say(&["load", "smollm2-135m-instruct"]);
    let text = server.home.say(&["top", "--once", "--every", "100ms"]);
    for part in [
        "paraphym 0.1.0",
        "memory",
        "threads main 1",
        "ACTOR",
        "model_host",
        "smollm2-135m-instruct",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let json = server.home.json(&["top", "--once"]);
    assert_eq!(json["pid"], server.child.id());
    assert_eq!(json["models"][0]["model"]["state"], "ready", "{json}");
    let refused = server.home.run(&["top"]);
    assert_refused(&refused, 2, &["no terminal", "top --once"]);
    server.end();
    assert_refused(&Home::new().run(&["top", "--once"]), 3, &["paraphym serve"]);
}

#[test]
fn what_is_seen_in_a_terminal_is_steered_by_keys_and_leaves_nothing_behind() {
    let server = Server::start();
    server.say(&["load", "smollm2-135m-instruct"]);
    let terminal = Terminal::open(&server.home, "LANG=C.UTF-8");
    let flags = terminal.flags();
    let top = terminal.top("--every 200ms");
    // The runtime's threads, by their names, and no other.
    for thread in std::fs::read_dir(format!("/proc/{top}/task")).unwrap() {
        let name = std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap();
        assert!(name.starts_with("paraphym"), "{name}");
    }
    let screen = terminal.shows(|screen| screen.contains("messages/s"));
    let lines = without_figures(&screen);
    let expected = [
        "ACTOR STATE MAILBOX MSG/S RESTARTS DOES",
        ">root up",
        "memory_governor up",
        "model_host up",
        "MODEL STATE WEIGHTS KV+KEPT LEASES ANSW WAIT LEAVES",
        "EVENTS (UTC)",
        "q quit ? help / filter s sort space freeze enter details r p u c act",
    ];
    let head = &lines[0];
    assert!(head.starts_with("paraphym process up "), "{head}");
    assert!(head.ends_with("actors, all well messages/s"), "{head}");
    let mut rest = lines.iter();
    for line in expected {
        assert!(
            rest.any(|shown| shown.starts_with(line)),
            "{line:?} in this order in {lines:#?}"
        );
    }
    // One actor alone; paused, shown so, and resumed.
    terminal.press(&["/"]);
    terminal.press(&["-l", "cache_jan"]);
    terminal.press(&["Enter"]);
    terminal
        .shows(|screen| !screen.contains("memory_governor   ") && screen.contains("cache_janitor"));
    terminal.press(&["p"]);
    terminal.shows(|screen| screen.contains("would pause root/cache_janitor"));
    terminal.press(&["n"]);
    terminal.shows(|screen| !screen.contains("would pause"));
    assert_eq!(
        server.json(&["inspect", "cache_janitor"])["actor"].get("paused"),
        None
    );
    terminal.press(&["p"]);
    terminal.shows(|screen| screen.contains("would pause"));
    terminal.press(&["y"]);
    // What the server answers stays until it was read.
    terminal.shows(|screen| screen.contains("root/cache_janitor paused"));
    terminal.press(&["Escape"]);
    terminal.shows(|screen| !screen.contains("root/cache_janitor paused"));
    terminal.shows(|screen| {
        let lines = screen.lines();
        lines
            .into_iter()
            .any(|line| line.contains("cache_janitor") && line.contains("paused"))
    });
    assert_eq!(
        server.json(&["inspect", "cache_janitor"])["actor"]["paused"],
        true
    );
    server.say(&["resume", "cache_janitor"]);
    terminal.press(&["?"]);
    terminal.shows(|screen| screen.contains("any key closes this"));
    terminal.press(&["Escape"]);
    // Sent together, the two would be one key.
    terminal.shows(|screen| !screen.contains("any key closes this"));
    terminal.press(&["q"]);
    terminal.is_as_before(&flags);
    server.end();
}

#[test]
fn a_signal_a_panic_and_a_server_that_ends_leave_the_terminal_as_it_was() {
    let server = Server::start();
    let terminal = Terminal::open(&server.home, "NO_COLOR=1");
    let flags = terminal.flags();
    let top = terminal.top("--every 200ms");
    let coloured = terminal.tmux(&["capture-pane", "-p", "-e"]);
    for colour in 30..38 {
        assert!(
            !coloured.contains(&format!("\u{1b}[{colour}m")),
            "{coloured}"
        );
    }
    let pid = rustix::process::Pid::from_raw(i32::try_from(top).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    terminal.is_as_before(&flags);
    if cfg!(debug_assertions) {
        terminal.top("--every 200ms");
        terminal.press(&["C-x"]);
        terminal.shows(|screen| screen.contains("on purpose"));
        terminal.is_as_before(&flags);
    }
    terminal.top("--every 200ms");
    server.end();
    terminal.shows(|screen| screen.contains("no server") || screen.contains("hung up"));
    terminal.press(&["C-c"]);
    terminal.is_as_before(&flags);
}

#[test]
fn it_ends_with_its_terminal() {
    let server = Server::start();
    let ended = server.home.path("ended");
    // As when a connection of ssh drops: the terminal is taken away, and whoever runs in it hears SIGHUP. The first shell
    // outlives that, and tells; in the second nobody who ignores the signal hears it, and top sees by itself that it is alone.
    for trap in [":", "''"] {
        let terminal = Terminal::open(&server.home, "LANG=C.UTF-8");
        let top = env!("CARGO_BIN_EXE_paraphym");
        let ended = ended.display();
        let line = format!(
            "trap {trap} HUP; {top} top --every 200ms; echo $? > {ended}; mv {ended} {ended}.whole"
        );
        let script = server.home.path("script");
        std::fs::write(&script, line).unwrap();
        terminal.enter(&format!("sh {}", script.display()));
        terminal.shows(|screen| screen.contains("q quit") && screen.contains("memory_governor"));
        drop(terminal);
        let whole = format!("{ended}.whole");
        let begun = Instant::now();
        let status = loop {
            if let Ok(status) = std::fs::read_to_string(&whole) {
                break status;
            }
            assert!(begun.elapsed() < FOR_EVER, "it never ends");
            std::thread::yield_now();
        };
        assert_eq!(status.trim(), "129", "trap {trap} HUP");
        std::fs::remove_file(&whole).unwrap();
    }
    assert!(server.say(&["status"]).contains("all well"));
    server.end();
}
