//! What is remembered is found again: by words, by meaning, or said not to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bag, DAY, Mood, NOW, note, start, start_at};
use conversation_store::{StoreConfig, StoreError};
use domain::{ModelName, ToolCall, ToolCallId};
use futures_util::{StreamExt, TryStreamExt, stream};
use paraphym_retrieval::{
    Answer, Basis, Embeds, Forget, How, ListMemories, Note, RecallTool, RememberTool, Retrieval,
    RetrievalConfig, RetrievalError, Scope,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbox::{Tool, ToolError, Toolbox};

async fn remember(retrieval: &Retrieval, texts: &[&str]) {
    for text in texts {
        retrieval.remember(note(text), NOW).await.unwrap();
    }
}

async fn ask(retrieval: &Retrieval, query: &str) -> Answer {
    retrieval
        .recall(Scope::space("default"), query, 5, NOW)
        .await
        .unwrap()
}

fn texts(answer: &Answer) -> Vec<&str> {
    answer
        .found
        .iter()
        .map(|found| found.text.as_str())
        .collect()
}

fn why(answer: &Answer) -> &str {
    match &answer.basis {
        Basis::Words { why } => why,
        Basis::Meaning { .. } => panic!("searched by meaning"),
    }
}

const SUBJECTS: [&str; 10] = [
    "The harbour",
    "A baker",
    "My neighbour",
    "The old library",
    "Our garden",
    "The night train",
    "A violin",
    "The market",
    "Her bicycle",
    "The lighthouse",
];
const VERBS: [&str; 10] = [
    "opens before",
    "was painted after",
    "stands beside",
    "belongs to",
    "reminds me of",
    "was sold near",
    "is older than",
    "lies behind",
    "was built for",
    "closes with",
];
const OBJECTS: [&str; 10] = [
    "the river bridge",
    "a green door",
    "the winter fair",
    "the town hall",
    "a field of barley",
    "the second platform",
    "an empty theatre",
    "the stone well",
    "the apple orchard",
    "a quiet street",
];

/// Ten thousand different sentences of the same few words.
fn others() -> impl Iterator<Item = String> {
    (0..10_000_usize).map(|number| {
        let (subject, verb) = (SUBJECTS[number % 10], VERBS[number / 10 % 10]);
        let object = OBJECTS[number / 100 % 10];
        format!("{subject} {verb} {object}, entry {number}.")
    })
}

/// They wait together, so they go to the disk together.
async fn plant(retrieval: &Retrieval, fact: &str) {
    let mut sentences: Vec<String> = others().collect();
    sentences.insert(5_000, fact.to_owned());
    let wishes = stream::iter(sentences).map(|text| retrieval.remember(note(&text), NOW));
    let noted: Vec<_> = wishes.buffer_unordered(128).try_collect().await.unwrap();
    assert_eq!(noted.len(), 10_001);
    assert!(noted.iter().all(|noted| noted.is_new));
}

const FACT: &str = "The password of the cellar is hidden under the blue kitten statue.";

#[tokio::test(start_paused = true)]
async fn the_planted_fact_is_first_among_ten_thousand_by_words() {
    let stage = start().await;
    let retrieval = stage.by_words();
    plant(&retrieval, FACT).await;
    for query in [
        "where is the password of the cellar?",
        "statue",
        "What was hidden under the KITTEN?",
    ] {
        let answer = ask(&retrieval, query).await;
        assert_eq!(texts(&answer)[0], FACT, "{query}");
        assert_eq!(answer.found[0].how, How::Lexical);
        assert_eq!(why(&answer), "there is no embedding model");
    }
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_planted_fact_is_first_among_ten_thousand_by_meaning() {
    let stage = start().await;
    let retrieval = stage.with(&Bag::new("bag", Mood::Well));
    plant(&retrieval, FACT).await;
    let answer = ask(&retrieval, "the password under a statue").await;
    assert_eq!(texts(&answer)[0], FACT);
    assert_eq!(answer.found[0].how, How::Both);
    // None of its words is in the fact; one of them means the same as one that is.
    let answer = ask(&retrieval, "feline").await;
    assert_eq!(
        (texts(&answer)[0], answer.found[0].how),
        (FACT, How::Semantic)
    );
    let model = ModelName::new("bag");
    assert_eq!(answer.basis, Basis::Meaning { model, unseen: 0 });
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_model_that_answers_words_are_searched_and_it_is_said_why() {
    let stage = start().await;
    for (mood, reason) in [
        (Mood::Failing, "there is no model of that name"),
        (Mood::Silent, "did not answer within 2s"),
        (Mood::Short, "gave 0 vectors for 1 texts"),
    ] {
        let retrieval = stage.with(&Bag::new("bag", mood));
        let noted = retrieval
            .remember(note(&format!("tea at five, {mood:?}")), NOW)
            .await
            .unwrap();
        assert!(noted.without_meaning.unwrap().contains(reason));
        let answer = ask(&retrieval, &format!("{mood:?} tea")).await;
        assert!(answer.found[0].text.contains(&format!("{mood:?}")));
        assert!(why(&answer).contains(reason), "{}", why(&answer));
        assert!(
            answer
                .basis
                .to_string()
                .starts_with("searched by words alone: ")
        );
    }
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_remembered_without_a_model_is_caught_up_with() {
    let stage = start().await;
    remember(
        &stage.by_words(),
        &["my cat is called Ada", "bread is baked on Fridays"],
    )
    .await;
    let bag = Bag::new("bag", Mood::Well);
    let retrieval = stage.with(&bag);
    let answer = ask(&retrieval, "feline").await;
    assert_eq!(texts(&answer), [""; 0]);
    assert_eq!(
        answer.basis,
        Basis::Meaning {
            model: ModelName::new("bag"),
            unseen: 2
        }
    );
    let scope = Scope::space("default");
    let caught_up = retrieval.catch_up(&scope, 100).await.unwrap();
    assert_eq!((caught_up.seen, caught_up.stopped), (2, None));
    assert_eq!(
        texts(&ask(&retrieval, "feline").await),
        ["my cat is called Ada"]
    );
    let before = bag.texts();
    assert_eq!(retrieval.catch_up(&scope, 100).await.unwrap().seen, 0);
    assert_eq!(bag.texts(), before);

    // Another model has seen nothing, and compares nothing with what the first one said.
    let other = stage.with(&Bag::new("other", Mood::Well));
    let answer = ask(&other, "feline").await;
    assert_eq!(
        answer.basis,
        Basis::Meaning {
            model: ModelName::new("other"),
            unseen: 2
        }
    );
    assert_eq!(texts(&answer), [""; 0]);
    let failing = stage.with(&Bag::new("third", Mood::Failing));
    let stopped = failing.catch_up(&scope, 100).await.unwrap();
    assert_eq!(stopped.seen, 0);
    assert!(stopped.stopped.unwrap().contains("no model"));
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_content_is_remembered_once_and_is_young_again() {
    let stage = start().await;
    let retrieval = stage.with(&Bag::new("bag", Mood::Well));
    let first = retrieval
        .remember(note("My cat is called Ada."), NOW - 40 * DAY)
        .await
        .unwrap();
    let again = retrieval
        .remember(note(" my CAT is  called Ada.\n"), NOW)
        .await
        .unwrap();
    assert!(first.is_new && !again.is_new && first.id == again.id);
    let listed = retrieval
        .list(ListMemories {
            space: "default".to_owned(),
            limit: 10,
            before: None,
        })
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].made_ms, listed[0].used_ms),
        (NOW - 40 * DAY, NOW)
    );
    assert_eq!(listed[0].text, "My cat is called Ada.");
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_the_last_use_and_reading_a_hundred_times_changes_nothing() {
    let stage = start().await;
    let retrieval = stage.by_words();
    let old = retrieval
        .remember(note("tea in Porto"), NOW - 60 * DAY)
        .await
        .unwrap();
    let young = retrieval.remember(note("tea in Paris"), NOW).await.unwrap();
    let order = async || {
        let answer = ask(&retrieval, "tea").await;
        answer
            .found
            .iter()
            .map(|found| (found.id, found.score))
            .collect::<Vec<_>>()
    };
    let first = order().await;
    assert_eq!(
        first.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [young.id, old.id]
    );
    for _ in 0..100 {
        assert_eq!(order().await, first);
    }
    // Later, not by reading more often, they are older; and what was of use is as young as on its first day.
    let later = retrieval
        .recall(Scope::space("default"), "tea", 5, NOW + 5 * DAY)
        .await
        .unwrap();
    assert!(later.found[0].score < first[0].1);
    retrieval.used(vec![old.id], NOW + DAY).await.unwrap();
    let used = ask(&retrieval, "tea").await;
    assert_eq!(
        used.found
            .iter()
            .map(|found| found.used_ms)
            .collect::<Vec<_>>(),
        [NOW + DAY, NOW]
    );
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_who_ask_share_one_memory_and_each_space_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::at(folder.path().join("paraphym.db"));
    let stage = start_at(&config).await;
    let (one, other) = (stage.by_words(), stage.by_words().clone());
    remember(&one, &["tea at five"]).await;
    let cook = Note {
        space: "cook".to_owned(),
        ..note("tea needs hot water")
    };
    other.remember(cook, NOW).await.unwrap();
    assert_eq!(texts(&ask(&other, "tea").await), ["tea at five"]);
    let found = one
        .recall(Scope::space("cook"), "tea", 5, NOW)
        .await
        .unwrap();
    assert_eq!(texts(&found), ["tea needs hot water"]);
    stage.scene.stop().await;

    // And the next process finds it where it lies.
    let stage = start_at(&config).await;
    let retrieval = stage.by_words();
    assert_eq!(texts(&ask(&retrieval, "tea").await), ["tea at five"]);
    assert_eq!(
        retrieval
            .forget(Forget::Space("default".to_owned()))
            .await
            .unwrap(),
        1
    );
    assert_eq!(texts(&ask(&retrieval, "tea").await), [""; 0]);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_is_an_error_and_no_empty_answer() {
    let stage = start().await;
    let retrieval = stage.by_words();
    remember(&retrieval, &["tea at five"]).await;
    stage.scene.stop().await;
    let gone = retrieval
        .recall(Scope::space("default"), "tea", 5, NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(gone, RetrievalError::Store(StoreError::Unavailable { .. })),
        "{gone}"
    );
    let gone = retrieval.remember(note("more tea"), NOW).await.unwrap_err();
    assert!(
        matches!(gone, RetrievalError::Store(StoreError::Unavailable { .. })),
        "{gone}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_recall_that_takes_too_long_is_given_up() {
    let stage = start().await;
    let silent: Arc<dyn Embeds> = Bag::new("bag", Mood::Silent);
    let config = RetrievalConfig {
        deadline: Duration::from_secs(1),
        ..RetrievalConfig::default()
    };
    let retrieval = Retrieval::new(stage.store.clone(), Some(silent), config);
    let began = Instant::now();
    let late = retrieval
        .recall(Scope::space("default"), "tea", 5, NOW)
        .await
        .unwrap_err();
    let after = Duration::from_secs(1);
    assert_eq!(late, RetrievalError::TimedOut { after });
    let late = retrieval.remember(note("tea"), NOW).await.unwrap_err();
    assert_eq!(late, RetrievalError::TimedOut { after });
    assert_eq!(began.elapsed(), 2 * after);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_named_by_field() {
    let stage = start().await;
    let retrieval = stage.by_words();
    let wrong = retrieval
        .remember(
            Note {
                importance: 2.0,
                ..note("tea")
            },
            NOW,
        )
        .await
        .unwrap_err();
    assert!(
        matches!(&wrong, RetrievalError::Store(StoreError::Invalid(field)) if field.field == "importance")
    );
    let wrong = retrieval.remember(note(" "), NOW).await.unwrap_err();
    assert!(
        matches!(&wrong, RetrievalError::Store(StoreError::Invalid(field)) if field.field == "text")
    );
    let wrong = retrieval
        .recall(Scope::space(""), "tea", 5, NOW)
        .await
        .unwrap_err();
    assert!(
        matches!(&wrong, RetrievalError::Store(StoreError::Invalid(field)) if field.field == "space")
    );
    stage.scene.stop().await;
}

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: ToolCallId::new("1"),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn clock() -> Arc<dyn Fn() -> i64 + Send + Sync> {
    Arc::new(|| NOW)
}

fn both_tools(retrieval: &Retrieval) -> Toolbox {
    let scope = Scope::space("default");
    let remember: Arc<dyn Tool> =
        Arc::new(RememberTool::new(retrieval.clone(), "default", clock()));
    let recall: Arc<dyn Tool> = Arc::new(RecallTool::new(retrieval.clone(), scope, clock()));
    assert!(recall.is_read_only() && !remember.is_read_only() && remember.is_idempotent());
    Toolbox::new([remember, recall]).unwrap()
}

async fn run(tools: &Toolbox, name: &str, arguments: &str) -> Result<String, ToolError> {
    let output = tools
        .call(&call(name, arguments), &CancellationToken::new())
        .await;
    output.map(|output| output.text)
}

#[tokio::test(start_paused = true)]
async fn a_model_remembers_and_recalls_through_its_tools() {
    let stage = start().await;
    let tools = both_tools(&stage.with(&Bag::new("bag", Mood::Well)));
    let basis = "(searched by words and by meaning (bag))";
    for (name, arguments, expected) in [
        (
            "recall",
            r#"{"query":"cat"}"#,
            format!("Nothing was found.\n{basis}"),
        ),
        (
            "remember",
            r#"{"text":"The cat is called Ada.","importance":0.9,"kind":"semantic"}"#,
            "Remembered as memory 1.".to_owned(),
        ),
        (
            "remember",
            r#"{"text":"the cat is called Ada."}"#,
            "That was known as memory 1, and is fresh again.".to_owned(),
        ),
        (
            "recall",
            r#"{"query":"the feline","limit":3}"#,
            format!("[memory 1] The cat is called Ada.\n{basis}"),
        ),
    ] {
        assert_eq!(run(&tools, name, arguments).await.unwrap(), expected);
    }
    let tools = both_tools(&stage.by_words());
    let said = run(&tools, "remember", r#"{"text":"Tea at five."}"#)
        .await
        .unwrap();
    assert!(
        said.ends_with("It is found by its words alone for now: there is no embedding model."),
        "{said}"
    );
    let said = run(&tools, "recall", r#"{"query":"tea"}"#).await.unwrap();
    assert_eq!(
        said,
        "[memory 2] Tea at five.\n(searched by words alone: there is no embedding model)"
    );
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_model_asks_for_wrongly_is_told_by_argument() {
    let stage = start().await;
    let tools = both_tools(&stage.by_words());
    for (name, arguments, field) in [
        ("remember", "{}", "text"),
        ("remember", r#"{"text":"a","importance":1.5}"#, "importance"),
        ("remember", r#"{"text":"a","kind":"odd"}"#, "kind"),
        ("recall", "{}", "query"),
        ("recall", r#"{"query":"a","limit":0}"#, "limit"),
        ("recall", r#"{"query":"a","limit":21}"#, "limit"),
    ] {
        match run(&tools, name, arguments).await {
            Err(ToolError::BadArguments { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{name} {arguments}: {other:?}"),
        }
    }
    let refused = run(&tools, "remember", r#"{"text":"  "}"#)
        .await
        .unwrap_err();
    assert!(matches!(&refused, ToolError::Failed { .. }), "{refused}");
    stage.scene.stop().await;
}
