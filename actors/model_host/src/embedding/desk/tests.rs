//! Who is answered, in which batch, and what a crash costs whom. No test here waits.

use domain::Bytes;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

const MODEL: &str = "m";

fn card() -> EmbedderCard {
    EmbedderCard {
        name: MODEL.to_owned(),
        architecture: "script".to_owned(),
        dimensions: 1,
        max_tokens: 8,
        step_tokens: 20,
        weights_bytes: Bytes(1),
        work_bytes: Bytes::ZERO,
        load_bytes: Bytes(1),
    }
}

fn names() -> Vec<ModelName> {
    vec![ModelName::new(MODEL)]
}

type Answer = Receiver<Result<Embeddings, GenerationError>>;

fn ask(pages: &mut Pages, model: &str, texts: &[&str]) -> Answer {
    let model = ModelName::new(model);
    let unknown = texts.iter().enumerate().map(|(place, text)| Text {
        text: Arc::from(*text),
        key: Key::new(&model, text),
        places: vec![place],
    });
    let (asker, answer) = oneshot::channel();
    let job = Job {
        unknown: unknown.collect(),
        known: vec![None; texts.len()],
        model,
        asker,
        turn: tracing::Span::none(),
    };
    pages.accept(job, 4).unwrap();
    answer
}

fn texts(batch: Option<Batch>) -> Vec<String> {
    let texts = batch.map(|batch| batch.texts).unwrap_or_default();
    texts.iter().map(ToString::to_string).collect()
}

/// A vector that says how long its text is.
fn come_home(pages: &mut Pages, batch: &[String]) {
    let vectors: Vec<Embedded> = batch
        .iter()
        .map(|text| Embedded {
            vector: vec![text.len() as f32].into(),
            tokens: 1,
        })
        .collect();
    pages.arrive(&vectors);
}

fn heard(answer: &mut Answer) -> Vec<f32> {
    let embeddings = answer.try_recv().unwrap().unwrap();
    assert_eq!(embeddings.tokens, embeddings.vectors.len() as u64);
    embeddings.vectors.iter().map(|v| v[0]).collect()
}

#[test]
fn requests_share_batches_and_each_gets_its_own_in_order() {
    let mut pages = Pages::default();
    // Each text counts as 8 tokens at most, and 20 fit.
    let mut long = ask(&mut pages, MODEL, &["aaaaaaaa", "aaaaaaa", "aaaaaaaaa"]);
    let mut short = ask(&mut pages, MODEL, &["bbb"]);
    let first = texts(pages.take(&names(), &card()));
    assert_eq!(first, ["aaaaaaaa", "bbb"]);
    come_home(&mut pages, &first);
    assert_eq!(heard(&mut short), [3.0]);
    assert_eq!(long.try_recv(), Err(TryRecvError::Empty));
    let second = texts(pages.take(&names(), &card()));
    assert_eq!(second, ["aaaaaaa", "aaaaaaaaa"]);
    come_home(&mut pages, &second);
    assert_eq!(heard(&mut long), [8.0, 7.0, 9.0]);
    assert!(pages.is_empty() && pages.take(&names(), &card()).is_none());
}

#[test]
fn after_a_crash_each_goes_alone_and_only_whose_fault_it_was_fails() {
    let mut pages = Pages::default();
    let mut good = ask(&mut pages, MODEL, &["a"]);
    let mut bad = ask(&mut pages, MODEL, &["bb"]);
    assert_eq!(texts(pages.take(&names(), &card())), ["a", "bb"]);
    pages.crashed("boom");
    let late = ask(&mut pages, MODEL, &["ccc"]);
    let alone = texts(pages.take(&names(), &card()));
    assert_eq!(alone, ["a"]);
    come_home(&mut pages, &alone);
    assert_eq!(heard(&mut good), [1.0]);
    assert_eq!(texts(pages.take(&names(), &card())), ["bb"]);
    pages.crashed("boom");
    let failed = bad.try_recv().unwrap();
    let crashed = GenerationError::EngineCrashed {
        crashes: 2,
        reason: "boom".to_owned(),
    };
    assert_eq!(failed, Err(crashed));
    assert_eq!(texts(pages.take(&names(), &card())), ["ccc"]);
    drop(late);
}

#[test]
fn a_batch_that_came_back_wipes_the_slate() {
    let mut pages = Pages::default();
    let mut answer = ask(&mut pages, MODEL, &["aaaaaaaa"; 4]);
    for _ in 0..2 {
        assert_eq!(texts(pages.take(&names(), &card())).len(), 2);
        pages.crashed("by chance");
        let again = texts(pages.take(&names(), &card()));
        assert_eq!(again.len(), 2);
        come_home(&mut pages, &again);
    }
    assert_eq!(heard(&mut answer), [8.0; 4]);
}

#[test]
fn who_has_gone_costs_nothing_and_the_queue_is_bounded() {
    let mut pages = Pages::default();
    let answers: Vec<Answer> = (0..4).map(|_| ask(&mut pages, MODEL, &["a"])).collect();
    let (asker, _answer) = oneshot::channel();
    let job = || Job {
        model: ModelName::new(MODEL),
        known: vec![None],
        unknown: vec![Text {
            text: Arc::from("x"),
            key: Key::new(&ModelName::new(MODEL), "x"),
            places: vec![0],
        }],
        asker: oneshot::channel().0,
        turn: tracing::Span::none(),
    };
    let mut fifth = job();
    fifth.asker = asker;
    let refused = pages.accept(fifth, 4);
    assert_eq!(
        refused,
        Err(GenerationError::Overloaded {
            waiting: 4,
            retry_after_ms: RETRY_AFTER_MS
        })
    );
    drop(answers);
    assert!(pages.accept(job(), 4).is_ok());
    pages.sweep();
    assert!(pages.is_empty());
}

#[test]
fn who_leaves_while_the_batch_is_away_is_not_answered() {
    let mut pages = Pages::default();
    let gone = ask(&mut pages, MODEL, &["a"]);
    let mut stays = ask(&mut pages, MODEL, &["bb"]);
    let batch = texts(pages.take(&names(), &card()));
    drop(gone);
    pages.sweep();
    come_home(&mut pages, &batch);
    assert_eq!(heard(&mut stays), [2.0]);
    assert!(pages.is_empty());
}

#[test]
fn models_take_turns_and_hear_only_their_own_failure() {
    let mut pages = Pages::default();
    let mut ours = ask(&mut pages, MODEL, &["a"]);
    let mut theirs = ask(&mut pages, "other", &["b"]);
    assert_eq!(pages.wanted(), Some(&ModelName::new(MODEL)));
    assert_eq!(texts(pages.take(&names(), &card())), ["a"]);
    let error = GenerationError::Cancelled;
    pages.fail_model(&[ModelName::new("other")], &error);
    assert_eq!(theirs.try_recv(), Ok(Err(error)));
    come_home(&mut pages, &["a".to_owned()]);
    assert_eq!(heard(&mut ours), [1.0]);
    assert_eq!(pages.wanted(), None);
}

/// One that crashed under another model does not hold up those of this one.
#[test]
fn a_suspect_of_another_model_is_in_nobodys_way() {
    let mut pages = Pages::default();
    let _theirs = ask(&mut pages, "other", &["b"]);
    let others = [ModelName::new("other")];
    assert_eq!(texts(pages.take(&others, &card())), ["b"]);
    pages.crashed("boom");
    let _ours = ask(&mut pages, MODEL, &["a"]);
    assert_eq!(texts(pages.take(&names(), &card())), ["a"]);
}

#[test]
fn what_is_known_is_answered_at_once_even_when_the_queue_is_full() {
    let mut pages = Pages::default();
    let _waiting: Vec<Answer> = (0..4).map(|_| ask(&mut pages, MODEL, &["a"])).collect();
    let (asker, mut answer) = oneshot::channel();
    let known = Embedded {
        vector: vec![5.0].into(),
        tokens: 1,
    };
    let job = Job {
        model: ModelName::new(MODEL),
        known: vec![Some(known)],
        unknown: Vec::new(),
        asker,
        turn: tracing::Span::none(),
    };
    pages.accept(job, 4).unwrap();
    assert_eq!(heard(&mut answer), [5.0]);
}
