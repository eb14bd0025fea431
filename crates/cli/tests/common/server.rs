//! A server of the built binary in a home of its own. It ends with its test, whatever becomes of that.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a broken fixture should fail the test at once"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use inference::fixture::TinyModel;
use model_store::{Store, StoreConfig};
use rustix::process::Signal;
use serde_json::Value;

use crate::common::{Home, Ran, signal};

/// Between two looks at what a server has said.
const GLANCE: Duration = Duration::from_millis(5);
/// A little longer than two SIGTERMs may be apart that count as one.
const INSISTENCE: Duration = Duration::from_millis(300);

/// A process that ends with its test.
pub struct Running(Child);

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Server {
    pub home: Home,
    pub child: Running,
    /// Where it listens, as `127.0.0.1:7007`.
    pub address: String,
    /// What it says: a pipe that nobody reads would make it wait.
    log: PathBuf,
    /// How much of that was heard.
    heard: usize,
}

impl Server {
    /// Serves a made model, and lets itself be broken on purpose.
    pub fn start() -> Self {
        Self::with(tiny(Home::new()), &["--allow-chaos"])
    }

    pub fn with(home: Home, args: &[&str]) -> Self {
        let args = [&["serve", "--bind", "127.0.0.1:0"], args].concat();
        let command = home.paraphym(&args);
        Self::spawn(home, command)
    }

    /// Serves the real models.
    pub fn real(home: Home, args: &[&str]) -> Self {
        Self::with(home.with("PARAPHYM_MODELS_DIR", real_models()), args)
    }

    /// Serves as this command does, in that home.
    pub fn spawn(home: Home, mut command: Command) -> Self {
        let log = home.path("server.log");
        let file = File::create(&log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let mut server = Self {
            home,
            child: Running(child),
            address: String::new(),
            log,
            heard: 0,
        };
        let line = server.hear("listening on http://");
        let (_, address) = line.split_once("http://").unwrap();
        // A log of objects goes on behind it.
        let end = address.find(|c: char| c == '"' || c.is_whitespace());
        let address = &address[..end.unwrap_or(address.len())];
        server.address = address.replace("0.0.0.0", "127.0.0.1");
        server
    }

    pub fn ctl(&self, args: &[&str]) -> Ran {
        self.home.run(&[&["ctl"], args].concat())
    }

    #[track_caller]
    pub fn say(&self, args: &[&str]) -> String {
        self.home.say(&[&["ctl"], args].concat())
    }

    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.home.json(&[&["ctl"], args].concat())
    }

    /// All that it has said.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// The next line with this in it, once it is said.
    #[track_caller]
    pub fn hear(&mut self, part: &str) -> String {
        loop {
            let ended = self.child.try_wait().unwrap().is_some();
            let said = self.said();
            for line in said[self.heard..].split_inclusive('\n') {
                if !line.ends_with('\n') {
                    break;
                }
                self.heard += line.len();
                if line.contains(part) {
                    return line.to_owned();
                }
            }
            assert!(!ended, "it ended, and never said {part}: {said}");
            glance();
        }
    }

    /// Asks for `GET /readyz` and the like; the connection, from which the answer comes.
    pub fn request(&self, head: &str, body: &str) -> TcpStream {
        request(&self.address, head, body)
    }

    /// The same under a name of the client's.
    pub fn request_as(&self, name: &str, head: &str, body: &str) -> TcpStream {
        let name = format!("x-request-id: {name}\r\n");
        request_with(&self.address, head, &name, body)
    }

    /// The whole answer, with its head.
    pub fn answer(&self, head: &str, body: &str) -> String {
        exchange(&self.address, head, body)
    }

    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }

    /// SIGTERM once more, when that is not taken for the one before.
    pub fn insist(&self) {
        wait(INSISTENCE);
        self.signal(Signal::TERM);
    }

    /// Its status, once it has ended by itself, and all that it said.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.said())
    }

    /// Ends it in order; all that it said.
    pub fn end(self) -> String {
        self.signal(Signal::TERM);
        let (code, said) = self.ended();
        assert_eq!(code, Some(143), "{said}");
        said
    }
}

/// The same with a small made model under the name of the usual one.
pub fn tiny(home: Home) -> Home {
    let models = home.path(".local/share/paraphym/models");
    fs::create_dir_all(&models).unwrap();
    let model = models.join("smollm2-135m-instruct.gguf");
    TinyModel::qwen2().write(&model).unwrap();
    home
}

/// The folder of the real models.
pub fn real_models() -> PathBuf {
    match std::env::var_os("PARAPHYM_TEST_MODEL") {
        Some(chat) => Path::new(&chat).parent().unwrap().to_owned(),
        None => Store::open(StoreConfig::at(None)).unwrap().dir().to_owned(),
    }
}

/// A request to that address, with a body of JSON.
pub fn request(address: &str, head: &str, body: &str) -> TcpStream {
    request_with(address, head, "", body)
}

fn request_with(address: &str, head: &str, more: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n{more}\r\n{body}",
    )
    .unwrap();
    stream
}

/// The whole answer to it, with its head.
pub fn exchange(address: &str, head: &str, body: &str) -> String {
    let mut whole = String::new();
    let mut stream = request(address, head, body);
    stream.read_to_string(&mut whole).unwrap();
    whole
}

fn glance() {
    wait(GLANCE);
}

/// Waits: nobody writes to that socket.
fn wait(time: Duration) {
    let (mut silent, _open) = UnixStream::pair().unwrap();
    silent.set_read_timeout(Some(time)).unwrap();
    let waited = silent.read(&mut [0]);
    assert!(waited.is_err(), "somebody wrote");
}
