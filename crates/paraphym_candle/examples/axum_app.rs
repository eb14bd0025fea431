//! An app with routes of its own beside ours: one axum server, one runtime, and a stop in order.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --features gateway --example axum_app
//! curl 127.0.0.1:8080/ask -d "What is a good name for a cat?"     # a route of the app
//! curl 127.0.0.1:8081/v1/models                                   # the API of OpenAI's clients
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::convert::Infallible;
use std::error::Error;
use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, future};
use paraphym_candle::{GenerationEvent, Paraphym, confine, signals};
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    confine(); // first, while there is one thread
    app()
}

#[tokio::main]
async fn app() -> Result<(), Box<dyn Error>> {
    let mut addresses = std::env::args().skip(1);
    let own = addresses.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let ours: SocketAddr = addresses
        .next()
        .map_or(Ok(([127, 0, 0, 1], 8081).into()), |a| a.parse())?;

    let host = Arc::new(Paraphym::builder().serve(ours).start().await?);
    host.pull_default(&mut |_| {}).await?;
    let mut stop = signals::Signals::listen()?;
    let routes = Router::new()
        .route("/", get(async || "An app of its own."))
        .route("/ask", post(ask))
        .with_state(Arc::clone(&host));
    let listener = TcpListener::bind(own).await?;
    println!(
        "http://{} and http://{}",
        listener.local_addr()?,
        host.address().await.ok_or("not served")?
    );
    // Running answers have five seconds, on both servers; then nobody is waited for, however slowly he reads.
    let stopped = async {
        stop.next().await;
        host.shutdown().await
    };
    tokio::select! {
        served = axum::serve(listener, routes).into_future() => served?,
        report = stopped => println!("ended, {} left unfinished", report.abandoned.len()),
    }
    Ok(())
}

/// Streams an answer as plain text. Who hangs up drops the stream, and the computing stops.
async fn ask(State(host): State<Arc<Paraphym>>, question: String) -> Response {
    match host.prompt(question).await {
        Ok(answer) => {
            let texts = answer.filter_map(|event| {
                future::ready(match event {
                    GenerationEvent::Text(text) => Some(Ok::<_, Infallible>(text)),
                    GenerationEvent::Failed(error) => Some(Ok(format!("\n[{error}]"))),
                    _ => None,
                })
            });
            Body::from_stream(texts).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
