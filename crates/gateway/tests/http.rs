//! The gateway over real loopback sockets, with a scripted model behind it. Real time passes here, but nothing measures
//! it: limits in time are made so short, or so long, that only their outcome shows.

use crate::support;

use std::time::Duration;

use model_host::HostConfig;
use support::{CREATED, Scene, ask, chat, exchange, get, hello, open, post, post_with, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncWriteExt;

/// Microseconds since 1970 at `CREATED`, as ids show it.
const RUN: &str = "60a24181e4000";

#[tokio::test]
async fn a_whole_answer_is_exact() {
    let scene = Scene::start(hello(), |_| {}).await;
    let response = chat(scene.address, &ask("")).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("application/json"));
    // "user: Hi\n" is nine tokens; three words and the end of the turn are four.
    assert_eq!(
        response.body,
        format!(
            r#"{{"id":"chatcmpl-{RUN}-2","object":"chat.completion","created":{CREATED},"model":"tiny","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hello dear world","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#
        )
    );
    scene.end().await;
}

#[tokio::test]
async fn a_streamed_answer_is_exact() {
    let scene = Scene::start(Answer::Text("Hello".to_owned()), |_| {}).await;
    let fields = r#","stream":true,"stream_options":{"include_usage":true},"model":"other""#;
    let response = chat(scene.address, &ask(fields)).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("content-type"), Some("text/event-stream"));
    assert_eq!(response.header("cache-control"), Some("no-cache"));
    let head = format!(
        r#"data: {{"id":"chatcmpl-{RUN}-2","object":"chat.completion.chunk","created":{CREATED},"model":"other","choices":["#
    );
    let expected = [
        format!(
            r#"{head}{{"index":0,"delta":{{"role":"assistant","content":""}},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        ),
        format!(
            r#"{head}{{"index":0,"delta":{{"content":"Hello"}},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
        ),
        format!(
            r#"{head}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}],"usage":null}}"#
        ),
        format!(
            r#"{head}],"usage":{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"prompt_tokens_details":{{"cached_tokens":0}}}}}}"#
        ),
        "data: [DONE]".to_owned(),
        String::new(),
    ];
    assert_eq!(response.body, expected.join("\n\n"));
    scene.end().await;
}

#[tokio::test]
async fn length_and_stop_and_seed_are_heard() {
    let scene = Scene::start(Answer::Counting, |_| {}).await;
    for (fields, content, reason) in [
        (r#","max_tokens":3,"seed":7"#, "7 8 9 ", "length"),
        (r#","max_tokens":9,"seed":1,"stop":"4""#, "1 2 3 ", "stop"),
    ] {
        let answer = chat(scene.address, &ask(fields)).await.json();
        assert_eq!(
            answer["choices"][0]["message"]["content"], content,
            "{fields}"
        );
        assert_eq!(answer["choices"][0]["finish_reason"], reason, "{fields}");
    }
    scene.end().await;
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let scene = Scene::start(hello(), |_| {}).await;
    let bad_role = r#"{"messages":[{"role":"wizard","content":"Hi"}]}"#.to_owned();
    for (body, param) in [
        (ask(r#","tools":[7]"#), "tools[0]".into()),
        (ask(r#","temperature":9"#), "temperature".into()),
        (bad_role, "messages[0].role".into()),
        (r#"{"messages":[]}"#.to_owned(), "messages".into()),
        ("not json".to_owned(), serde_json::Value::Null),
    ] {
        let response = chat(scene.address, &body).await;
        assert_eq!(response.status, 400, "{body}");
        let error = &response.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{body}");
        assert_eq!(error["param"], param, "{body}");
    }
    assert_eq!(scene.control.counts().steps, 0);
    scene.end().await;
}

#[tokio::test]
async fn an_unknown_model_is_404_and_a_too_long_prompt_400() {
    let scene = Scene::start(hello(), |_| {}).await;
    let long = format!(
        r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#,
        "x".repeat(5000)
    );
    let streamed = format!("{},\"stream\":true}}", long.strip_suffix('}').unwrap());
    for (body, status, code) in [
        (ask(r#","model":"missing""#), 404, "model_not_found"),
        (ask(r#","model":"gone""#), 404, "model_not_found"),
        (
            ask(r#","model":"gone","stream":true"#),
            404,
            "model_not_found",
        ),
        (long, 400, "context_length_exceeded"),
        (streamed, 400, "context_length_exceeded"),
    ] {
        let response = chat(scene.address, &body).await;
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.json()["error"]["code"], code);
    }
    scene.end().await;
}

#[tokio::test]
async fn only_what_is_listed_can_be_asked_for() {
    let scene = Scene::start(hello(), |_| {}).await;
    let long = "x".repeat(3000);
    for model in ["/etc/passwd", "../other", "nobody", "tiny.gguf", &long] {
        let response = chat(scene.address, &ask(&format!(r#","model":"{model}""#))).await;
        assert_eq!(response.status, 404, "{response:?}");
        let error = &response.json()["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&"model_not_found".into(), &"model".into())
        );
        let message = error["message"].as_str().unwrap();
        let name: String = model.chars().take(80).collect();
        assert!(
            message.contains(&name) && message.contains("GET /v1/models") && message.len() < 300,
            "{message}"
        );
    }
    assert_eq!(scene.control.counts().loads, 0);
    scene.end().await;
}

#[tokio::test]
async fn a_default_model_that_is_a_path_is_served_and_listed_under_it() {
    let path = env!("CARGO_MANIFEST_PATH");
    let scene = Scene::start(hello(), |config| {
        config.default_model = domain::ModelName::new(path);
    })
    .await;
    let models = get(scene.address, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], path);
    for fields in [String::new(), format!(r#","model":"{path}""#)] {
        let response = chat(scene.address, &ask(&fields)).await;
        assert_eq!(
            (response.status, &response.json()["model"]),
            (200, &path.into())
        );
    }
    scene.end().await;
}

#[tokio::test]
async fn what_a_foreign_page_can_send_is_refused() {
    let scene = Scene::start(hello(), |_| {}).await;
    let json = "content-type: application/json\r\n";
    for (headers, status) in [
        (format!("host: localhost:80\r\n{json}"), 200),
        (
            format!("host: 127.0.0.1\r\n{json}origin: http://[::1]:3000\r\n"),
            200,
        ),
        (
            "host: [::1]\r\ncontent-type: Application/JSON; charset=utf-8\r\n".into(),
            200,
        ),
        (format!("host: evil.example:80\r\n{json}"), 403),
        (format!("host: localhost.evil.example\r\n{json}"), 403),
        (
            format!("host: localhost\r\nhost: evil.example\r\n{json}"),
            403,
        ),
        (json.to_owned(), 403),
        (
            format!("host: localhost\r\n{json}origin: https://evil.example\r\n"),
            403,
        ),
        (format!("host: localhost\r\n{json}origin: null\r\n"), 403),
        ("host: localhost\r\n".into(), 415),
        (
            "host: localhost\r\ncontent-type: text/plain\r\n".into(),
            415,
        ),
        (
            "host: localhost\r\ncontent-type: text/plain; a=application/json\r\n".into(),
            415,
        ),
    ] {
        let response = exchange(scene.address, &post_with(&ask(""), &headers)).await;
        assert_eq!(response.status, status, "{headers}: {response:?}");
        if status != 200 {
            let error = &response.json()["error"];
            assert_eq!(error["type"], "invalid_request_error", "{headers}");
            assert!(response.header("x-request-id").is_some(), "{headers}");
        }
    }
    for (path, status) in [
        ("/healthz", 200),
        ("/readyz", 403),
        ("/metrics", 403),
        ("/v1/models", 403),
        ("/nowhere", 403),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
        let response = exchange(scene.address, &request).await;
        assert_eq!(response.status, status, "{path}");
    }
    scene.end().await;
}

#[tokio::test]
async fn paths_methods_and_sizes_have_their_limits() {
    let scene = Scene::start(hello(), |config| config.limits.body_bytes = 200).await;
    let response = chat(scene.address, &ask(&" ".repeat(200))).await;
    assert_eq!(
        (response.status, &response.json()["error"]["code"]),
        (413, &"request_too_large".into())
    );
    let response = get(scene.address, "/v2/nothing").await;
    assert_eq!(
        (response.status, &response.json()["error"]["type"]),
        (404, &"not_found_error".into())
    );
    let response = get(scene.address, "/v1/chat/completions").await;
    assert_eq!(
        (response.status, &response.json()["error"]["code"]),
        (405, &"method_not_allowed".into())
    );
    assert_eq!(response.header("allow"), Some("POST"));
    scene.end().await;
}

#[tokio::test]
async fn request_names_are_echoed_or_made() {
    let scene = Scene::start(hello(), |_| {}).await;
    let named = exchange(scene.address, &post(&ask(""), "x-request-id: mine-7\r\n")).await;
    assert_eq!(named.header("x-request-id"), Some("mine-7"));
    let made = get(scene.address, "/nowhere").await;
    let name = made.header("x-request-id").unwrap();
    assert!(name.starts_with(&format!("req-{RUN}-")), "{name}");
    scene.end().await;
}

#[tokio::test]
async fn probes_tell_what_is() {
    let scene = Scene::start(hello(), |_| {}).await;
    let alive = get(scene.address, "/healthz").await;
    assert_eq!(
        (alive.status, alive.body.as_str()),
        (200, r#"{"status":"ok"}"#)
    );
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (
            200,
            r#"{"status":"ready","model":"tiny","state":"unloaded"}"#
        )
    );
    assert_eq!(scene.control.counts().loads, 0, "asking is not activity");
    chat(scene.address, &ask("")).await;
    assert_eq!(
        get(scene.address, "/readyz").await.json()["state"],
        "loaded"
    );
    let metrics = get(scene.address, "/metrics").await;
    assert_eq!(metrics.status, 200);
    // What the app records, then what the tree's actors do.
    let vitals = metrics.body.strip_prefix("paraphym_up 1\n").unwrap();
    let capacity = "paraphym_supervision_queue_capacity{child=\"root/model_host\"}";
    assert!(vitals.contains(capacity), "{vitals}");
    assert_eq!(
        metrics.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let models = get(scene.address, "/v1/models").await.json();
    assert_eq!(models["data"][1]["id"], "other");
    scene.end().await;
}

#[tokio::test]
async fn one_model_is_told_by_its_name() {
    let path = env!("CARGO_MANIFEST_PATH");
    let scene = Scene::start(hello(), |config| {
        config.default_model = domain::ModelName::new(path);
    })
    .await;
    let encoded = path.replace('/', "%2F");
    for (name, id) in [
        ("tiny", "tiny"),
        (path, path),
        (&encoded, path),
        ("t%69ny", "tiny"),
    ] {
        let model = get(scene.address, &format!("/v1/models/{name}")).await;
        let expected = format!(
            r#"{{"id":"{id}","object":"model","created":{CREATED},"owned_by":"paraphym"}}"#
        );
        assert_eq!((model.status, model.body), (200, expected), "{name}");
    }
    for name in ["nobody", "tiny/", "%FF", "%2Fetc%2Fpasswd", ""] {
        let model = get(scene.address, &format!("/v1/models/{name}")).await;
        assert_eq!(model.status, 404, "{name}: {model:?}");
        assert_eq!(model.json()["error"]["type"], "not_found_error", "{name}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_path_is_ready_if_there_is_a_file() {
    for (path, status) in [
        ("/nowhere/model.gguf", 503),
        (env!("CARGO_MANIFEST_PATH"), 200),
    ] {
        let scene = Scene::start(hello(), |config| {
            config.default_model = domain::ModelName::new(path);
        })
        .await;
        assert_eq!(get(scene.address, "/readyz").await.status, status, "{path}");
        scene.end().await;
    }
}

#[tokio::test]
async fn a_model_that_is_not_here_or_does_not_load_is_not_ready() {
    let scene = Scene::start(hello(), |config| {
        config.default_model = domain::ModelName::new("missing");
    })
    .await;
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["state"]),
        (503, &"missing".into())
    );
    scene.end().await;
    let scene = Scene::start(hello(), |_| {}).await;
    scene.control.fail_loads(1);
    // The first hears why; the next, that it is too early to try again.
    for (fields, status, code) in [
        ("", 500, "model_load_failed"),
        (r#","stream":true"#, 503, "circuit_open"),
    ] {
        let failed = chat(scene.address, &ask(fields)).await;
        assert_eq!(
            (failed.status, &failed.json()["error"]["code"]),
            (status, &code.into())
        );
    }
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["state"]),
        (503, &"load_failed".into())
    );
    scene.end().await;
}

#[tokio::test]
async fn an_idle_model_gives_its_place_to_one_that_is_asked() {
    let host = HostConfig {
        max_models: 1,
        ..HostConfig::default()
    };
    let scene = Scene::with_host(hello(), host, |config| config.max_models = 1).await;
    for model in [r#","model":"other""#, ""] {
        assert_eq!(get(scene.address, "/readyz").await.status, 200);
        let answer = chat(scene.address, &ask(model)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    scene.end().await;
}

#[tokio::test]
async fn a_model_without_a_place_is_not_ready() {
    let host = HostConfig {
        max_models: 1,
        pinned: vec![domain::ModelName::new("other")],
        ..HostConfig::default()
    };
    let scene = Scene::with_host(hello(), host, |config| config.max_models = 1).await;
    let other = chat(scene.address, &ask(r#","model":"other""#)).await;
    assert_eq!(other.status, 200, "{other:?}");
    let ready = get(scene.address, "/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["state"]),
        (503, &"no_place".into())
    );
    assert_ne!(
        chat(scene.address, &ask("")).await.status,
        200,
        "as it said"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_request_sent_ahead_is_answered_in_its_turn() {
    let scene = Scene::start(hello(), |_| {}).await;
    let gate = scene.control.gate_step(2);
    let request = post(&ask(""), "").replace("connection: close\r\n", "");
    let mut client = open(scene.address, &request).await;
    scene.control.wait_until(|c| c.steps == 2).await;
    let further = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-request-id: further\r\n\r\n";
    client.write_all(further.as_bytes()).await.unwrap();
    gate.release();
    let answers = read_until(&mut client, r#"{"status":"ok"}"#).await;
    let first = answers.find("Hello dear world").unwrap();
    assert!(
        first < answers.find("x-request-id: further").unwrap(),
        "{answers}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_silent_stream_is_kept_open_by_pings() {
    let scene = Scene::start(hello(), |config| {
        config.limits.ping = Duration::from_millis(5);
    })
    .await;
    let gate = scene.control.gate_step(1);
    let mut client = open(scene.address, &post(&ask(r#","stream":true"#), "")).await;
    let text = read_until(&mut client, ": ping\n\n").await;
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\n") && !text.contains("data:"),
        "{text}"
    );
    gate.release();
    let rest = read_until(&mut client, "data: [DONE]").await;
    assert_eq!(rest.matches(r#""role""#).count(), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_failure_on_the_way_is_the_last_word() {
    let scene = Scene::start(hello(), |_| {}).await;
    // Every step that says a second word crashes, more often than the retry budget allows.
    scene.control.poison(b'u', 1);
    let response = chat(scene.address, &ask(r#","stream":true"#)).await;
    assert_eq!(response.status, 200, "the first word was out");
    let last = response.body.trim_end().rsplit("\n\n").next().unwrap();
    let error: serde_json::Value =
        serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "engine_crashed", "{response:?}");
    assert!(!response.body.contains("[DONE]"));
    scene.end().await;
}

#[tokio::test]
async fn more_than_can_be_answered_is_refused_with_a_time_to_come_back() {
    let scene = Scene::start(hello(), |config| config.limits.answers = 1).await;
    let gate = scene.control.gate_step(1);
    let mut first = open(scene.address, &post(&ask(""), "")).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    let refused = chat(scene.address, &ask("")).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        get(scene.address, "/healthz").await.status,
        200,
        "a probe is always answered"
    );
    gate.release();
    read_until(&mut first, "Hello dear world").await;
    scene.end().await;

    let host = HostConfig {
        max_batch: 1,
        queue: 1,
        ..HostConfig::default()
    };
    let scene = Scene::with_host(hello(), host, |_| {}).await;
    let gate = scene.control.gate_step(1);
    let mut first = open(scene.address, &post(&ask(""), "")).await;
    scene.control.wait_until(|c| c.steps == 1).await;
    let mut second = open(scene.address, &post(&ask(r#","stream":true"#), "")).await;
    scene.wait_until_waiting(1).await;
    let third = chat(scene.address, &ask("")).await;
    assert_eq!(
        (third.status, &third.json()["error"]["type"]),
        (429, &"rate_limit_error".into())
    );
    assert!(third.header("retry-after").is_some());
    gate.release();
    read_until(&mut first, "Hello dear world").await;
    read_until(&mut second, "[DONE]").await;
    scene.end().await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let scene = Scene::start(hello(), |_| {}).await;
    let mut client = open(
        scene.address,
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
    )
    .await;
    read_until(&mut client, r#"{"status":"ok"}"#).await;
    client
        .write_all(post(&ask(""), "").as_bytes())
        .await
        .unwrap();
    read_until(&mut client, "Hello dear world").await;
    scene.end().await;
}

#[tokio::test]
async fn a_taken_port_fails_the_start_and_says_so() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bind = taken.local_addr().unwrap();
    let started = Scene::try_start(hello(), |config| config.bind = bind).await;
    let error = started.err().expect("the port is taken");
    assert!(error.contains(&format!("bind = {bind}")), "{error}");
}
