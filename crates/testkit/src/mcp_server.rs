//! A program that speaks the Model Context Protocol by hand over its standard input and output, and does one thing wrong.
//! A test program is that program itself: it starts itself once more.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what the other side sends is well formed, or the test has failed"
)]

use std::io::{BufRead, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

/// What a shell is called with so that it runs `shell`, then this test program's ignored test `test` in its place.
pub fn again(shell: &str, test: &str) -> Vec<String> {
    let exe = std::env::current_exe().unwrap();
    let script = format!("{shell} \"$0\" \"$@\"");
    let exe = exe.to_str().unwrap();
    [
        "-c",
        &script,
        exe,
        "--ignored",
        "--exact",
        "--nocapture",
        test,
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Plays this part until standard input ends.
pub fn play(part: String) {
    let mut server = Server {
        part,
        calls: 0,
        out: std::io::stdout(),
    };
    for line in std::io::stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        server.hear(&message);
    }
    if server.part == "stays" {
        stay();
    }
}

#[allow(clippy::disallowed_methods, reason = "this is a program of its own")]
fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// Waits for a word that nobody says.
fn stay() -> ! {
    let (mut hears, _says) = UnixStream::pair().unwrap();
    loop {
        let _ = hears.read(&mut [0]);
    }
}

fn complain(text: &str) {
    // Nobody listens any more: the end comes.
    let _ = writeln!(std::io::stderr(), "{text}");
}

struct Server {
    part: String,
    calls: u32,
    out: std::io::Stdout,
}

impl Server {
    fn say(&mut self, text: &str) {
        // Nobody listens any more: the end comes.
        let said = self
            .out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush());
        if said.is_err() {
            leave(0);
        }
    }

    fn answer(&mut self, id: &Value, result: &Value) {
        let line = json!({"jsonrpc": "2.0", "id": id, "result": result});
        self.say(&format!("{line}\n"));
    }

    fn endlessly(&mut self, text: &str) -> ! {
        loop {
            self.say(text);
        }
    }

    fn hear(&mut self, message: &Value) {
        let id = &message["id"];
        match (message["method"].as_str(), self.part.as_str()) {
            (Some("initialize"), "never ready") | (Some("ping"), "hangs") => {}
            (Some("initialize"), "dies at once") => {
                complain("I cannot find my configuration");
                leave(3)
            }
            (Some("initialize"), "garbage at once") => self.endlessly("hello, I am no server\n"),
            (Some("initialize"), _) => self.answer(
                id,
                &json!({
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": true}},
                    "serverInfo": {"name": "test", "version": "1"},
                }),
            ),
            (Some("tools/list"), _) => {
                let page = self.page(message["params"]["cursor"].as_str());
                self.answer(id, &page);
            }
            (Some("tools/call"), _) => {
                self.calls += 1;
                self.call(id, &message["params"]);
            }
            (Some("ping"), _) => self.answer(id, &json!({})),
            _ => {}
        }
    }

    fn page(&self, cursor: Option<&str>) -> Value {
        let tool = |name: String| json!({"name": name, "description": "a tool", "inputSchema": {"type": "object"}});
        let from: u32 = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        match self.part.as_str() {
            "has many" => {
                let tools: Vec<Value> = (from..from + 100).map(|n| tool(format!("t{n}"))).collect();
                let next = (from + 100 < 1000).then(|| (from + 100).to_string());
                json!({"tools": tools, "nextCursor": next})
            }
            "has endless pages" => {
                let tools: Vec<Value> = (from..from + 100).map(|n| tool(format!("t{n}"))).collect();
                json!({"tools": tools, "nextCursor": (from + 100).to_string()})
            }
            "grows" => {
                let tools: Vec<Value> = (0..=self.calls).map(|n| tool(format!("t{n}"))).collect();
                json!({"tools": tools})
            }
            _ => json!({"tools": [
                tool("echo".to_owned()),
                tool("fails".to_owned()),
                tool("odd name!".to_owned()),
                {"name": "environment", "annotations": {"readOnlyHint": true}, "inputSchema": {"type": "object"}},
            ]}),
        }
    }

    fn call(&mut self, id: &Value, params: &Value) {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        match self.part.as_str() {
            "hangs" | "does not answer calls" => {}
            "dies" => {
                complain("out of memory");
                leave(3)
            }
            "dies half way" => {
                self.say("{\"jsonrpc\": \"2.0\", \"id\"");
                leave(3)
            }
            "floods" => self.endlessly(&"x".repeat(1 << 16)),
            "floods with lines" => self.endlessly("{\"a\": 1}\n"),
            "floods with news" => {
                let news = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}});
                self.endlessly(&format!("{news}\n"))
            }
            "floods beside" => loop {
                complain(&"x".repeat(1000));
                self.calls += 1;
                if self.calls > 20_000 {
                    return self.answer(id, &text("done"));
                }
            },
            "asks endlessly" => {
                for ask in 0.. {
                    let line = json!({"jsonrpc": "2.0", "id": ask, "method": "ping"});
                    self.say(&format!("{line}\n"));
                }
            }
            "speaks garbage" => self.endlessly("Segmentation fault?\n"),
            "answers nonsense" => self.answer(id, &json!([1, 2])),
            "grows" => {
                self.answer(id, &text("grown"));
                self.say(
                    "{\"jsonrpc\": \"2.0\", \"method\": \"notifications/tools/list_changed\"}\n",
                );
            }
            _ => self.well(id, params),
        }
    }

    fn well(&mut self, id: &Value, params: &Value) {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        let result = match params["name"].as_str() {
            Some("fails") => {
                json!({"content": [{"type": "text", "text": "no such file: a.txt"}], "isError": true})
            }
            Some("environment") => {
                let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
                text(&names.join(" "))
            }
            _ => {
                let calls = self.calls;
                text(&format!("{} (call {calls})", params["arguments"]))
            }
        };
        self.answer(id, &result);
    }
}
