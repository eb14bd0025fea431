//! Tokens from outside: the built binary makes, lists and takes them back, and a server that runs hears of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;
use crate::server;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Home, assert_refused, finish, ran};
use server::Server;

fn file(home: &Home) -> PathBuf {
    home.path(".local/share/paraphym/tokens.json")
}

/// Serves with a file for its model, so that none is looked for.
fn serve(home: &Home, args: &[&str]) -> Command {
    let model = home.path("garbage.gguf");
    fs::write(&model, b"GGUF but nothing more").unwrap();
    let mut command = home.command(&["serve", "--model"]);
    command.arg(model).args(args);
    command
}

/// A new token.
fn made(home: &Home, args: &[&str]) -> String {
    let out = home.say(&[&["token", "new"], args].concat());
    assert_eq!(out.lines().count(), 1, "{out}");
    out.trim().to_owned()
}

#[test]
fn a_token_is_shown_once_and_kept_as_a_hash_for_its_owner_alone() {
    let home = Home::new();
    let ran = home
        .run(&["token", "new", "--name", "ci", "--rpm", "60"])
        .well();
    let token = ran.out.trim();
    assert!(
        token.starts_with("sk-paraphym-") && token.len() == 76,
        "{token}"
    );
    assert!(
        !ran.err.contains(&token[12..]) && ran.err.contains("ci ("),
        "{}",
        ran.err
    );
    let other = made(&home, &[]);
    let json = home.json(&["token", "new", "--name", "both", "--concurrent", "2"]);
    let third = json["token"].as_str().unwrap();
    assert!(
        third.starts_with("sk-paraphym-") && json["concurrent"] == 2,
        "{json}"
    );

    let listed = home.say(&["token", "list"]);
    let list = home.json(&["token", "list"]);
    let kept = fs::read_to_string(file(&home)).unwrap();
    for text in [&listed, &list.to_string(), &kept] {
        for token in [token, &other, third] {
            assert!(!text.contains(&token[12..]), "{text}");
        }
    }
    assert!(listed.contains("ci") && listed.contains("60"), "{listed}");
    let names: Vec<_> = list["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(
        names,
        [&"ci".into(), &serde_json::Value::Null, &"both".into()]
    );
    let mode = fs::metadata(file(&home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let id = list["tokens"][1]["id"].as_str().unwrap();
    home.run(&["token", "revoke", id]).well();
    home.run(&["token", "revoke", "ci"]).well();
    let left = home.json(&["token", "list"]);
    assert_eq!(left["tokens"].as_array().unwrap().len(), 1, "{left}");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let home = Home::new();
    made(&home, &["--name", "a"]);
    for (args, code, parts) in [
        (
            &["new", "--name", "a"][..],
            2,
            &["name = a", "another token has it"][..],
        ),
        (&["new", "--name", "a b"], 2, &["letters, digits"]),
        (
            &["new", "--rpm", "0"],
            2,
            &["requests_per_minute = 0", "from 1"],
        ),
        (&["revoke", "b"], 1, &["no token b", "paraphym token list"]),
    ] {
        assert_refused(&home.run(&[&["token"], args].concat()), code, parts);
    }
    fs::write(file(&home), "{\"version\":").unwrap();
    for args in [
        &["token", "new"][..],
        &["token", "list"],
        &["token", "revoke", "a"],
    ] {
        let refused = home.run(args);
        assert_refused(&refused, 1, &["tokens.json is damaged", "move it away"]);
    }
    let refused = ran(&mut serve(&home, &["--bind", "127.0.0.1:0"]));
    assert_refused(&refused, 1, &["tokens.json is damaged", "move it away"]);
    assert_eq!(fs::read_to_string(file(&home)).unwrap(), "{\"version\":");
}

#[test]
fn of_many_that_are_made_at_once_none_is_lost() {
    let home = Home::new();
    let all: Vec<Child> = (0..6)
        .map(|_| home.command(&["token", "new"]).spawn().unwrap())
        .collect();
    for child in all {
        finish(child).well();
    }
    let list = home.json(&["token", "list"]);
    assert_eq!(list["tokens"].as_array().unwrap().len(), 6);
}

#[test]
fn settings_that_are_wrong_keep_nobody_from_taking_a_token_back() {
    let home = Home::new();
    made(&home, &["--name", "a"]);
    let settings = home.path(".config/paraphym");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("config.toml"), "[nonsense").unwrap();
    home.run(&["token", "revoke", "a"]).well();
}

/// Serves there, and that is seen from outside.
fn start(home: Home, args: &[&str]) -> Server {
    let command = serve(&home, args);
    Server::spawn(home, command)
}

/// What is answered to a client that asks for a name that is not this machine's.
fn get(server: &Server, path: &str, token: Option<&str>) -> String {
    let mut socket = TcpStream::connect(&server.address).unwrap();
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: models.example\r\nconnection: close\r\n{token}\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

fn status(server: &Server, path: &str, token: Option<&str>) -> u16 {
    let answer = get(server, path, token);
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Until that is answered; how long it took.
fn until(server: &Server, wanted: u16, token: &str) -> Duration {
    let begun = now();
    while status(server, "/v1/models", Some(token)) != wanted {
        assert!(
            now().duration_since(begun) < Duration::from_secs(30),
            "never {wanted}"
        );
    }
    now().duration_since(begun)
}

#[allow(
    clippy::disallowed_methods,
    reason = "no runtime and no paused clock here: real processes take real time"
)]
fn now() -> Instant {
    Instant::now()
}

const EVERYWHERE: &str = "0.0.0.0:0";

#[test]
fn off_loopback_a_token_opens_the_door_until_it_is_revoked_and_is_never_logged() {
    let home = Home::new();
    let refused = ran(&mut serve(&home, &["--bind", EVERYWHERE]));
    assert_refused(&refused, 2, &["bind = 0.0.0.0:0", "paraphym token new"]);

    let token = made(&home, &["--name", "laptop"]);
    let server = start(home, &["--bind", EVERYWHERE, "--log", "trace"]);
    assert_eq!(status(&server, "/healthz", None), 200);
    for path in ["/v1/models", "/metrics", "/readyz"] {
        let refused = get(&server, path, None);
        assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
        assert!(refused.contains("invalid_api_key"), "{refused}");
        assert!(!refused.contains("models.example"), "{refused}");
    }
    assert_eq!(
        status(&server, "/v1/models", Some("sk-paraphym-wrong")),
        401
    );
    assert_eq!(status(&server, "/v1/models", Some(&token)), 200);

    let later = made(&server.home, &["--name", "later"]);
    let took = until(&server, 200, &later);
    assert!(took < Duration::from_secs(1), "{took:?}");
    server.home.run(&["token", "revoke", "laptop"]).well();
    let took = until(&server, 401, &token);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(status(&server, "/v1/models", Some(&later)), 200);
    let said = server.end();
    assert!(said.contains("answered"), "the log shows requests: {said}");
    for token in [&token, &later] {
        assert!(!said.contains(&token[12..]), "{said}");
    }
}

#[test]
fn on_loopback_nobody_needs_one_until_one_was_made() {
    let home = Home::new();
    let server = start(home, &["--bind", "127.0.0.1:0"]);
    // By a name that is not this machine's.
    assert_eq!(status(&server, "/v1/models", None), 403);
    let token = made(&server.home, &[]);
    until(&server, 200, &token);
    assert_eq!(status(&server, "/v1/models", None), 401);
    // The first one has the file of the audit log.
    let mut required = serve(&server.home, &["--bind", EVERYWHERE, "--store", "off"]);
    required.env("PARAPHYM_SERVER__AUTH", "off");
    assert_refused(
        &ran(&mut required),
        2,
        &["bind = 0.0.0.0:0", "server.auth = off"],
    );
    server.end();
}
