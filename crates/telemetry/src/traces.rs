//! The spans of turns to an OpenTelemetry collector, by OTLP over HTTP (docs/adr/0023).
//!
//! ```text
//!  a span ends ──try_send──> bounded queue ──Traces::run──> batches ──reqwest──> collector
//!                  └─ full: dropped, counted, told with the next batch
//! ```
//!
//! Invariants: whoever ends a span never waits; no thread is started, and nothing is spawned: whoever holds [`Traces`] runs
//! it, on the one runtime. A collector that is not there costs a line of the log, and spans.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use crate::logging::Logging;

/// The variable that says where the collector is, such as `http://127.0.0.1:4318`; `/v1/traces` is added. Source: the
/// OpenTelemetry specification, "OTLP Exporter Configuration".
pub const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Spans that wait: those of about a hundred turns, some hundred kilobytes.
const QUEUE: usize = 2048;
/// Spans in one request, and how long the first of them waits for others. Source: the specification's defaults for batches.
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(5);
/// How long the collector may take for a batch.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for the last ones, at the end of the process.
const LAST: Duration = Duration::from_secs(2);
/// What is read of a collector's answer, in bytes.
const ANSWER: usize = 64 << 10;

/// Why traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The endpoint is none.
    #[error(
        "{ENDPOINT} = {endpoint:?} is not understood ({reason}): use for example http://127.0.0.1:4318"
    )]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The spans on their way. Cloning gives another hold on the same: whoever runs it may crash and be started again.
#[derive(Clone)]
pub struct Traces(Arc<Inner>);

struct Inner {
    exporter: SpanExporter,
    ended: Mutex<mpsc::Receiver<SpanData>>,
    dropped: Arc<AtomicU64>,
    /// Keeps the tracer alive.
    _provider: SdkTracerProvider,
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Logging<'_> {
    /// The turns' spans go to the collector at `endpoint`, too. Somebody has to [run](Traces::run) the answer.
    ///
    /// # Errors
    /// An endpoint that is no URL.
    pub fn send_traces(&mut self, endpoint: &str) -> Result<Traces, TracesError> {
        let (listener, traces) = listen(endpoint)?;
        self.listeners.push(listener);
        Ok(traces)
    }
}

type Listener = Box<dyn Layer<Registry> + Send + Sync>;

fn listen(endpoint: &str) -> Result<(Listener, Traces), TracesError> {
    let refused = |reason: String| TracesError::Endpoint {
        endpoint: endpoint.to_owned(),
        reason,
    };
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(refused("it is no http or https URL".to_owned()));
    }
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client(reqwest::Client::new()))
        .with_endpoint(url)
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| refused(error.to_string()))?;
    // `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are read by the library, and win.
    let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
    let resource = Resource::builder();
    let resource = if named {
        resource
    } else {
        resource.with_service_name("paraphym")
    };
    let resource = resource.build();
    exporter.set_resource(&resource);
    let (queue, ended) = mpsc::channel(QUEUE);
    let dropped = Arc::<AtomicU64>::default();
    let provider = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_span_processor(Queue {
            queue,
            dropped: Arc::clone(&dropped),
        })
        .build();
    let layer = tracing_opentelemetry::layer()
        .with_threads(false)
        .with_location(false)
        .with_tracer(provider.tracer("paraphym"))
        .with_filter(filter_fn(is_heard));
    let inner = Inner {
        exporter,
        ended: Mutex::new(ended),
        dropped,
        _provider: provider,
    };
    Ok((layer.boxed(), Traces(Arc::new(inner))))
}

/// The turns' spans, and of what is logged within them what a log shows at `info`.
fn is_heard(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        return metadata.target() == "turn";
    }
    *metadata.level() <= Level::INFO && metadata.target().starts_with("paraphym_")
}

/// The end of the queue that spans are put into.
#[derive(Debug)]
struct Queue {
    queue: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Traces {
    /// Sends what has ended, in batches, until `stopping`; then what is left. That takes 4 s at most.
    pub async fn run(&self, stopping: impl Future<Output = ()>) {
        let mut ended = self.0.ended.lock().await;
        let mut stopping = pin!(stopping);
        let mut is_refused = false;
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                biased;
                () = &mut stopping => break,
                _ = ended.recv_many(&mut batch, BATCH) => {}
            }
            let due = Instant::now() + DELAY;
            let mut stops = false;
            while batch.len() < BATCH && !stops {
                let room = BATCH - batch.len();
                tokio::select! {
                    biased;
                    () = &mut stopping => stops = true,
                    () = sleep_until(due) => break,
                    _ = ended.recv_many(&mut batch, room) => {}
                }
            }
            let stops = if stops {
                self.send(batch, std::future::ready(()), &mut is_refused)
                    .await
            } else {
                self.send(batch, &mut stopping, &mut is_refused).await
            };
            if stops {
                break;
            }
        }
        let mut rest = Vec::new();
        while let Ok(span) = ended.try_recv() {
            rest.push(span);
        }
        if !rest.is_empty() {
            self.send(rest, std::future::ready(()), &mut is_refused)
                .await;
        }
    }

    /// Whether it is to stop. A collector that does not take them is told of once, until it takes some again.
    async fn send(
        &self,
        batch: Vec<SpanData>,
        stopping: impl Future<Output = ()>,
        is_refused: &mut bool,
    ) -> bool {
        let spans = batch.len();
        let mut export = pin!(self.0.exporter.export(batch));
        let (stops, sent) = tokio::select! {
            sent = timeout(PATIENCE, &mut export) => (false, sent),
            () = stopping => (true, timeout(LAST, &mut export).await),
        };
        let reason = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it does not answer".to_owned()),
        };
        let was_refused = std::mem::replace(is_refused, reason.is_some());
        match reason {
            Some(reason) if !was_refused => {
                tracing::warn!(
                    spans,
                    reason,
                    "the collector does not take traces; they are dropped"
                );
            }
            None if was_refused => tracing::info!("the collector takes traces again"),
            _ => {}
        }
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(
                dropped,
                "spans were dropped: more ended than the collector took"
            );
        }
        stops
    }
}

/// The client that is in the tree already.
#[derive(Debug)]
struct Client(reqwest::Client);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let mut response = self.0.execute(request).await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await? {
            let room = ANSWER.saturating_sub(body.len());
            body.extend(piece.into_iter().take(room));
            if body.len() == ANSWER {
                break;
            }
        }
        let answer = Response::builder().status(response.status());
        Ok(answer.body(Bytes::from(body))?)
    }
}
