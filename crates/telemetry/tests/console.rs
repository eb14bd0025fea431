//! What tokio-console is told: where tokio tells of its tasks, a client sees one by its name, served on the one runtime with no
//! thread more; where it does not, that is said and nothing is served.
#![allow(
    unexpected_cfgs,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise; the cfg is tokio's"
)]

use paraphym_telemetry::{ConsoleError, LogFormat, Logging};
use tokio::net::TcpListener;

/// A port of loopback that was free a moment ago.
async fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[cfg(not(tokio_unstable))]
#[tokio::test]
async fn where_tokio_tells_nothing_that_is_said_and_nothing_is_served() {
    let address = free().await;
    let mut logging = Logging::new("error", LogFormat::Text);
    let console = logging.watch_tasks(Some(&address)).unwrap();
    logging.begin().unwrap();
    let error = console.run(std::future::pending()).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Untold));
    let said = error.to_string();
    assert!(said.contains("--cfg tokio_unstable"), "{said}");
    TcpListener::bind(address).await.unwrap();
}

#[cfg(tokio_unstable)]
mod told {
    use std::time::Duration;

    use console_api::field::Value;
    use console_api::instrument::instrument_client::InstrumentClient;
    use console_api::instrument::{InstrumentRequest, Update};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);
    const NAME: &str = "seen-by-the-console";

    fn threads() -> usize {
        std::fs::read_dir("/proc/self/task").unwrap().count()
    }

    fn is_seen(update: Update) -> bool {
        let tasks = update.task_update.unwrap_or_default().new_tasks;
        let mut fields = tasks.into_iter().flat_map(|task| task.fields);
        fields.any(|field| match field.value {
            Some(Value::DebugVal(text) | Value::StrVal(text)) => text == NAME,
            _ => false,
        })
    }

    // One test, because a process logs once.
    #[tokio::test]
    async fn a_client_sees_a_task_by_its_name_and_the_port_is_free_at_the_end() {
        let address = free().await;
        let before = threads();
        let mut logging = Logging::new("error", LogFormat::Text);
        let console = logging.watch_tasks(Some(&address)).unwrap();
        logging.begin().unwrap();

        let taken = TcpListener::bind(&address).await.unwrap();
        let error = console.run(std::future::pending()).await.unwrap_err();
        assert!(matches!(error, ConsoleError::Taken { .. }));
        assert!(error.to_string().contains(&address), "{error}");
        assert!(error.to_string().contains("TOKIO_CONSOLE_BIND"), "{error}");
        drop(taken);

        let (stop, stopped) = oneshot::channel::<()>();
        let mut running = JoinSet::new();
        let run = console.clone();
        running.spawn(async move { run.run(async { drop(stopped.await) }).await });
        let (release, held) = oneshot::channel::<()>();
        let named = tokio::task::Builder::new().name(NAME).spawn(held).unwrap();

        let looked = async {
            // The server listens by its first poll.
            tokio::task::yield_now().await;
            let client = InstrumentClient::connect(format!("http://{address}"));
            let mut client = client.await.unwrap();
            let updates = client.watch_updates(InstrumentRequest {}).await.unwrap();
            let mut updates = updates.into_inner();
            while !is_seen(updates.message().await.unwrap().unwrap()) {}
            assert_eq!(threads(), before);
            updates
        };
        let mut updates = timeout(PATIENCE, looked).await.unwrap();
        release.send(()).unwrap();
        named.await.unwrap().unwrap();

        stop.send(()).unwrap();
        let ended = timeout(PATIENCE, running.join_next()).await.unwrap();
        ended.unwrap().unwrap().unwrap();
        assert!(TcpStream::connect(&address).await.is_err());
        let hung_up = async { while let Ok(Some(_)) = updates.message().await {} };
        timeout(PATIENCE, hung_up).await.unwrap();
        let again = console.run(std::future::pending()).await.unwrap_err();
        assert!(matches!(again, ConsoleError::Ended));
    }
}
