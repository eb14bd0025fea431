//! What no tool can do to the turn that calls it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::ToolCallId;

use super::*;
use crate::tool::ToolFuture;
use crate::{Calculate, CurrentTime};

type Act = dyn Fn(Value, ToolContext) -> ToolFuture<'static> + Send + Sync;

struct Scripted {
    spec: ToolSpec,
    timeout: Option<Duration>,
    act: Box<Act>,
}

impl Tool for Scripted {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, context: ToolContext) -> ToolFuture<'_> {
        (self.act)(arguments, context)
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }
}

fn scripted(
    name: &str,
    act: impl Fn(Value, ToolContext) -> ToolFuture<'static> + Send + Sync + 'static,
) -> Scripted {
    let spec = ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        parameters: Arc::from(
            "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}}}",
        ),
    };
    Scripted {
        spec,
        timeout: None,
        act: Box::new(act),
    }
}

fn says(name: &str, text: &'static str) -> Arc<dyn Tool> {
    let answer =
        move |_, _| -> ToolFuture<'static> { Box::pin(async move { Ok(ToolOutput::new(text)) }) };
    Arc::new(scripted(name, answer))
}

fn calling(name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: ToolCallId::new("call-1"),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

async fn call(toolbox: &Toolbox, name: &str, arguments: &str) -> Result<ToolOutput, ToolError> {
    let never = CancellationToken::new();
    toolbox.call(&calling(name, arguments), &never).await
}

fn one(tool: Scripted) -> Toolbox {
    Toolbox::new([Arc::new(tool) as Arc<dyn Tool>]).unwrap()
}

#[test]
fn two_of_one_name_and_what_no_model_could_call_are_refused() {
    let (a, b) = (says("a", "first"), says("a", "second"));
    let refused = Toolbox::new([a.clone(), b.clone()]).unwrap_err();
    assert_eq!(refused, ToolboxError::Duplicate { name: "a".into() });
    let merged = Toolbox::new([a]).unwrap().merged([b, says("b", "")]);
    assert_eq!((merged.toolbox.len(), merged.skipped), (2, vec![refused]));
    for bad in ["", "a b", "é", &"x".repeat(65)] {
        let refused = Toolbox::new([says(bad, "")]).unwrap_err();
        assert_eq!(refused, ToolboxError::BadName { name: bad.into() });
    }
    let mut odd = scripted("odd", |_, _| Box::pin(std::future::pending()));
    odd.spec.parameters = Arc::from("[]");
    let refused = Toolbox::new([Arc::new(odd) as Arc<dyn Tool>]).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("Use a JSON Schema of type object")
    );
}

#[test]
fn the_count_is_bounded_and_the_first_stay() {
    let many = (0..MAX_TOOLS + 2).map(|number| says(&format!("t{number:03}"), ""));
    let merged = Toolbox::default().merged(many);
    assert_eq!(merged.toolbox.len(), MAX_TOOLS);
    let names = ["t128", "t129"].map(|name| ToolboxError::TooMany { name: name.into() });
    assert_eq!(merged.skipped, names);
    assert_eq!(merged.toolbox.specs()[0].name, "t000");
}

#[tokio::test(start_paused = true)]
async fn a_filter_hides_a_tool_from_sight_and_from_calls() {
    let toolbox = Toolbox::new([says("a", "A"), says("b", "B")]).unwrap();
    let filter = ToolFilter::new(None, &["b".to_owned()]).unwrap();
    let only = toolbox.only(&filter);
    assert_eq!(only.specs().len(), 1);
    assert!(only.get("a").is_some() && only.get("b").is_none());
    let error = call(&only, "b", "{}").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no tool `b`: call one of a");
    assert_eq!(call(&toolbox, "b", "{}").await.unwrap().text, "B");
    let none = toolbox.only(&ToolFilter::none());
    let error = call(&none, "a", "{}").await.unwrap_err();
    assert!(error.to_string().ends_with("Answer in words"));
}

#[tokio::test(start_paused = true)]
async fn bad_arguments_never_reach_the_tool() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let toolbox = one(scripted("t", move |arguments, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(ToolOutput::new(arguments.to_string())) })
    }));
    for bad in ["{", "[]", "1", "{\"n\": \"three\"}", "{} {}"] {
        let error = call(&toolbox, "t", bad).await.unwrap_err();
        assert_eq!(error.kind(), "bad_arguments", "{bad}");
        assert!(error.to_string().contains("Call it again with"), "{error}");
        assert!(error.is_before_the_call());
        assert_eq!(toolbox.check(&calling("t", bad)), Err(error));
    }
    let long = format!("{{\"text\": \"{}\"}}", "x".repeat(64 << 10));
    let error = call(&toolbox, "t", &long).await.unwrap_err();
    assert_eq!(error.kind(), "too_large");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    // Saying nothing is saying that there are no arguments.
    assert_eq!(call(&toolbox, "t", " ").await.unwrap().text, "{}");
    assert_eq!(toolbox.check(&calling("t", "{\"n\": 1}")), Ok(()));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_hangs_is_dropped_at_its_deadline_and_hears_of_it() {
    let heard = CancellationToken::new();
    let inner = heard.clone();
    let mut hangs = scripted("hangs", move |_, context| {
        let inner = inner.clone();
        Box::pin(async move {
            let _cancels = inner.drop_guard();
            assert!(!context.cancelled.is_cancelled());
            std::future::pending().await
        })
    });
    hangs.timeout = Some(Duration::from_secs(3));
    let toolbox = one(hangs);
    let begun = Instant::now();
    let error = call(&toolbox, "hangs", "{}").await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(
        error.to_string(),
        "`hangs` did not answer within 3s. It may have taken effect all the same: look before you call it again"
    );
    assert!(heard.is_cancelled() && !error.is_before_the_call());
}

#[tokio::test(start_paused = true)]
async fn no_tool_may_take_longer_than_the_longest_limit() {
    let mut hangs = scripted("hangs", |_, _| Box::pin(std::future::pending()));
    hangs.timeout = Some(Duration::MAX);
    let begun = Instant::now();
    let error = call(&one(hangs), "hangs", "{}").await.unwrap_err();
    assert_eq!(
        (error.kind(), begun.elapsed().as_secs()),
        ("timed_out", 600)
    );
    let toolbox = one(scripted("hangs", |_, _| Box::pin(std::future::pending())));
    let begun = Instant::now();
    call(&toolbox, "hangs", "{}").await.unwrap_err();
    assert_eq!(begun.elapsed(), toolbox.limits().timeout);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_ends_at_once() {
    let token = Arc::new(std::sync::Mutex::new(None));
    let given = token.clone();
    let toolbox = one(scripted("hangs", move |_, context| {
        *given.lock().unwrap() = Some(context.cancelled);
        Box::pin(std::future::pending())
    }));
    let cancelled = CancellationToken::new();
    let begun = Instant::now();
    let after = Duration::from_secs(1);
    let call = calling("hangs", "{}");
    let (ended, ()) = tokio::join!(toolbox.call(&call, &cancelled), async {
        tokio::time::sleep(after).await;
        cancelled.cancel();
    });
    assert_eq!(
        (ended.unwrap_err().kind(), begun.elapsed()),
        ("cancelled", after)
    );
    assert!(token.lock().unwrap().take().unwrap().is_cancelled());
    // To drop the call cancels what it left elsewhere, too.
    let open = CancellationToken::new();
    let dropped = tokio::time::timeout(after, toolbox.call(&call, &open)).await;
    assert!(dropped.is_err() && !open.is_cancelled());
    assert!(token.lock().unwrap().take().unwrap().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_calls_failure() {
    let now = one(scripted("now", |_, _| panic!("in the call")));
    let later = one(scripted("later", |_, _| {
        Box::pin(async { panic!("in its future") })
    }));
    for (toolbox, name) in [(now, "now"), (later, "later")] {
        let error = call(&toolbox, name, "{}").await.unwrap_err();
        let text = format!("`{name}` failed: it has a bug. Go on without it");
        assert_eq!(error.to_string(), text);
    }
}

#[tokio::test(start_paused = true)]
async fn results_and_failures_are_cut_to_what_a_model_can_read() {
    let limits = Limits {
        max_output_bytes: 100,
        ..Limits::default()
    };
    let talks = one(scripted("talks", |_, _| {
        Box::pin(async { Ok(ToolOutput::new("é".repeat(1000))) })
    }));
    let output = call(&talks.with_limits(limits), "talks", "{}")
        .await
        .unwrap();
    assert!(output.text.len() <= 100 && output.is_truncated());
    assert!(output.text.ends_with("bytes more were left out]"));
    let moans = one(scripted("moans", |_, _| {
        Box::pin(async { Err(ToolError::failed("moans", "x".repeat(1000))) })
    }));
    let error = call(&moans.with_limits(limits), "moans", "{}")
        .await
        .unwrap_err();
    assert!(error.to_string().len() < 150, "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_built_in_tools_live_in_one_box() {
    let clock: Arc<dyn Tool> = Arc::new(CurrentTime::new(|| 0));
    let toolbox = Toolbox::new([clock, Arc::new(Calculate::default())]).unwrap();
    let time = call(&toolbox, "current_time", "").await.unwrap();
    assert_eq!(time.text, "1970-01-01T00:00:00Z (Thursday)");
    let value = call(&toolbox, "calculate", "{\"expression\": \"6*7\"}").await;
    assert_eq!(value.unwrap().text, "42");
    assert_eq!(format!("{toolbox:?}"), "{\"calculate\", \"current_time\"}");
}
