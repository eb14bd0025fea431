//! The page over a real socket: each file it needs, whole, with what keeps others' scripts out, and nothing else.
#![allow(
    clippy::unwrap_used,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use std::collections::BTreeSet;

use support::live::Bounds;
use support::{Response, Scene, exchange, get, hello};

async fn scene() -> Scene {
    Scene::live(hello(), Bounds::default(), |_| {}).await
}

/// A request without a body, with these headers.
async fn bare(scene: &Scene, line: &str, headers: &str) -> Response {
    let request =
        format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    exchange(scene.address, &request).await
}

/// What a file refers to: paths of the server.
fn referred(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (before, after, within) in [
        ("href=\"", '"', ""),
        ("src=\"", '"', ""),
        ("from \"./", '"', "/page/"),
        ("import(\"./", '"', "/page/"),
        ("url(\"", '"', "/page/"),
    ] {
        for (at, _) in text.match_indices(before) {
            let rest = &text[at + before.len()..];
            let name = rest.split(after).next().unwrap();
            if name.starts_with("data:") || name.starts_with('#') {
                continue;
            }
            assert!(!name.contains("://"), "{path} refers to elsewhere: {name}");
            let absolute = if within.is_empty() { "/" } else { within };
            found.push(format!("{absolute}{name}"));
        }
    }
    found
}

#[tokio::test]
async fn every_file_that_the_page_refers_to_is_served() {
    let scene = scene().await;
    let (mut seen, mut next) = (BTreeSet::new(), vec!["/".to_owned()]);
    while let Some(path) = next.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let file = get(scene.address, &path).await;
        assert_eq!(file.status, 200, "{path}");
        let kind = match path.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(file.header("content-type"), Some(kind), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-cache"),
        ] {
            assert_eq!(file.header(name), Some(value), "{path}");
        }
        let policy = file.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
        next.extend(referred(&path, &file.body));
    }
    assert_eq!(seen.len(), 21, "{seen:?}");
    scene.end().await;
}

#[tokio::test]
async fn a_browser_that_has_it_is_told_so() {
    let scene = scene().await;
    for path in ["/", "/page/main.js"] {
        let line = format!("GET {path}");
        let whole = bare(&scene, &line, "").await;
        let tag = whole.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        let known = bare(&scene, &line, &format!("if-none-match: {tag}\r\n")).await;
        assert_eq!((known.status, known.body.as_str()), (304, ""));
        assert_eq!(known.header("etag"), Some(tag.as_str()));
        assert_eq!(known.header("cache-control"), Some("no-cache"));
        let other = bare(&scene, &line, "if-none-match: \"other\"\r\n").await;
        assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
        let head = bare(&scene, &format!("HEAD {path}"), "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
        let length = whole.body.len().to_string();
        assert_eq!(head.header("content-length"), Some(length.as_str()));
        assert_eq!(head.header("etag"), Some(tag.as_str()));
    }
    scene.end().await;
}

#[tokio::test]
async fn there_is_nothing_else_and_no_other_method() {
    let scene = scene().await;
    for path in [
        "/page/",
        "/page/index.html",
        "/page/nothing.js",
        "/page/main%2Ejs",
        "/page/..%2Fsrc%2Flib.rs",
        "/page/../src/lib.rs",
        "/page/main.js/",
        "/index.html",
    ] {
        let refused = get(scene.address, path).await;
        assert_eq!(refused.status, 404, "{path}");
        assert_eq!(refused.json()["error"]["code"], "unknown_url", "{path}");
    }
    let posted = bare(&scene, "POST /", "content-length: 0\r\n").await;
    assert_eq!(posted.status, 405);
    assert_eq!(posted.json()["error"]["code"], "method_not_allowed");
    let foreign = "GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert_eq!(exchange(scene.address, foreign).await.status, 403);
    scene.end().await;
}
