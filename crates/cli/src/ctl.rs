//! A running server, looked at and steered from the command line: each verb is a method of the control protocol.

mod connections;
mod ending;
mod events;
pub(crate) mod human;
mod show;
mod tap;
mod wish;

pub(crate) use show::inspected;

use std::time::Duration;

use paraphym_candle::control::protocol::act::Acted;
use paraphym_candle::control::protocol::connections::Connections;
use paraphym_candle::control::protocol::look;
use paraphym_candle::control::protocol::rpc::{Code, RpcError};
use paraphym_candle::control::protocol::table::Ask;
use paraphym_candle::control::{Client, ClientError, place};
use serde_json::Value;

use crate::args::{Ctl, Verb};
use crate::failure::Failure;
use crate::out::note;
use crate::render;
use crate::stage::Stage;

/// How long a look may take: the server asks its actors for two seconds at most.
const LOOK: Duration = Duration::from_secs(20);
/// How long a change may take: an actor may stop and start for half a minute each.
const ACT: Duration = Duration::from_mins(2);
/// How long a model may take to load from a slow disk; Ctrl-C cancels it.
const LOAD: Duration = Duration::from_hours(2);

/// Does one of the verbs. With `--json` the last line of a failure is its event, as of every command.
pub(crate) async fn run(stage: &mut Stage, args: &Ctl) -> Result<(), Failure> {
    let result = done(stage, args).await;
    if let Err(failure) = &result
        && args.json
    {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

async fn done(stage: &mut Stage, args: &Ctl) -> Result<(), Failure> {
    // What is typed wrongly is told whether there is a server or not.
    let wish = wish::of(&args.verb)?;
    let socket = args.socket.clone().unwrap_or_else(place::usual_here);
    let client = Client::connect(&socket, "paraphym ctl", None);
    let client = stage.unless_signalled(client).await?.map_err(failure)?;
    let mut asking = Asking {
        stage,
        client,
        as_json: args.json,
    };
    match (&args.verb, wish) {
        (Verb::Events { follow: true, .. }, wish::Wish::Events(past)) => {
            events::follow(&mut asking, past).await
        }
        (_, wish) => asking.carry_out(wish).await,
    }
}

/// A connection, and where its answers go.
struct Asking<'a> {
    stage: &'a mut Stage,
    client: Client,
    as_json: bool,
}

impl Asking<'_> {
    async fn carry_out(&mut self, wish: wish::Wish) -> Result<(), Failure> {
        use wish::Wish;
        match wish {
            Wish::Status => self.look(&look::Status {}, show::status).await,
            Wish::Tree => self.look(&look::Tree {}, show::tree).await,
            Wish::Ps => self.look(&look::Ps {}, show::ps).await,
            Wish::Inspect(one) => self.look(&one, show::inspect).await,
            Wish::Events(some) => self.look(&some, show::past).await,
            Wish::Why(subject) => self.look(&subject, show::why).await,
            Wish::Conversations(some) => self.look(&some, show::conversations).await,
            Wish::Connections => self.look(&Connections {}, connections::shown).await,
            Wish::Kick(one) => self.act(&one, ACT).await,
            Wish::ConfigGet(some) => self.look(&some, show::config).await,
            Wish::Audit(some) => self.look(&some, show::audit).await,
            Wish::Restart(one) => self.act(&one, ACT).await,
            Wish::Stop(one) => self.act(&one, ACT).await,
            Wish::Start(one) => self.act(&one, ACT).await,
            Wish::Kill(one) => self.act(&one, ACT).await,
            Wish::Pause(one) => self.act(&one, ACT).await,
            Wish::Resume(one) => self.act(&one, ACT).await,
            Wish::Chaos(one) => self.act(&one, ACT).await,
            Wish::Tap(look) => tap::look(self, look).await,
            Wish::Limit(one) => self.act(&one, ACT).await,
            Wish::Load(one) => self.act(&one, LOAD).await,
            Wish::Unload(one) => self.act(&one, ACT).await,
            Wish::Pin(one) => self.act(&one, ACT).await,
            Wish::Unpin(one) => self.act(&one, ACT).await,
            Wish::Cancel(one) => self.act(&one, ACT).await,
            Wish::Log(one) => self.act(&one, ACT).await,
            Wish::Drain(one) => self.act(&one, ACT).await,
            Wish::ConfigSet(one) => self.act(&one, ACT).await,
            Wish::Shutdown(one) => ending::follow(self, one).await,
        }
    }

    async fn look<A: Ask>(
        &mut self,
        wish: &A,
        shown: fn(&A::Answer) -> show::Shown,
    ) -> Result<(), Failure> {
        let answer = self.ask(wish, LOOK).await?;
        if self.as_json {
            return self.stage.out.json(&json(&answer)?).await;
        }
        let text = shown(&answer).text(&self.stage.out);
        self.stage.out.text(&text).await
    }

    async fn act<A: Ask<Answer = Acted>>(
        &mut self,
        wish: &A,
        within: Duration,
    ) -> Result<(), Failure> {
        let acted = self.acted(wish, within).await?;
        if self.as_json {
            return self.stage.out.json(&json(&acted)?).await;
        }
        let text = format!("{}\n", show::plain(&acted.what));
        self.stage.out.text(&text).await
    }

    /// Asks, and says where it is not written down who did.
    async fn acted<A: Ask<Answer = Acted>>(
        &mut self,
        wish: &A,
        within: Duration,
    ) -> Result<Acted, Failure> {
        let acted = self.ask(wish, within).await?;
        if !acted.audited {
            note("not in the audit log: it could not be written, and the server's log says why");
        }
        Ok(acted)
    }

    async fn ask<A: Ask>(&mut self, wish: &A, within: Duration) -> Result<A::Answer, Failure> {
        let answer = self.client.ask(wish, within);
        self.stage.unless_signalled(answer).await?.map_err(failure)
    }
}

fn json(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::failed(error, ""))
}

/// What went wrong, in two lines.
pub(crate) fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(refused) => refusal(&refused),
        ClientError::NoServer { .. } => Failure::Unreachable {
            error: error.to_string(),
            hint: "start one with `paraphym serve`, or name another socket with --socket"
                .to_owned(),
        },
        ClientError::HungUp { .. } => Failure::Unreachable {
            error: error.to_string(),
            hint: "if it did not end on purpose, its log says why".to_owned(),
        },
        ClientError::Late { .. } => {
            Failure::failed(error, "`paraphym ctl tree` shows who is stuck")
        }
        ClientError::Stranger { .. } => Failure::failed(error, "name your own with --socket"),
        ClientError::NotUnderstood { .. } => Failure::failed(
            error,
            "is it another version? `paraphym --version` tells ours",
        ),
    }
}

fn refusal(refused: &RpcError) -> Failure {
    let hint = match refused.kind() {
        Some(Code::Params) => return Failure::usage(refused, "--help tells what each verb takes"),
        Some(Code::Unavailable) => {
            "`paraphym ctl tree` shows how it is: `start` what was stopped, or try again"
        }
        Some(Code::Method | Code::Protocol) => {
            "the server is of another version: `paraphym ctl status` tells which"
        }
        _ => "",
    };
    Failure::failed(refused, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_status() {
        for (code, status) in [
            (Code::Params, 2),
            (Code::NotFound, 1),
            (Code::Refused, 1),
            (Code::Busy, 1),
        ] {
            let error = ClientError::Refused(RpcError::new(code, "x"));
            assert_eq!(failure(error).code(), status, "{code:?}");
        }
        let nobody = ClientError::NoServer {
            socket: "/x".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let failure = failure(nobody);
        assert_eq!(failure.code(), 3);
        let lines = failure.lines().join("\n");
        for part in ["no server listens at /x", "paraphym serve"] {
            assert!(lines.contains(part), "{lines}");
        }
    }
}
