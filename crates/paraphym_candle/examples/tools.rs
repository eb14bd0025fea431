//! Tools of an app's own: async closures whose arguments are types. The model decides when to call them.
//!
//! ```sh
//! cargo run --release --package paraphym_candle --example tools
//! ```
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use paraphym_candle::toolbox::{Tool, function, schemars};
use paraphym_candle::{
    ConversationId, Paraphym, RuntimeOptions, ToolCall, ToolCallId, ToolFilter, TurnEvent,
    TurnSettings, run,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// What the model fills in; it is shown these comments.
#[derive(Deserialize, JsonSchema)]
struct Order {
    /// The dish, as it stands on the menu.
    dish: String,
    /// For how many people, 1 to 12.
    people: u8,
}

fn main() -> Result<(), Box<dyn Error>> {
    run(&RuntimeOptions::default(), |runtime| async move {
        let host = Paraphym::builder()
            .runtime(runtime)
            .tool(order())
            .tool(menu())
            .start()
            .await?;
        by_hand(&host).await;
        let result = by_the_model(&host).await;
        host.shutdown().await;
        result
    })?
}

/// What a closure shares with the app is moved into it.
fn order() -> Arc<dyn Tool> {
    let orders = Arc::new(AtomicU32::new(0));
    Arc::new(function(
        "order",
        "Orders a dish.",
        move |order: Order, _| {
            let number = orders.fetch_add(1, Ordering::Relaxed) + 1;
            async move {
                match order.people {
                    1..=12 => Ok(format!(
                        "order {number}: {} for {}",
                        order.dish, order.people
                    )),
                    _ => Err("there are 12 seats: order for 1 to 12 people"),
                }
            }
        },
    ))
}

/// It changes nothing, so nobody needs to approve it.
fn menu() -> Arc<dyn Tool> {
    let today = |_: Nothing, _| async { Ok::<_, String>(json!(["soup", "dumplings"])) };
    Arc::new(function("menu", "Tells what there is today.", today).read_only())
}

/// As a turn calls them: arguments are checked, and time is bounded.
async fn by_hand(host: &Paraphym) {
    let tools = host.tools();
    for (name, arguments) in [
        ("menu", "{}"),
        ("order", r#"{"dish": "soup", "people": 2}"#),
        ("order", r#"{"dish": "soup", "people": "two"}"#),
        ("order", r#"{"dish": "soup", "people": 40}"#),
    ] {
        let call = ToolCall {
            id: ToolCallId::new("by-hand"),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        match tools.call(&call, &CancellationToken::new()).await {
            Ok(output) => println!("{name}: {}", output.text),
            Err(error) => println!("{name}: {error}"),
        }
    }
}

/// The model calls what its turn allows, if it likes.
async fn by_the_model(host: &Paraphym) -> Result<(), Box<dyn Error>> {
    host.pull_default(&mut |_| {}).await?;
    let turn = TurnSettings {
        tools: ToolFilter::Only(vec!["menu".to_owned()]),
        ..host.turn_settings()
    };
    let conversation = ConversationId::new("lunch");
    let mut events = host
        .ask(&conversation, "What is on the menu?", turn)
        .await?;
    while let Some(event) = events.next().await {
        match event {
            TurnEvent::Text(text) => print!("{text}"),
            TurnEvent::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    println!();
    Ok(())
}

/// No arguments.
#[derive(Deserialize, JsonSchema)]
struct Nothing {}
