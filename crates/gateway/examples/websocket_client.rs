//! One question to a conversation, its answer as it comes: `websocket_client ws://127.0.0.1:7007/ws trip "Where to in May?"`.
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

#[rustfmt::skip] // Thirty lines in all.
#[allow(clippy::indexing_slicing, clippy::print_stdout, reason = "JSON has null for what is not there; a client prints")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [url, of, text] = [1, 2, 3].map(|at| std::env::args().nth(at).unwrap_or_default());
    let (mut socket, _) = connect_async(url).await?;
    let (nonce, mut seq, mut turn) = (format!("q-{}", std::process::id()), json!(0), Value::Null);
    loop {
        let heard = tokio::time::timeout(std::time::Duration::from_secs(20), socket.next()).await; // Less than `heartbeat_ms`.
        let heard = match heard { Ok(heard) => heard.ok_or("cut off")??, Err(_) => Message::text(r#"{"op":"beat"}"#) };
        let frame: Value = serde_json::from_str(heard.to_text()?).map_err(|_| format!("closed: {heard}"))?;
        seq = frame.get("seq").cloned().unwrap_or(seq);
        let say = match frame["op"].as_str().unwrap_or_default() {
            "hello" => json!({"op": "identify", "user": "example"}),
            "ready" => json!({"op": "join", "conversation": of}),
            "room" => json!({"op": "say", "conversation": of, "text": text, "nonce": nonce}),
            "beat" | "heartbeat_wanted" => json!({"op": "heartbeat", "seq": seq}),
            "turn" if frame["turn"]["nonce"] == nonce => { turn = frame["turn"]["turn"].clone(); continue }
            "delta" if frame["turn"] == turn => { print!("{}", frame["text"].as_str().unwrap_or_default()); continue }
            "ended" if frame["turn"] == turn => return Ok(socket.close(None).await?),
            _ => continue,
        };
        socket.send(Message::text(say.to_string())).await?;
    }
}
