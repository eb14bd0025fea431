//! Who may ask, over real loopback sockets: with a token and without, from pages of other places, and how often. Real time
//! passes here, but nothing measures it.
#![allow(
    clippy::unwrap_used,
    reason = "a broken fixture should fail the test at once"
)]

use crate::support;

use std::sync::Arc;

use bearer::{Grants, Secret, Terms};
use domain::ModelName;
use paraphym_gateway::{Access, Auth, GatewayConfig, GatewayError, Tokens};
use support::{Response, Scene, ask, exchange, get, hello, open, post, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

const REFUSED: &str = r#"{"error":{"message":"a valid token is needed, as `Authorization: Bearer sk-paraphym-…`: `paraphym token new` makes one where this server runs","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

/// Tokens that a test makes and takes back while the server runs.
#[derive(Clone, Default)]
struct Issued(watch::Sender<Arc<Grants>>);

impl Issued {
    fn change(&self, change: impl FnOnce(&mut Grants)) {
        self.0.send_modify(|now| change(Arc::make_mut(now)));
    }

    /// One more; the header its owner sends.
    fn make(&self, n: u8, terms: Terms) -> String {
        let secret = Secret::of([n; 32]);
        self.change(|grants| {
            let name = Some(format!("t{n}"));
            grants.add(&secret, name, terms, 0).unwrap();
        });
        format!("authorization: Bearer {}\r\n", secret.reveal())
    }

    fn revoke(&self, name: &str) {
        self.change(|grants| {
            grants.revoke(name).unwrap();
        });
    }

    fn tokens(&self) -> Tokens {
        self.0.subscribe().into()
    }
}

/// A request without a body, with these headers.
async fn bare(scene: &Scene, line: &str, headers: &str) -> Response {
    let request = format!("{line} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    exchange(scene.address, &request).await
}

async fn chat(scene: &Scene, headers: &str) -> Response {
    exchange(scene.address, &post(&ask(""), headers)).await
}

#[tokio::test]
async fn where_a_token_is_needed_only_life_is_told_without_one() {
    let issued = Issued::default();
    let good = issued.make(1, Terms::default());
    let scene = Scene::start(hello(), |config| {
        config.access.auth = Auth::Required;
        config.access.tokens = issued.tokens();
    })
    .await;
    let wrong = format!("authorization: Bearer {}\r\n", Secret::of([9; 32]).reveal());
    let basic = "authorization: Basic YTpi\r\n".to_owned();
    for headers in [String::new(), wrong, basic, good.repeat(2)] {
        let host = format!("host: localhost\r\n{headers}");
        for path in ["/readyz", "/metrics", "/v1/models", "/nowhere", "/healthz/"] {
            let refused = bare(&scene, &format!("GET {path}"), &host).await;
            assert_eq!(refused.status, 401, "{path} {headers}");
            assert_eq!(refused.body, REFUSED, "{path} {headers}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            assert!(refused.header("x-request-id").is_some());
        }
        assert_eq!(chat(&scene, &headers).await.body, REFUSED);
        let alive = bare(&scene, "GET /healthz", &host).await;
        assert_eq!(alive.status, 200, "{headers}");
    }
    assert_eq!(scene.control.counts().loads, 0);
    // Whatever the server is called: a page that let its own name lead here has no token.
    for host in ["localhost", "models.example", "192.168.1.2:7007"] {
        let headers = format!("host: {host}\r\norigin: null\r\n{good}");
        for (path, status) in [("/readyz", 200), ("/v1/models", 200), ("/nowhere", 404)] {
            let answered = bare(&scene, &format!("GET {path}"), &headers).await;
            assert_eq!(answered.status, status, "{path} {host}");
            assert_eq!(answered.header("access-control-allow-origin"), None);
        }
    }
    assert_eq!(chat(&scene, &good).await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn on_loopback_the_first_token_closes_the_door_and_revoking_the_last_does_not_open_it() {
    let issued = Issued::default();
    let scene = Scene::start(hello(), |config| config.access.tokens = issued.tokens()).await;
    let any = "authorization: Bearer unused\r\n";
    let foreign = "host: evil.example\r\n";
    assert_eq!(chat(&scene, any).await.status, 200);
    assert_eq!(bare(&scene, "GET /v1/models", foreign).await.status, 403);
    let one = issued.make(1, Terms::default());
    let other = issued.make(2, Terms::default());
    for (headers, status) in [("", 401), (any, 401), (&one, 200), (&other, 200)] {
        assert_eq!(chat(&scene, headers).await.status, status, "{headers}");
    }
    issued.revoke("t1");
    for (headers, status) in [("", 401), (&one, 401), (&other, 200)] {
        assert_eq!(chat(&scene, headers).await.status, status, "{headers}");
    }
    issued.revoke("t2");
    for headers in ["", any, &one, &other] {
        assert_eq!(chat(&scene, headers).await.status, 401, "{headers}");
    }
    scene.end().await;
}

#[tokio::test]
async fn switched_off_no_token_is_looked_at() {
    let issued = Issued::default();
    issued.make(1, Terms::default());
    let scene = Scene::start(hello(), |config| {
        config.access.auth = Auth::Off;
        config.access.tokens = issued.tokens();
    })
    .await;
    assert_eq!(chat(&scene, "").await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn off_loopback_everyone_needs_one_even_when_the_last_was_revoked() {
    let issued = Issued::default();
    let good = issued.make(1, Terms::default());
    let scene = Scene::start(hello(), |config| {
        config.bind = "0.0.0.0:0".parse().unwrap();
        config.access.tokens = issued.tokens();
    })
    .await;
    assert_eq!(get(scene.address, "/healthz").await.status, 200);
    assert_eq!(chat(&scene, "").await.status, 401);
    assert_eq!(chat(&scene, &good).await.status, 200);
    issued.revoke("t1");
    assert_eq!(chat(&scene, &good).await.status, 401);
    assert_eq!(chat(&scene, "").await.status, 401);
    scene.end().await;
}

#[test]
fn off_loopback_nothing_is_served_while_nobody_has_a_token() {
    let mut config = GatewayConfig::new("0.0.0.0:80".parse().unwrap(), ModelName::new("m"));
    assert!(matches!(config.check(), Err(GatewayError::NoToken { .. })));
    let issued = Issued::default();
    issued.make(1, Terms::default());
    config.access.tokens = issued.tokens();
    assert!(config.check().is_ok());
    config.access.auth = Auth::Off;
    assert!(matches!(
        config.check(),
        Err(GatewayError::OpenToAll { .. })
    ));
}

const PREFLIGHT: &str = "host: localhost\r\naccess-control-request-method: POST\r\naccess-control-request-headers: \
                         authorization,content-type,user-agent,x-stainless-os\r\n";

const PAGE: &str = "origin: https://app.example\r\n";

/// A server that a page may ask, and the header that it needs for that.
async fn with_a_page() -> (Scene, String) {
    let issued = Issued::default();
    let good = issued.make(1, Terms::default());
    let scene = Scene::start(hello(), |config| {
        config.access = Access {
            auth: Auth::Required,
            tokens: issued.tokens(),
            cors_origins: vec!["https://app.example".to_owned()],
            requests_per_minute: Some(1000),
            ..Access::default()
        };
    });
    (scene.await, good)
}

fn allowed_origin(answered: &Response) -> Option<&str> {
    answered.header("access-control-allow-origin")
}

#[track_caller]
fn assert_lists(answered: &Response, header: &str, words: &[&str]) {
    let list = answered.header(header).unwrap();
    for word in words {
        assert!(list.split(',').any(|one| one == *word), "{word}: {list}");
    }
}

#[tokio::test]
async fn a_page_that_was_named_may_ask_and_read() {
    let (scene, good) = with_a_page().await;
    let asked = format!("{PREFLIGHT}{PAGE}");
    let asked = bare(&scene, "OPTIONS /v1/chat/completions", &asked).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    assert_eq!(allowed_origin(&asked), Some("https://app.example"));
    let headers = [
        "authorization",
        "content-type",
        "x-request-id",
        "x-stainless-os",
    ];
    assert_lists(&asked, "access-control-allow-headers", &headers);
    assert_lists(&asked, "access-control-allow-methods", &["GET", "POST"]);
    // Refusals can be read as well: a page must be able to say what is wrong.
    for (headers, status) in [(good.as_str(), 200), ("", 401)] {
        let answered = chat(&scene, &format!("{PAGE}{headers}")).await;
        assert_eq!(answered.status, status);
        assert_eq!(allowed_origin(&answered), Some("https://app.example"));
        let exposed = [
            "x-request-id",
            "retry-after",
            "x-ratelimit-remaining-requests",
        ];
        assert_lists(&answered, "access-control-expose-headers", &exposed);
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_said_to_a_page_that_was_not_named_it_may_not_read() {
    let (scene, good) = with_a_page().await;
    for origin in ["https://other.example", "http://app.example", "null"] {
        let page = format!("origin: {origin}\r\n");
        let asked = bare(&scene, "OPTIONS /v1/models", &format!("{PREFLIGHT}{page}")).await;
        assert_eq!(allowed_origin(&asked), None, "{origin}");
        let answered = chat(&scene, &format!("{page}{good}")).await;
        assert_eq!(answered.status, 200, "{origin}");
        assert_eq!(allowed_origin(&answered), None, "{origin}");
    }
    scene.end().await;
}

#[tokio::test]
async fn without_tokens_a_named_page_may_ask_and_a_foreign_one_is_refused() {
    let scene = Scene::start(hello(), |config| {
        config.access.cors_origins = vec!["https://app.example".to_owned()];
    })
    .await;
    for (origin, status) in [("https://app.example", 200), ("https://other.example", 403)] {
        let answered = chat(&scene, &format!("origin: {origin}\r\n")).await;
        assert_eq!(answered.status, status, "{origin}");
    }
    scene.end().await;
    // Nobody was named: no answer speaks of it, and nobody is answered before they ask.
    let scene = Scene::start(hello(), |_| {}).await;
    let page = "origin: http://localhost:3000\r\n";
    let asked = bare(&scene, "OPTIONS /v1/models", &format!("{PREFLIGHT}{page}")).await;
    assert_eq!(asked.status, 405);
    assert_eq!(
        chat(&scene, page)
            .await
            .header("access-control-allow-origin"),
        None
    );
    scene.end().await;
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again_and_others_are_not() {
    let issued = Issued::default();
    let terms = Terms {
        requests_per_minute: Some(2),
        concurrent: None,
    };
    let (one, other) = (issued.make(1, terms), issued.make(2, Terms::default()));
    let scene = Scene::start(hello(), |config| config.access.tokens = issued.tokens()).await;
    let looked = bare(
        &scene,
        "GET /v1/models",
        &format!("host: localhost\r\n{one}"),
    )
    .await;
    assert_eq!(looked.header("x-ratelimit-limit-requests"), Some("2"));
    assert_eq!(looked.header("x-ratelimit-remaining-requests"), Some("2"));
    assert_eq!(looked.header("x-ratelimit-reset-requests"), Some("0s"));
    for left in ["1", "0"] {
        let answered = chat(&scene, &one).await;
        assert_eq!(answered.status, 200);
        assert_eq!(
            answered.header("x-ratelimit-remaining-requests"),
            Some(left)
        );
        let reset = answered.header("x-ratelimit-reset-requests").unwrap();
        assert!(reset.ends_with('s') && reset != "0s", "{reset}");
    }
    let refused = chat(&scene, &one).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert_eq!(error["type"], "requests");
    // Looking around and cancelling are not what is limited, and others have no limit.
    let looked = bare(
        &scene,
        "GET /v1/models",
        &format!("host: localhost\r\n{one}"),
    )
    .await;
    assert_eq!(looked.status, 200);
    let cancel = "POST /v1/requests/x/cancel";
    let cancelled = bare(&scene, cancel, &format!("host: localhost\r\n{one}")).await;
    assert_ne!(cancelled.status, 429, "{cancelled:?}");
    for _ in 0..4 {
        let answered = chat(&scene, &other).await;
        assert_eq!(answered.status, 200);
        assert_eq!(answered.header("x-ratelimit-limit-requests"), None);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_place_is_taken_until_the_last_byte_or_until_the_client_has_gone() {
    let issued = Issued::default();
    let terms = Terms {
        requests_per_minute: None,
        concurrent: Some(1),
    };
    let (one, other) = (issued.make(1, terms), issued.make(2, terms));
    let scene = Scene::start(Answer::Counting, |config| {
        config.access.tokens = issued.tokens();
    })
    .await;
    let streamed = ask(r#","stream":true,"max_tokens":9,"seed":0"#);
    let gate = scene.control.gate_step(3);
    let mut first = open(scene.address, &post(&streamed, &one)).await;
    read_until(&mut first, r#""content":"0 "#).await;
    let refused = chat(&scene, &one).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(refused.json()["error"]["code"], "rate_limit_exceeded");
    gate.release();
    let mut rest = String::new();
    first.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains("[DONE]"), "{rest}");
    assert_eq!(chat(&scene, &one).await.status, 200);
    assert_eq!(chat(&scene, &other).await.status, 200);

    let steps = scene.control.counts().steps;
    let gate = scene.control.gate_step(steps + 3);
    let mut gone = open(scene.address, &post(&streamed, &one)).await;
    read_until(&mut gone, r#""content":"0 "#).await;
    drop(gone);
    scene.wait_until_working(0).await;
    gate.release();
    assert_eq!(chat(&scene, &one).await.status, 200);
    scene.end().await;
}

#[tokio::test]
async fn all_who_need_no_token_share_one_limit() {
    let scene = Scene::start(hello(), |config| {
        config.access.requests_per_minute = Some(1);
    })
    .await;
    let statuses = [
        chat(&scene, "").await,
        chat(&scene, "authorization: Bearer x\r\n").await,
    ];
    assert_eq!(statuses.map(|response| response.status), [200, 429]);
    scene.end().await;
}

#[tokio::test]
async fn a_head_has_a_limit_in_bytes_and_in_headers() {
    let scene = Scene::start(hello(), |config| config.limits.head_bytes = 4096).await;
    let long = |bytes: usize| format!("host: localhost\r\nx-long: {}\r\n", "x".repeat(bytes));
    let many = |count: usize| format!("host: localhost\r\n{}", "x-one: 1\r\n".repeat(count));
    for (headers, status) in [
        (long(2048), 200),
        (long(5000), 431),
        (many(90), 200),
        (many(110), 431),
    ] {
        let answered = bare(&scene, "GET /healthz", &headers).await;
        assert_eq!(answered.status, status, "{} bytes", headers.len());
    }
    scene.end().await;
}
