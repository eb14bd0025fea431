//! A headless Chromium, told what to do over the W3C's `WebDriver` protocol by the chromedriver beside it.
//!
//! By hand, because eight calls are used: the clients there are would bring second copies of http, cookie and icu, or of
//! reqwest, into the tree of everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Far beyond what anything here takes; what waits in the page ends earlier, and says for what it waited.
const FOR_EVER: Duration = Duration::from_mins(3);

/// Nothing of it reaches the network, and as root it has no sandbox.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// What `WebDriver` calls an element in JSON.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; gone with the test.
pub(super) struct Driver {
    process: Child,
    port: u16,
    session: String,
    /// Its profile, empty at first.
    _profile: TempDir,
}

impl Driver {
    /// Starts one whose window is so wide and high, in pixels.
    pub(super) fn start(width: u32, height: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("chromedriver");
        command
            .arg("--port=0")
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn().unwrap_or_else(|error| {
            panic!("chromedriver: {error}; Debian has it in the package chromium-driver")
        });
        let port = port_of(&mut process);
        let folder = profile.path().join("profile");
        let own = [
            format!("--user-data-dir={}", folder.display()),
            format!("--window-size={width},{height}"),
        ];
        let flags: Vec<&str> = FLAGS.into_iter().chain(own.iter().map(|x| &**x)).collect();
        let mut driver = Self {
            process,
            port,
            session: String::new(),
            _profile: profile,
        };
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"script": FOR_EVER.as_millis() as u64},
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let made = driver.call("POST", "/session", &wanted);
        made["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut driver.session);
        driver
    }

    /// A command of the session with its answer's value.
    #[track_caller]
    pub(super) fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{path}", self.session), body)
    }

    /// A command of the `DevTools` protocol.
    #[track_caller]
    pub(super) fn devtools(&self, cmd: &str, params: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": cmd, "params": params}))
    }

    /// The value of an expression of JavaScript.
    #[track_caller]
    pub(super) fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    /// The value of a function's body that calls `done(value)`.
    #[track_caller]
    pub(super) fn awaited(&self, body: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {body}");
        self.post("execute/async", &json!({"script": script, "args": []}))
    }

    #[track_caller]
    pub(super) fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Presses these keys one after the other where that is.
    #[track_caller]
    pub(super) fn keys(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("element/{element}/value"), &json!({"text": text}));
    }

    /// What the window shows, as a PNG.
    pub(super) fn screenshot(&self) -> Vec<u8> {
        let path = format!("/session/{}/screenshot", self.session);
        let shown = self.call("GET", &path, &Value::Null);
        STANDARD.decode(shown.as_str().unwrap()).unwrap()
    }

    /// What the browser said on its console since it was asked last, as `[level, message]`.
    pub(super) fn console(&self) -> Vec<(String, String)> {
        let said = self.post("se/log", &json!({"type": "browser"}));
        let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        let lines = said.as_array().unwrap().iter();
        lines
            .map(|line| (text(line, "level"), text(line, "message")))
            .collect()
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        let by = json!({"using": "css selector", "value": selector});
        let found = self.post("element", &by);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = exchange(self.port, method, path, body).unwrap();
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer["value"].clone()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The browser ends with its session; then the driver has no child any more.
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let _ = exchange(self.port, "DELETE", &path, &Value::Null);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where it listens, as it says.
fn port_of(process: &mut Child) -> u16 {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    for line in lines {
        let line = line.unwrap();
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return port.trim_end_matches('.').parse().unwrap();
        }
    }
    panic!("chromedriver ended, and never said its port");
}

/// A request and its answer: status and body.
fn exchange(port: u16, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(FOR_EVER))?;
    let body = if method == "POST" {
        body.to_string()
    } else {
        String::new()
    };
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}",
    )?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let mut length = 0;
    loop {
        line.clear();
        answer.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut bytes = vec![0; length];
    answer.read_exact(&mut bytes)?;
    let value = serde_json::from_slice(&bytes)?;
    Ok((status.unwrap_or(0), value))
}
