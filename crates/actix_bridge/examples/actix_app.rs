//! An actix application beside a local model, on one runtime: routes of actix-web stream its answers, and an actix actor
//! lives in our supervision tree, where it is started again when it panics.
//!
//! ```sh
//! cargo run --release --package paraphym_actix_bridge --example actix_app
//! curl --no-buffer -d 'Give me three tips.' http://127.0.0.1:7008/ask     # an answer as it is said
//! curl http://127.0.0.1:7008/said                                         # what the actor has counted
//! curl -d 'poison' http://127.0.0.1:7008/note                             # it panics, and is started again
//! curl http://127.0.0.1:7008/tree                                         # seen in the tree
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler, Message};
use actix_web::{App, HttpResponse, web};
use futures_util::StreamExt;
use paraphym_actix_bridge::{Bridge, Guest, WebLimits};
use paraphym_candle::{GenerationEvent, Paraphym, RuntimeOptions};
use supervision::{ChildSpec, Events, Handle, RootHandle, Shutdown, SupervisorSpec, start_root};

const SECOND: Duration = Duration::from_secs(1);
/// How long answers may go on when the application is to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Counts what was said: an actix actor as they are.
#[derive(Default)]
pub(crate) struct Scribe {
    words: u64,
}

impl Actor for Scribe {
    type Context = Context<Self>;
}

/// Something was said. Answers how many words that makes.
pub(crate) struct Note(String);

impl Message for Note {
    type Result = u64;
}

impl Handler<Note> for Scribe {
    type Result = u64;

    fn handle(&mut self, Note(text): Note, _: &mut Context<Self>) -> u64 {
        assert!(!text.contains("poison"), "this cannot be written down");
        self.words += text.split_whitespace().count() as u64;
        self.words
    }
}

/// What the routes work with.
struct Desk {
    host: Arc<Paraphym>,
    scribe: Handle<Guest<Scribe>>,
}

/// A tree of the application's own: its actor, and its routes on `listener`.
pub(crate) async fn start(
    bridge: &Bridge,
    host: Arc<Paraphym>,
    listener: TcpListener,
) -> Result<Arc<RootHandle>, Box<dyn Error>> {
    let (scribe_spec, scribe) = bridge.actor("scribe", 16, |_| Scribe::default());
    let desk = web::Data::new(Desk { host, scribe });
    let top = SupervisorSpec::new("app");
    let tree = web::Data::new(top.handle());
    let routes = bridge.web("routes", listener, WebLimits::default(), move || {
        App::new()
            .app_data(desk.clone())
            .app_data(tree.clone())
            .route("/ask", web::post().to(ask))
            .route("/said", web::get().to(said))
            .route("/note", web::post().to(note))
            .route("/tree", web::get().to(draw))
    })?;
    let routes: ChildSpec = routes.shutdown(Shutdown::Timeout(DRAIN));
    let tree = start_root(top.child(scribe_spec).child(routes), Events::default()).await?;
    Ok(Arc::new(tree))
}

/// Streams the answer. A client that leaves drops the stream, and the model stops within a step.
async fn ask(desk: web::Data<Desk>, question: String) -> HttpResponse {
    let answer = match desk.host.prompt(question).await {
        Ok(answer) => answer,
        Err(error) => return HttpResponse::ServiceUnavailable().body(error.to_string()),
    };
    let scribe = desk.scribe.clone();
    let text = answer.filter_map(move |event| {
        let scribe = scribe.clone();
        async move {
            let text = match event {
                GenerationEvent::Text(text) => text,
                GenerationEvent::Failed(error) => format!("\n[{error}]"),
                _ => return None,
            };
            // A scribe that is behind does not hold up the answer.
            drop(scribe.try_tell(Note(text.clone())));
            Some(Ok::<_, Infallible>(web::Bytes::from(text)))
        }
    });
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .streaming(text)
}

async fn said(desk: web::Data<Desk>) -> HttpResponse {
    noted(&desk, String::new()).await
}

async fn note(desk: web::Data<Desk>, text: String) -> HttpResponse {
    noted(&desk, text).await
}

async fn noted(desk: &Desk, text: String) -> HttpResponse {
    match desk.scribe.ask(Note(text), 5 * SECOND).await {
        Ok(words) => HttpResponse::Ok().body(format!("{words} words\n")),
        Err(error) => HttpResponse::InternalServerError().body(format!("{error}\n")),
    }
}

async fn draw(tree: web::Data<supervision::SupervisorHandle>) -> HttpResponse {
    HttpResponse::Ok().body(tree.topology(SECOND).await.to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    paraphym_candle::run(&RuntimeOptions::default(), |runtime| {
        paraphym_actix_bridge::run(async move |bridge| {
            let host = Paraphym::builder().runtime(runtime).start().await?;
            let host = Arc::new(host);
            host.pull_default(&mut |_| {}).await?;
            let listener = TcpListener::bind("127.0.0.1:7008")?;
            writeln!(
                std::io::stdout(),
                "listening at http://{}",
                listener.local_addr()?
            )?;
            let tree = start(&bridge, host.clone(), listener).await?;
            tokio::signal::ctrl_c().await?;
            tree.stop(2 * DRAIN).await;
            host.shutdown().await;
            Ok(())
        })
    })?
}
