//! `GET /openapi.json` over real loopback sockets: what it describes is served, and what it does not is not.

use crate::support;

use support::{Scene, exchange, get, hello, post_to};

#[tokio::test]
async fn what_the_document_describes_is_served() {
    let scene = Scene::start(hello(), |_| {}).await;
    let response = get(scene.address, "/openapi.json").await;
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("application/json"))
    );
    let document = response.json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 8, "{paths:?}");
    for (path, item) in paths {
        let here = path.replace("{model}", "tiny").replace("{id}", "nobody");
        for method in ["get", "post"] {
            let response = match method {
                "get" => get(scene.address, &here).await,
                _ => exchange(scene.address, &post_to(&here, "{}", "")).await,
            };
            let described = item.get(method).map(|operation| &operation["responses"]);
            if let Some(responses) = described {
                let status = response.status.to_string();
                assert!(
                    responses.get(&status).is_some(),
                    "{method} {path}: {response:?}"
                );
                assert_ne!(response.status, 405, "{method} {path}");
            } else {
                assert_eq!(response.status, 405, "{method} {path}");
                let allow = response.header("allow").unwrap_or_default();
                assert!(
                    !allow.contains(&method.to_uppercase()),
                    "{method} {path}: {allow}"
                );
            }
        }
    }
    let response = get(scene.address, "/v1/elsewhere").await;
    assert_eq!(response.json()["error"]["code"], "unknown_url");
    scene.end().await;
}
