//! The script itself keeps to the contract of an engine, and to what a test told it.

use std::path::PathBuf;

use domain::Sampling;

use super::*;

fn load(answer: Answer) -> (LoadedModel, Control) {
    let loader = ScriptedLoader::new(answer);
    let source = ModelSource {
        path: PathBuf::from("scripted.gguf"),
    };
    let model = loader.load(&source, &mut |_| ControlFlow::Continue(()));
    (model.unwrap(), loader.control())
}

fn plan(prompt_tokens: u32) -> SequencePlan {
    SequencePlan {
        capacity_tokens: 64,
        sampling: Sampling::default(),
        prompt_tokens,
    }
}

fn input(tokens: &[TokenId], sample: bool) -> StepInput {
    StepInput {
        sequence: SequenceId(1),
        tokens: tokens.to_vec(),
        sample,
    }
}

#[test]
fn says_its_text_word_by_word_and_ends() {
    let (mut model, control) = load(Answer::Text("Hello dear world".to_owned()));
    let prompt = model.text.encode_text("hi").unwrap();
    model.engine.open(SequenceId(1), plan(2)).unwrap();
    let mut said = String::new();
    let mut next = prompt;
    loop {
        let out = model.engine.step(&[input(&next, true)]).unwrap();
        let token = out[0].token.unwrap();
        if model.text.ends_turn(token) {
            break;
        }
        said.push_str(std::str::from_utf8(model.text.bytes_of(token)).unwrap());
        next = vec![token];
    }
    assert_eq!(said, "Hello dear world");
    drop(model);
    let counts = control.counts();
    assert_eq!((counts.steps, counts.sampled, counts.prefilled), (4, 4, 2));
    assert_eq!((counts.engines, counts.open_now()), (0, 0));
}

#[test]
fn goes_on_after_a_replay_and_refuses_a_wrong_one() {
    let (mut model, _) = load(Answer::Counting);
    model.engine.open(SequenceId(1), plan(1)).unwrap();
    let seven = model
        .engine
        .step(&[input(&[BYTE, NUMBER, NUMBER + 1], true)]);
    assert_eq!(seven.unwrap()[0].token, Some(NUMBER + 2));
    model.engine.close(SequenceId(1));
    model.engine.open(SequenceId(1), plan(1)).unwrap();
    let wrong = model.engine.step(&[input(&[BYTE, NUMBER + 1], true)]);
    assert!(matches!(wrong, Err(StepError::Compute(_))), "{wrong:?}");
}

#[test]
fn keeps_and_begins_again_where_it_was() {
    let (mut model, control) = load(Answer::Listening);
    let hear = |model: &mut LoadedModel, tokens: &[TokenId]| {
        let outputs = model.engine.step(&[input(tokens, true)]).unwrap();
        model.text.bytes_of(outputs[0].token.unwrap()).to_vec()
    };
    let prompt =
        |text: &str| -> Vec<TokenId> { text.bytes().map(|b| BYTE + u32::from(b)).collect() };
    let (one, other) = (PrefixId(1), PrefixId(2));
    model.engine.open(SequenceId(1), plan(6)).unwrap();
    assert_eq!(
        hear(&mut model, &prompt("abcdef")),
        Answer::listening("abcdef", 0, 1).as_bytes()
    );
    assert_eq!(model.engine.keep(SequenceId(1), one, 5), 5);
    for (prefix, tokens) in [(other, 1), (one, 0), (one, 6)] {
        let from = Beginning { prefix, tokens };
        assert!(
            model
                .engine
                .open_from(SequenceId(1), plan(6), from)
                .is_err()
        );
    }
    let from = Beginning {
        prefix: one,
        tokens: 3,
    };
    model
        .engine
        .open_from(SequenceId(1), plan(6), from)
        .unwrap();
    model.engine.forget(one);
    assert_eq!(
        hear(&mut model, &prompt("xyz")),
        Answer::listening("abcxyz", 0, 1).as_bytes()
    );
    assert_eq!(model.engine.keep(SequenceId(1), other, 100), 6);
    drop(model);
    let counts = control.counts();
    assert_eq!((counts.prefilled, counts.reused), (9, 3));
    assert_eq!(
        (counts.kept, counts.forgotten, counts.open_now()),
        (2, 2, 0)
    );
}

#[test]
fn fails_when_told_to() {
    let (mut model, control) = load(Answer::Counting);
    model.engine.open(SequenceId(1), plan(1)).unwrap();
    control.fail_next(1);
    assert!(model.engine.step(&[input(&[BYTE], false)]).is_err());
    control.panic_next(1);
    let step = std::panic::AssertUnwindSafe(|| model.engine.step(&[input(&[BYTE], false)]));
    assert!(std::panic::catch_unwind(step).is_err());
    assert!(model.engine.step(&[input(&[BYTE], true)]).is_ok());
}

#[test]
fn how_likely_its_tokens_are_is_a_formula() {
    let (mut model, _) = load(Answer::Counting);
    let mut asking = plan(1);
    asking.sampling.logprobs = Some(2);
    model.engine.open(SequenceId(1), asking).unwrap();
    let mut next = BYTE;
    for (place, bytes) in ["0 ", "1 ", "2 "].iter().enumerate() {
        let out = model.engine.step(&[input(&[next], true)]).unwrap();
        next = out[0].token.unwrap();
        let likelihood = out[0].likelihood.clone().unwrap();
        let told = logprob(place as u64, bytes.as_bytes(), 2);
        let expected = [-0.125f32, -0.25, -0.375][place];
        assert_eq!((&*told.bytes, told.logprob), (bytes.as_bytes(), expected));
        assert_eq!(likelihood.logprob.to_bits(), expected.to_bits());
        let spelt = likelihood
            .likeliest
            .iter()
            .map(|(token, logprob)| domain::Likely {
                bytes: model.text.bytes_of(*token).to_vec(),
                logprob: *logprob,
            });
        assert!(spelt.eq(told.likeliest.iter().cloned()));
        assert_eq!(told.likeliest[1].bytes, b"a");
    }
    model.engine.close(SequenceId(1));
    model.engine.open(SequenceId(1), plan(1)).unwrap();
    let out = model.engine.step(&[input(&[BYTE], true)]).unwrap();
    assert_eq!(out[0].likelihood, None);
}
